"""What is measured while the load runs: distributions and counts, all of bounded size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from mesh.bench.check import Violation
from mesh.bench.distribution import Distribution
from mesh.bench.objective import Latency, Objective
from mesh.bench.series import Second, Series
from mesh.types import RequestId

MAX_LISTED = 100  # violations and resumes in the report; beyond that they are counted only
MAX_CODES = 100  # error codes and nodes are names off the wire: a limit on how many
MAX_NODES = 10_000
OTHER = "(other)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeSeen:
    """A stream that went on elsewhere after its node was lost, before token ``index``, and the
    pause that its reader saw. ``at_s``: seconds into the run at which the tokens went on."""

    request: RequestId
    at_s: float
    before: str
    after: str
    index: int
    gap_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEnd:
    """One stream, when it is over. ``code`` None: it finished well."""

    latency: Latency
    resumed: bool
    by_content: bool
    violations: tuple[Violation, ...]
    code: str | None = None
    message: str = ""


@dataclass(slots=True)
class NodeShare:
    """``assigned``: attempts it took; ``tokens``: that came from it."""

    assigned: int = 0
    tokens: int = 0


@dataclass(slots=True)
class ErrorCount:
    """``example``: the first one's message."""

    count: int
    example: str


class Recorder:
    """Counts from ``start`` (monotonic seconds) on. ``window_s``: over which rates are taken; None:
    until ``close``. What comes later belongs to streams that were open at its end: it counts in
    their latencies and not in the rates. But for a row a second, no list grows with the run.

    ``on_second`` is told each row as it is closed.
    """

    def __init__(
        self,
        start: float,
        objective: Objective,
        *,
        window_s: float | None = None,
        on_second: Callable[[Second], None] = lambda _: None,
    ) -> None:
        self.start = start
        self.objective = objective
        self.ttft, self.itl, self.e2e = Distribution(), Distribution(), Distribution()
        self.resume_gap, self.start_lag = Distribution(), Distribution()
        self.due = self.not_started = self.finished = self.failed = self.abandoned = 0
        self.resumed = self.good = self.tokens = self.together = self.in_flight = 0
        self.window_tokens = self.window_finished = self.window_good = 0
        self.checked = self.by_content = self.violated = 0
        self.missed: Counter[str] = Counter()
        self.errors: dict[str, ErrorCount] = {}
        self.nodes: dict[str, NodeShare] = {}
        self.violations: list[Violation] = []
        self.resumes: list[ResumeSeen] = []
        self.series = Series()
        self._window_s = window_s
        self._on_second = on_second

    @property
    def window_s(self) -> float:
        """Seconds that rates are over; 0 while that is open."""
        return self._window_s or 0.0

    def roll(self, now: float) -> None:
        """Closes the seconds that are over at ``now``."""
        while now - self.start >= self.series.began_s + 1:
            self._on_second(self.series.close_second(self.in_flight))

    def close(self, now: float) -> None:
        """The run is over. An open window ends now, and so does one that was to last longer."""
        self.roll(now)
        if not self.series.empty:
            self._on_second(self.series.close_second(self.in_flight))
        ran = max(now - self.start, 1e-6)
        self._window_s = min(ran, self._window_s or ran)

    def skipped(self, now: float) -> None:
        """A request was due, and too many streams were open."""
        self.roll(now)
        self.due += 1
        self.series.due += 1
        self.not_started += 1
        self.series.not_started += 1

    def began(self, due: float, now: float) -> None:
        """The request that was due at ``due`` goes out."""
        self.roll(now)
        self.due += 1
        self.series.due += 1
        self.in_flight += 1
        self.start_lag.record(now - due)

    def assigned(self, node: str) -> None:
        self._share(node).assigned += 1

    def first_token(self, seconds: float) -> None:
        self.ttft.record(seconds)
        self.series.ttft.record(seconds)

    def came(self, count: int, node: str, now: float, *, since_last: float | None) -> None:
        """``count`` tokens in one message, ``since_last`` seconds after the one before. They share
        its time: the first of them took that long, the others came with it, after 0 s."""
        self.roll(now)
        self.tokens += count
        self.series.tokens += count
        self.together += count - 1
        self._share(node).tokens += count
        if self._in_window(now):
            self.window_tokens += count
        for distribution in (self.itl, self.series.itl):
            if since_last is not None:
                distribution.record(since_last)
            distribution.record(0.0, count - 1)

    def went_on(self, resume: ResumeSeen) -> None:
        self.resume_gap.record(resume.gap_ms / 1000)
        if len(self.resumes) < MAX_LISTED:
            self.resumes.append(resume)

    def ended(self, end: StreamEnd, now: float) -> None:
        self.roll(now)
        self.in_flight -= 1
        self.check(end)
        self.resumed += end.resumed
        if end.code is not None:
            self.failed += 1
            self.series.failed += 1
            self._error(end.code, end.message)
            return
        self.finished += 1
        self.series.finished += 1
        self.e2e.record(end.latency.e2e)
        missed = self.objective.missed(end.latency)
        self.missed.update(missed)
        good = not missed and not end.violations
        self.good += good
        if self._in_window(now):
            self.window_finished += 1
            self.window_good += good

    def gave_up(self, now: float) -> None:
        """A stream was cut off by us: the run was interrupted."""
        self.roll(now)
        self.in_flight -= 1
        self.abandoned += 1

    def check(self, end: StreamEnd) -> None:
        """Counts what the checks said, and nothing else."""
        self.checked += 1
        self.by_content += end.by_content
        self.violated += bool(end.violations)
        self.violations.extend(end.violations[: MAX_LISTED - len(self.violations)])

    def adopt_checks(self, other: Recorder) -> None:
        """Takes over what ``other``, a warm-up's, says of broken streams."""
        self.checked += other.checked
        self.by_content += other.by_content
        self.violated += other.violated
        self.violations.extend(other.violations[: MAX_LISTED - len(self.violations)])

    def _in_window(self, now: float) -> bool:
        return self._window_s is None or now - self.start <= self._window_s

    def _share(self, node: str) -> NodeShare:
        if node not in self.nodes and len(self.nodes) >= MAX_NODES:
            node = OTHER
        return self.nodes.setdefault(node, NodeShare())

    def _error(self, code: str, message: str) -> None:
        if code not in self.errors and len(self.errors) >= MAX_CODES:
            code = OTHER
        self.errors.setdefault(code, ErrorCount(0, message)).count += 1
