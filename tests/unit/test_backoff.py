"""Pauses between tries: bounded, growing, and apart from one another."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.backoff import Backoff, decorrelated, exponential, spread
from mesh.local.supervisor import MAX_BACKOFF_S


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 1), (1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (50, 10), (10**9, 10)],
)
def test_exponential_doubles_up_to_the_cap(failures: int, seconds: float) -> None:
    assert exponential(failures, cap_s=MAX_BACKOFF_S) == seconds


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.5), (2, 1.0), (4, 3.0)])
def test_exponential_begins_at_its_base(failures: int, seconds: float) -> None:
    assert exponential(failures, base_s=0.5, cap_s=3.0) == seconds


@given(last=st.floats(0.05, 2.0), seed=st.integers(0, 1000))
def test_decorrelated_is_drawn_between_the_base_and_three_times_the_last(
    last: float, seed: int
) -> None:
    pause = decorrelated(last, base_s=0.05, cap_s=2.0, rng=random.Random(seed))
    assert 0.05 <= pause <= min(2.0, 3 * last)


def test_decorrelated_reaches_both_its_ends() -> None:
    rng = random.Random(1)
    pauses = [decorrelated(0.1, base_s=0.05, cap_s=2.0, rng=rng) for _ in range(500)]
    assert min(pauses) < 0.06
    assert max(pauses) > 0.29


def test_back_off_grows_and_stays_within_its_bounds() -> None:
    backoff = Backoff(0.05, 2.0, random.Random(3))
    pauses = [backoff.next() for _ in range(200)]
    assert all(0.05 <= pause <= 2.0 for pause in pauses)
    assert pauses[0] <= 0.15
    assert max(pauses) > 1.0
    backoff.reset()
    assert backoff.next() <= 0.15


def test_spread_is_half_to_one_and_a_half_times() -> None:
    rng = random.Random(1)
    pauses = [spread(2.0, rng) for _ in range(500)]
    assert 1.0 <= min(pauses) < 1.05
    assert 2.95 < max(pauses) <= 3.0
