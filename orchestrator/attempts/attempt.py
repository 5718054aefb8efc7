"""One attempt, seen from the orchestrator: its events in order, and how it ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.embedding import count_of
from mesh.errors import (
    DeadlineExceeded,
    MeshError,
    NodeLost,
    ProtocolError,
    Unread,
    from_code,
    without_frames,
)
from mesh.fleet.records import ModelRecord
from mesh.fleet.weights import weights_of
from mesh.transport.base import (
    DEFAULT_CREDIT,
    Accepted,
    AttemptEvent,
    AttemptStream,
    Failed,
    Finished,
    Progress,
    Refused,
    Tokens,
    Vectors,
)
from mesh.types import Candidate
from orchestrator.attempts.collect import Collector
from orchestrator.attempts.race import next_within
from orchestrator.attempts.stall import Pace, Phase

# Credit goes back in steps, not piece by piece: a quarter of the window keeps the node from ever
# waiting for a reader that keeps up, at a sixteenth of the frames.
GRANT_STEP = DEFAULT_CREDIT // 4


@dataclass(frozen=True, slots=True)
class Broken:
    """The attempt ended badly; what was delivered stands. ``blame``: the node is to be set aside
    (a draining node is not)."""

    error: MeshError
    blame: bool

    def __post_init__(self) -> None:
        without_frames(self.error)  # it is kept by the run, which is in those frames


Outcome = Finished | Refused | Broken


class AttemptRun:
    """Iterates ``Accepted``, ``Progress`` and what is new of ``Tokens``; ``outcome`` is set once it
    ends. ``row``, ``model``: where it runs.

    Credit is granted as the consumer comes back for more, so a client that does not read stops its
    own node and nothing else. ``give_back``: gives its slot back, idempotent. Nothing is timed
    here: whoever watches (``orchestrator/attempts/watch.py``) looks at ``pace``.
    """

    def __init__(
        self,
        row: Candidate,
        model: ModelRecord,
        stream: AttemptStream,
        collector: Collector,
        clock: Clock,
        *,
        deadline: float,
        give_back: Callable[[], None] = lambda: None,
    ) -> None:
        self.row = row
        self.model = model
        self.stream = stream
        self.deadline = deadline
        self.ahead: tuple[AttemptEvent, ...] = ()  # read from the stream, and not taken yet
        self.pace = Pace(since=clock.now(), heard=clock.now(), credit=DEFAULT_CREDIT)
        self.outcome: Outcome | None = None
        self._collector = collector
        self._clock = clock
        self._abandoned: Broken | None = None
        self._give_back = give_back

    @property
    def weights(self) -> str:
        """See ``mesh/fleet/weights.py``."""
        return weights_of(self.model)

    @property
    def movable(self) -> bool:
        """Whether another attempt may take its place."""
        going = self.outcome is None and self._abandoned is None
        return going and (self._collector.resumable or not self._collector.delivered)

    def abandon(self, why: Broken) -> None:
        """Ends the attempt from outside, as ``why``; a ``DeadlineExceeded`` in it is raised by
        ``events``."""
        if self.outcome is None and self._abandoned is None:
            self._abandoned = why
            self.stream.cancel()

    def pause(self, why: Unread) -> None:
        """Ends the attempt and gives its slot back now, although nobody comes for what it brought:
        who does so later finds it ended, and goes on in another."""
        if self.outcome is None and self._abandoned is None:
            self.abandon(Broken(why, blame=False))
            self._give_back()

    async def signs(self, seconds: float) -> AsyncGenerator[Accepted | Progress, None]:
        """What comes before the first token, for so long at most; ``events`` goes on after it."""
        until = self._clock.now() + seconds
        try:
            while (left := until - self._clock.now()) > 0:
                match await next_within(self.stream, self._clock, left):
                    case Accepted() | Progress() as sign:
                        self._note(sign)
                        yield sign
                    case None:  # late, or it has ended; who reads on learns how
                        return
                    case event:
                        self.ahead = (event,)
                        return
        except NodeLost as error:
            self.outcome = Broken(error, blame=True)

    async def events(self) -> AsyncGenerator[Accepted | Progress | Tokens, None]:
        """Raises ``DeadlineExceeded``; every other end is an ``outcome``."""
        owed = 0
        pace, now, tokenizer = self.pace, self._clock.now, self.model.tokenizer_hash
        take = self._collector.take
        ahead = iter(self.ahead)
        try:
            while self.outcome is None:
                match next(ahead, None) or await self._next():
                    case Tokens(pieces=pieces) as tokens:
                        pace.received(len(pieces), now())
                        owed += len(pieces)
                        fresh = take(tokens, tokenizer)
                        if fresh is not None:
                            yield fresh
                        if owed >= GRANT_STEP:
                            self.stream.grant(owed)
                            pace.credit += owed
                            owed = 0
                    case Vectors(first=first, dimension=dimension, data=data) as vectors:
                        take(vectors, tokenizer)
                        count = first + count_of(data, dimension)
                        pace.progressed(Phase.PREFILLING.value, count, now())
                    case Accepted() | Progress() as sign:
                        self._note(sign)
                        yield sign
                    case Finished() as end:
                        self._collector.finish()
                        self.outcome = end
                    case Refused() as end:
                        self.outcome = end
                    case Failed(code=code, message=message):
                        error = from_code(code, message)
                        if isinstance(error, DeadlineExceeded):
                            raise error
                        self.outcome = Broken(error, blame=code != "draining")
                    case None:
                        self.outcome = self._ended()
        except (NodeLost, ProtocolError) as error:
            self.outcome = Broken(error, blame=True)

    def _note(self, sign: Accepted | Progress) -> None:
        match sign:
            case Accepted():
                self.pace.accepted(self._clock.now())
            case Progress(phase=phase, done=done):
                self.pace.progressed(phase, done, self._clock.now())

    async def _next(self) -> AttemptEvent | None:
        """The next event; while it is waited for, the node is on the clock."""
        pace, now = self.pace, self._clock.now()
        if now >= self.deadline:
            raise DeadlineExceeded("")  # the course words it: it knows what was delivered
        pace.wait(now)
        try:
            return await anext(self.stream, None)
        finally:
            pace.waiting = False

    def _ended(self) -> Broken:
        if self._abandoned is None:
            return Broken(NodeLost("the node's stream ended without a last word"), blame=True)
        if isinstance(self._abandoned.error, DeadlineExceeded):
            # Another one: what is raised has its frames, and they this run, which keeps the first.
            raise DeadlineExceeded(self._abandoned.error.message)
        return self._abandoned
