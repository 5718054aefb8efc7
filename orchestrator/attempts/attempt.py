"""One attempt, seen from the orchestrator: its events in order, and how it ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import Enum, auto
from math import inf

from mesh.clock import Clock
from mesh.embedding import count_of
from mesh.errors import (
    AttemptFailed,
    DeadlineExceeded,
    Draining,
    MeshError,
    NodeLost,
    ProtocolError,
    Unread,
    without_frames,
)
from mesh.fleet.records import ModelRecord
from mesh.fleet.weights import weights_of
from mesh.spans import span
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
from orchestrator.attempts.claims import counted, ended, error_of
from orchestrator.attempts.collect import Collector
from orchestrator.attempts.race import next_within
from orchestrator.attempts.stall import Pace, Phase, known_token_s

# Credit goes back in steps, not piece by piece: a quarter of the window keeps the node from ever
# waiting for a reader that keeps up, at a sixteenth of the frames.
GRANT_STEP = DEFAULT_CREDIT // 4
# Seconds before the deadline from which on a node may say that it is over: clocks and ways differ.
EARLY_S = 0.5


class Blame(Enum):
    """Request, model and node are three things: a model that breaks on a node is set aside there,
    and that node's other models go on."""

    NOBODY = auto()
    MODEL = auto()  # this model, on this node
    NODE = auto()


@dataclass(frozen=True, slots=True)
class Broken:
    """The attempt ended badly; what was delivered stands. ``blame``: who is to be set aside."""

    error: MeshError
    blame: Blame

    def __post_init__(self) -> None:
        without_frames(self.error)  # it is kept by the run, which is in those frames


Outcome = Finished | Refused | Broken


class AttemptRun:
    """Iterates ``Accepted``, ``Progress`` and what is new of ``Tokens``; ``outcome`` is set once it
    ends. ``row``, ``model``: where it runs.

    Credit is granted as the consumer comes back for more, so a client that does not read stops its
    own node and nothing else. ``give_back``: gives its slot back, idempotent.
    ``first_s``: seconds that its first token may take (``Pace``). Nothing is timed
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
        first_s: float = inf,
    ) -> None:
        self.row = row
        self.model = model
        self.stream = stream
        self.deadline = deadline
        self.ahead: tuple[AttemptEvent, ...] = ()  # read from the stream, and not taken yet
        now = clock.now()
        self.pace = Pace(
            since=now,
            heard=now,
            opened=now,
            credit=DEFAULT_CREDIT,
            first_s=first_s,
            known_s=known_token_s(model),
        )
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
            self.abandon(Broken(why, blame=Blame.NOBODY))
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
            self.outcome = Broken(error, blame=Blame.NODE)

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
                        fresh = take(tokens, tokenizer, self.model.context_length)
                        if fresh is not None:
                            yield fresh
                        if (over := self._collector.over) is not None:
                            self.outcome = ended(over, self._collector.delivered)
                            return
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
                        self.outcome = counted(end)
                    case Refused() as end:
                        self.outcome = end
                    case Failed(code=code, message=message):
                        self.outcome = self._failed(error_of(code, message))
                    case None:
                        self.outcome = self._ended()
        except NodeLost as error:
            self.outcome = Broken(error, blame=Blame.NODE)
        except ProtocolError as error:
            self.outcome = Broken(error, blame=Blame.MODEL)

    def _failed(self, error: MeshError) -> Broken:
        match error:
            case DeadlineExceeded():
                left = self.deadline - self._clock.now()
                if left <= EARLY_S:
                    raise error
                early = f"the node gave up {span(left)} before the deadline"
                return Broken(AttemptFailed(early), blame=Blame.MODEL)
            case Draining():
                return Broken(error, blame=Blame.NOBODY)
            case NodeLost():  # it passed the request on, and lost that peer
                return Broken(error, blame=Blame.NODE)
        return Broken(error, blame=Blame.MODEL)

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
            error = NodeLost("the node's stream ended without a last word")
            return Broken(error, blame=Blame.MODEL)
        if isinstance(self._abandoned.error, DeadlineExceeded):
            # Another one: what is raised has its frames, and they this run, which keeps the first.
            raise DeadlineExceeded(self._abandoned.error.message)
        return self._abandoned
