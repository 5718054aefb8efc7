"""One row for every second of a run."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.bench.distribution import Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """The second that began ``at_s`` seconds into the run. ``due``: requests of it; ``in_flight``:
    open streams at its end. Percentiles in milliseconds of what happened in it, None for nothing.
    """

    at_s: int
    due: int
    not_started: int
    finished: int
    failed: int
    tokens: int
    in_flight: int
    ttft_p50: float | None
    ttft_p99: float | None
    itl_p50: float | None
    itl_p99: float | None


class Series:
    """Counts of the second under way, and the ``rows`` of those before. Two digits will do for a
    plot, and keep closing a second at about a millisecond."""

    def __init__(self) -> None:
        self.rows: list[Second] = []
        self.ttft, self.itl = Distribution(digits=2), Distribution(digits=2)
        self.due = self.not_started = self.finished = self.failed = self.tokens = 0

    @property
    def began_s(self) -> int:
        """When the second under way began, in seconds into the run."""
        return len(self.rows)

    @property
    def empty(self) -> bool:
        """Whether nothing happened in the second under way."""
        return not (self.due or self.finished or self.failed or self.tokens)

    def close_second(self, in_flight: int) -> Second:
        ttft_p50, ttft_p99 = _p50_p99(self.ttft)
        itl_p50, itl_p99 = _p50_p99(self.itl)
        row = Second(
            at_s=self.began_s,
            due=self.due,
            not_started=self.not_started,
            finished=self.finished,
            failed=self.failed,
            tokens=self.tokens,
            in_flight=in_flight,
            ttft_p50=ttft_p50,
            ttft_p99=ttft_p99,
            itl_p50=itl_p50,
            itl_p99=itl_p99,
        )
        self.rows.append(row)
        self.due = self.not_started = self.finished = self.failed = self.tokens = 0
        self.ttft.reset()
        self.itl.reset()
        return row


def _p50_p99(distribution: Distribution) -> tuple[float | None, float | None]:
    if not distribution.count:
        return None, None
    p50, p99 = distribution.milliseconds((50.0, 99.0))
    return p50, p99
