"""Does a stage's confidence say how often it is right?

Expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015): decisions are put into ten
bins of equal width by their confidence; the error is the mean, weighted by how many a bin has, of
how far the share that is right is from the mean confidence.

The fallback and a conversation that merely stays say nothing of how sure they are (confidence 0),
so that they are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from training.router.quality.deciding import Made

BINS = 10


def expected_error(said: Iterable[tuple[float, bool]]) -> float:
    """Of (confidence, right) each; nan of none."""
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for confidence, right in said:
        bins[min(BINS - 1, int(confidence * BINS))].append((confidence, right))
    total = sum(map(len, bins.values()))
    if total == 0:
        return float("nan")
    return (
        sum(abs(sum(c for c, _ in found) - sum(r for _, r in found)) for found in bins.values())
        / total
    )


def sure(decided: Sequence[Made]) -> list[Made]:
    """Those that say how sure they are."""
    return [made for made in decided if made.confidence > 0.0]


def error_of(decided: Sequence[Made]) -> float:
    return expected_error((made.confidence, made.right) for made in sure(decided))
