"""What goes into a batch, by table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.engines.scheduler import (
    PREFILL_ALONE_S,
    SMALLEST_CHUNK,
    Pace,
    Reuse,
    Share,
    Work,
    choose_cache,
    choose_reuse,
    common_prefix,
    plan,
)


def work(*prefills: int) -> list[Work]:
    """Slots 0, 1, … in order of arrival, with so much prefill left."""
    return [Work(slot=n, prefill=p, arrival=n) for n, p in enumerate(prefills)]


@pytest.mark.parametrize(
    ("prefills", "batch", "chunk", "shares"),
    [
        ((), 8, 8, []),
        ((0, 0), 8, 8, [Share(0, 1, True), Share(1, 1, True)]),
        ((5,), 8, 8, [Share(0, 5, True)]),
        ((20,), 8, 8, [Share(0, 8, False)]),
        ((20,), 8, 3, [Share(0, 3, False)]),
        # A running slot always goes first, whatever waits.
        ((100, 0), 8, 8, [Share(1, 1, True), Share(0, 7, False)]),
        # The oldest has a quarter, the shortest the rest.
        ((100, 6), 8, 8, [Share(0, 2, False), Share(1, 6, True)]),
        ((100, 100), 8, 8, [Share(0, 8, False)]),
        ((100, 3), 8, 8, [Share(0, 5, False), Share(1, 3, True)]),
        # No room left for prefill.
        ((9, 0, 0), 2, 8, [Share(1, 1, True), Share(2, 1, True)]),
    ],
)
def test_a_batch_holds(
    prefills: tuple[int, ...], batch: int, chunk: int, shares: list[Share]
) -> None:
    assert list(plan(work(*prefills), batch=batch, chunk=chunk)) == shares


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(8, 64), st.integers(1, 64))
def test_a_batch_keeps_to_its_limits_and_always_makes_progress(
    prefills: list[int], batch: int, chunk: int
) -> None:
    slots = work(*prefills)
    shares = plan(slots, batch=batch, chunk=chunk)
    left = {w.slot: w.prefill for w in slots}
    assert sum(s.count for s in shares) <= batch
    assert sum(s.count for s in shares if left[s.slot]) <= chunk
    assert len({s.slot for s in shares}) == len(shares)
    assert all(1 <= s.count <= max(1, left[s.slot]) for s in shares)
    assert all(s.sample == (s.count >= left[s.slot]) for s in shares)
    assert {w.slot for w in slots if not w.prefill} <= {s.slot for s in shares}
    if slots and len(slots) <= batch:
        assert shares
    waiting = [w.slot for w in slots if w.prefill]
    if waiting and batch > len(slots):
        assert waiting[0] in {s.slot for s in shares}, "the oldest prompt never starves"


def test_the_first_chunk_is_small_while_the_speed_is_unknown() -> None:
    assert Pace().chunk(running=0, batch=512) == 32


def test_a_slow_box_gets_chunks_that_a_cancel_need_not_wait_long_for() -> None:
    pace = Pace().observe(prefilled=32, running=0, seconds=0.32)  # 10 ms a token
    assert pace.chunk(running=0, batch=512) == int(PREFILL_ALONE_S / 0.01)


def test_a_fast_box_gets_whole_batches() -> None:
    pace = Pace().observe(prefilled=32, running=0, seconds=0.001)
    assert pace.chunk(running=0, batch=512) == 512


def test_prefill_beside_running_answers_stretches_their_step_by_a_bounded_factor() -> None:
    pace = Pace(prefill_s=0.001, decode_s=0.020)
    chunk = pace.chunk(running=4, batch=512)
    assert 20 <= chunk <= 30
    assert 0.020 + chunk * 0.001 <= 3 * 0.020


def test_a_chunk_is_never_so_small_that_prefill_stops() -> None:
    assert Pace(prefill_s=10.0, decode_s=0.001).chunk(running=1, batch=512) == SMALLEST_CHUNK
    assert Pace(prefill_s=10.0).chunk(running=0, batch=4) == SMALLEST_CHUNK


def test_decode_time_is_learnt_from_steps_without_prefill_only() -> None:
    pace = Pace().observe(prefilled=0, running=2, seconds=0.010)
    after = pace.observe(prefilled=50, running=2, seconds=0.060)
    assert after.decode_s == pytest.approx(0.010)
    assert after.prefill_s == pytest.approx(0.001)


@pytest.mark.parametrize("fixed_s", [0.0, 0.009])
@pytest.mark.parametrize("each_s", [0.0002, 0.002, 0.05])
def test_prefill_beside_running_answers_finds_what_fits(fixed_s: float, each_s: float) -> None:
    """Also where a pass costs ``fixed_s`` however few tokens it has."""
    decode_s = 0.014
    pace = Pace(prefill_s=each_s, decode_s=decode_s)
    room = 1.5 * decode_s
    for step in range(60):
        chunk = pace.chunk(running=4, batch=512)
        extra = fixed_s + chunk * each_s
        if step > 30:
            assert extra <= 1.3 * room or chunk == SMALLEST_CHUNK
            assert extra >= 0.6 * room
        pace = pace.observe(prefilled=chunk, running=4, seconds=decode_s + extra)


def test_the_last_few_tokens_of_a_prompt_and_one_slow_step_change_little() -> None:
    pace = Pace(prefill_s=0.001, decode_s=0.02, beside=24)
    assert pace.observe(prefilled=2, running=4, seconds=0.022).beside == 24
    slow = pace.observe(prefilled=24, running=4, seconds=1.0)
    assert slow.beside == 12
    assert slow.prefill_s == pace.prefill_s


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
    ],
)
def test_where_a_prompt_starts_from(
    free: dict[int, list[int]], busy: dict[int, list[int]], chosen: Reuse
) -> None:
    prompt = [1, 2, 3, 4, 5, 6]
    assert choose_reuse(prompt, free, busy, {1: 1}, worth_copying=3) == chosen


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
