"""Latencies in bounded memory: an HDR histogram (hdrhistogram.org) of microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

LONGEST_S = 3600.0
_MICROS = 1_000_000
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Milliseconds, but for ``count``."""

    count: int
    mean: float
    min: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class Distribution:
    """Times from 1 µs to ``LONGEST_S`` to ``digits`` significant digits (3: within 0.1%; 200 KB,
    2: within 1%; 27 KB). Longer ones count as the longest; minimum, maximum and mean are exact."""

    def __init__(self, digits: int = 3) -> None:
        self._histogram = HdrHistogram(1, int(LONGEST_S * _MICROS), digits)
        self._count, self._sum = 0, 0.0
        self._min, self._max = LONGEST_S, 0.0

    @property
    def count(self) -> int:
        return self._count

    def record(self, seconds: float, count: int = 1) -> None:
        if count < 1:
            return
        seconds = min(max(0.0, seconds), LONGEST_S)
        self._histogram.record_value(round(seconds * _MICROS), count)
        self._count += count
        self._sum += seconds * count
        self._min = min(self._min, seconds)
        self._max = max(self._max, seconds)

    def milliseconds(self, percentiles: Sequence[float]) -> tuple[float, ...]:
        """The values at ``percentiles`` (0..100), 0 each when nothing was recorded."""
        if not self._count:
            return (0.0,) * len(percentiles)
        values = self._histogram.get_percentile_to_value_dict(percentiles)
        # A bucket is as wide as its digits: its upper end may lie above what was ever recorded.
        return tuple(min(values[p] / 1000, self._max * 1000) for p in percentiles)

    def summary(self) -> Summary | None:
        """None when nothing was recorded."""
        if not self._count:
            return None
        p50, p90, p99, p999 = self.milliseconds(PERCENTILES)
        return Summary(
            count=self._count,
            mean=1000 * self._sum / self._count,
            min=1000 * self._min,
            p50=p50,
            p90=p90,
            p99=p99,
            p999=p999,
            max=1000 * self._max,
        )

    def reset(self) -> None:
        self._histogram.reset()
        self._count, self._sum = 0, 0.0
        self._min, self._max = LONGEST_S, 0.0
