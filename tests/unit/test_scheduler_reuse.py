"""Which tokens that are evaluated already a prompt starts from, by table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.engines.scheduler import Reuse, choose_cache, choose_reuse, common_prefix


@given(st.lists(st.integers(0, 2), max_size=40), st.lists(st.integers(0, 2), max_size=40))
def test_common_prefix_is_the_longest_shared_start(left: list[int], right: list[int]) -> None:
    length = common_prefix(left, right)
    assert left[:length] == right[:length]
    assert length == min(len(left), len(right)) or left[length] != right[length]


@pytest.mark.parametrize(
    ("caches", "last_used", "chosen"),
    [
        ({0: [], 1: []}, {}, (0, 0)),
        ({0: [1, 2], 1: [1, 2, 3]}, {}, (1, 3)),
        # At least one token is left to evaluate.
        ({0: [1, 2, 3, 4]}, {}, (0, 3)),
        # At a tie the one used longest ago goes, so that fresher caches live on.
        ({0: [9], 1: [8]}, {0: 5, 1: 3}, (1, 0)),
        ({0: [9], 1: []}, {0: 5}, (1, 0)),
        ({0: [9], 1: []}, {0: 1}, (1, 0)),
        ({0: [9], 1: [8]}, {}, (0, 0)),
    ],
)
def test_the_cache_for_a_prompt(
    caches: dict[int, list[int]], last_used: dict[int, int], chosen: tuple[int, int]
) -> None:
    assert choose_cache([1, 2, 3, 4], caches, last_used) == chosen


@pytest.mark.parametrize(
    ("free", "busy", "chosen"),
    [
        # Nothing to gain: as without busy ones.
        ({0: [], 1: [1, 2, 3]}, {}, Reuse(1, 1, 3)),
        ({0: [1, 2, 3]}, {5: [1, 2, 3]}, Reuse(0, 0, 3)),
        # A busy one with more in common is copied into the oldest free one.
        ({0: [], 1: [1]}, {5: [1, 2, 3, 4]}, Reuse(0, 5, 4)),
        ({0: [1]}, {5: [1, 2, 9], 6: [1, 2, 3, 4, 9]}, Reuse(0, 6, 4)),
        # Two more tokens are not worth a copy.
        ({0: [1, 2]}, {5: [1, 2, 3, 4]}, Reuse(0, 0, 2)),
        # A free one that would lose more than half is copied, if there is where to.
        ({0: [], 1: [1, 2, 3, 9, 9, 9, 9]}, {}, Reuse(0, 1, 3)),
        ({1: [1, 2, 3, 9, 9, 9, 9]}, {}, Reuse(1, 1, 3)),
        ({0: [], 1: [1, 2, 3, 9, 9]}, {}, Reuse(1, 1, 3)),
        ({0: [], 1: [1, 2, 3, 9, 9, 9]}, {}, Reuse(1, 1, 3)),
        ({0: [], 1: [1, 2, 9, 9, 9, 9, 9]}, {}, Reuse(1, 1, 2)),
    ],
)
def test_where_a_prompt_starts_from(
    free: dict[int, list[int]], busy: dict[int, list[int]], chosen: Reuse
) -> None:
    prompt = [1, 2, 3, 4, 5, 6]
    assert choose_reuse(prompt, free, busy, {1: 1}, worth_copying=3) == chosen


@pytest.mark.parametrize(
    ("last_used", "oldest"), [({0: 5, 1: 3, 2: 9}, 1), ({0: 1, 2: 9}, 1), ({2: 9}, 0)]
)
def test_a_copy_takes_the_place_used_longest_ago(last_used: dict[int, int], oldest: int) -> None:
    mine, others = [1, 2, 3, 4], [9, 9, 9, 9, 9]
    free: dict[int, list[int]] = {0: [], 1: [], 2: mine + others}
    kept = choose_reuse([*mine, 5], free, {}, last_used, worth_copying=3)
    assert kept == Reuse(oldest, 2, 4)
    busy = choose_reuse([*mine, 5], free | {2: others}, {7: mine}, last_used, worth_copying=3)
    assert busy == Reuse(oldest, 7, 4)


tokens = st.lists(st.integers(0, 1), max_size=12)


@given(
    st.lists(st.integers(0, 1), min_size=1, max_size=12),
    st.dictionaries(st.integers(0, 3), tokens, min_size=1),
    st.dictionaries(st.integers(4, 7), tokens),
)
def test_what_is_reused_is_there_and_leaves_a_token_to_evaluate(
    prompt: list[int], free: dict[int, list[int]], busy: dict[int, list[int]]
) -> None:
    reuse = choose_reuse(prompt, free, busy, {}, worth_copying=2)
    assert reuse.cache in free
    assert (free | busy)[reuse.source][: reuse.common] == prompt[: reuse.common]
    assert reuse.common < len(prompt)
    assert reuse.common >= choose_cache(prompt, free, {})[1]
