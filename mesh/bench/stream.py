"""One stream as its reader sees it: times, resumes and checks, told to the recorder."""

from __future__ import annotations

from mesh.bench.check import StreamCheck
from mesh.bench.objective import Latency
from mesh.bench.record import Recorder, ResumeSeen, StreamEnd
from mesh.errors import MeshError
from mesh.stream import Assigned, Decided, Done, Progress, StreamEvent, Tokens, Waiting
from mesh.types import ModelId, NodeId, RequestId

Simulated = frozenset[tuple[NodeId, ModelId]]
NOBODY = "(nobody)"


class Observation:
    """``due``: monotonic seconds; every latency counts from there. ``simulated``: the models whose
    text is known beforehand."""

    def __init__(
        self, recorder: Recorder, request: RequestId, *, due: float, simulated: Simulated
    ) -> None:
        self._recorder = recorder
        self._request = request
        self._due = due
        self._simulated = simulated
        self._check = StreamCheck(request)
        self._node = NOBODY
        self._before = ""  # the node that was lost, until the next token
        self._first: float | None = None
        self._last = 0.0
        self._longest: float | None = None
        self._tokens = 0
        self._attempts = 0
        self._resumed = False

    def saw(self, event: StreamEvent, now: float) -> None:
        """``now``: monotonic seconds at which it arrived."""
        match event:
            case Tokens():
                self._came(event, now)
            case Assigned():
                self._moved(event)
            case Done():
                self._check.done(event)
                self._resumed = self._resumed or event.resumed
            case Decided() | Waiting() | Progress():
                pass

    def ended(self, now: float, error: MeshError | None = None) -> None:
        """The stream is over, with ``error`` or well."""
        if error is None:
            self._check.closed()
        self._recorder.ended(self._end(now, error), now)

    def cut_off(self, now: float) -> None:
        """We ended it ourselves. What came until then must still be without a fault."""
        self._recorder.check(self._end(now, None))
        self._recorder.gave_up(now)

    def _came(self, event: Tokens, now: float) -> None:
        since_last: float | None = None
        if self._first is None:
            self._first = now
            self._recorder.first_token(now - self._due)
        else:
            since_last = now - self._last
            self._longest = max(self._longest or 0.0, since_last)
            if self._before:
                self._went_on(event.first, since_last, now)
        self._check.tokens(event)
        self._recorder.came(len(event.pieces), self._node, now, since_last=since_last)
        self._last = now
        self._tokens += len(event.pieces)

    def _moved(self, event: Assigned) -> None:
        self._check.assigned(event)
        # An answer is of known text only if all who made it are.
        known = (event.node, event.model) in self._simulated
        self._check.simulated = known and (self._check.simulated or not self._attempts)
        self._attempts += 1
        if self._tokens:
            self._before = self._node
            self._resumed = True
        self._node = event.node_name or event.node
        self._recorder.assigned(self._node)

    def _went_on(self, index: int, gap_s: float, now: float) -> None:
        self._recorder.went_on(
            ResumeSeen(
                request=self._request,
                at_s=now - self._recorder.start,
                before=self._before,
                after=self._node,
                index=index,
                gap_ms=1000 * gap_s,
            )
        )
        self._before = ""

    def _end(self, now: float, error: MeshError | None) -> StreamEnd:
        ttft = itl = None
        if self._first is not None:
            ttft = self._first - self._due
            if self._tokens > 1:
                itl = (self._last - self._first) / (self._tokens - 1)
        return StreamEnd(
            latency=Latency(ttft=ttft, itl=itl, gap=self._longest, e2e=now - self._due),
            resumed=self._resumed,
            by_content=self._check.simulated,
            violations=tuple(self._check.violations),
            code=error.code if error else None,
            message=error.message if error else "",
        )
