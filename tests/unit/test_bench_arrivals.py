"""Poisson arrivals, and the limits of both kinds of load."""

from __future__ import annotations

import statistics
from collections import Counter
from itertools import islice, pairwise
from random import Random

import pytest

from mesh.bench.arrivals import ClosedLoop, OpenLoop, poisson
from mesh.errors import ConfigError

RATE = 50.0
COUNT = 20_000


def dues(seed: int = 7) -> list[float]:
    return list(islice(poisson(RATE, Random(seed)), COUNT))


def test_gaps_have_mean_and_deviation_of_an_exponential() -> None:
    gaps = [later - earlier for earlier, later in pairwise([0.0, *dues()])]
    # The standard error of both is about 1 / sqrt(COUNT) = 0.7%.
    assert statistics.mean(gaps) == pytest.approx(1 / RATE, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(1 / RATE, rel=0.04)


def test_counts_in_a_second_have_a_variance_like_their_mean() -> None:
    seconds = Counter(int(due) for due in dues())
    counts = [seconds[second] for second in range(int(COUNT / RATE) - 5)]
    assert statistics.mean(counts) == pytest.approx(RATE, rel=0.03)
    assert statistics.variance(counts) == pytest.approx(RATE, rel=0.25)


def test_neighbouring_gaps_are_independent() -> None:
    gaps = [later - earlier for earlier, later in pairwise(dues())]
    assert abs(statistics.correlation(gaps[:-1], gaps[1:])) < 0.03


def test_a_seed_gives_the_same_schedule_again() -> None:
    assert dues(3) == dues(3)
    assert dues(3) != dues(4)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="--rate"):
        OpenLoop(rate=rate, max_in_flight=8)


@pytest.mark.parametrize("count", [0, -1, 5_000])
def test_the_number_of_streams_is_bounded(count: int) -> None:
    with pytest.raises(ConfigError, match="--clients must be 1 to 4096"):
        ClosedLoop(clients=count)
    with pytest.raises(ConfigError, match="--max-in-flight must be 1 to 4096"):
        OpenLoop(rate=1.0, max_in_flight=count)
