"""What goes into a batch, by table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.scheduler import (
    PREFILL_ALONE_S,
    SMALLEST_CHUNK,
    Pace,
    Share,
    Work,
    choose_cache,
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
    assert Pace(prefill_s=10.0).chunk(running=0, batch=4) == 4


def test_decode_time_is_learnt_from_steps_without_prefill_only() -> None:
    pace = Pace().observe(prefilled=0, running=2, seconds=0.010)
    after = pace.observe(prefilled=50, running=2, seconds=0.060)
    assert after.decode_s == pytest.approx(0.010)
    assert after.prefill_s == pytest.approx(0.001)


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
