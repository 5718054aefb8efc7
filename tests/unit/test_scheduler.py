"""What goes into a batch, by table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.engines.scheduler import OpenSlot, Share, plan


def work(*prefills: int) -> list[OpenSlot]:
    """Slots 0, 1, … in order of arrival, with so much prefill left."""
    return [OpenSlot(slot=n, prefill=p, arrival=n) for n, p in enumerate(prefills)]


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
        # Who was first has something of the smallest budget too, however short the others are.
        ((100, 1), 1, 8, [Share(0, 1, False)]),
        ((100, 1), 8, 1, [Share(0, 1, False)]),
        ((100, 5), 2, 8, [Share(0, 1, False), Share(1, 1, False)]),
        ((100, 1, 1), 3, 8, [Share(0, 1, False), Share(1, 1, True), Share(2, 1, True)]),
        ((100, 9), 8, 4, [Share(0, 1, False), Share(1, 3, False)]),
        ((100, 9), 8, 5, [Share(0, 2, False), Share(1, 3, False)]),
        ((0, 100, 1), 2, 8, [Share(0, 1, True), Share(1, 1, False)]),
        # Of equally short ones the earlier, and no more than it has left.
        ((100, 4, 4), 8, 6, [Share(0, 2, False), Share(1, 4, True)]),
        ((2, 9, 3), 64, 8, [Share(0, 2, True), Share(1, 3, False), Share(2, 3, True)]),
        # More run than a batch has room for: those that came first.
        ((0, 0, 0), 2, 8, [Share(0, 1, True), Share(1, 1, True)]),
    ],
)
def test_a_batch_holds(
    prefills: tuple[int, ...], batch: int, chunk: int, shares: list[Share]
) -> None:
    assert list(plan(work(*prefills), batch=batch, chunk=chunk)) == shares


def test_arrival_counts_and_not_the_number_of_the_slot() -> None:
    early, late = OpenSlot(slot=7, prefill=0, arrival=1), OpenSlot(slot=2, prefill=0, arrival=5)
    assert plan([late, early], batch=1, chunk=1) == (Share(7, 1, True),)
    first, second = OpenSlot(slot=9, prefill=40, arrival=2), OpenSlot(slot=1, prefill=40, arrival=3)
    assert plan([second, first], batch=1, chunk=1) == (Share(9, 1, False),)


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(1, 64), st.integers(1, 64))
def test_a_batch_keeps_to_its_limits_and_always_makes_progress(
    prefills: list[int], batch: int, chunk: int
) -> None:
    slots = work(*prefills)
    shares = plan(slots, batch=batch, chunk=chunk)
    left = {w.slot: w.prefill for w in slots}
    given_to = {s.slot: s.count for s in shares}
    running = [w.slot for w in slots if not w.prefill]
    waiting = [w.slot for w in slots if w.prefill]
    budget = min(chunk, batch - len(running))
    assert len(given_to) == len(shares)
    assert all(1 <= s.count <= max(1, left[s.slot]) for s in shares)
    assert all(s.sample == (s.count >= left[s.slot]) for s in shares)
    assert [slot for slot in running if slot in given_to] == running[:batch]
    prefill = sum(given_to.get(slot, 0) for slot in waiting)
    assert prefill == max(0, min(budget, sum(left.values()))), "nothing of the budget is wasted"
    if waiting and budget > 0:
        oldest = waiting[0]
        assert given_to[oldest] >= min(left[oldest], budget / 4), "the oldest prompt never starves"


@pytest.mark.parametrize("budget", [1, 2, 3, 4, 7])
def test_a_long_prompt_is_done_in_time_though_short_ones_never_stop_coming(budget: int) -> None:
    left = 40
    steps = 0
    while left:
        steps += 1
        short = [OpenSlot(slot=n, prefill=1, arrival=100 + steps + n) for n in range(1, 9)]
        shares = plan([*short, OpenSlot(slot=0, prefill=left, arrival=0)], batch=64, chunk=budget)
        left -= next(s.count for s in shares if s.slot == 0)
        assert steps <= 40
    assert steps <= 160 / budget
