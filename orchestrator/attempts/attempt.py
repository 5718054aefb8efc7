"""One attempt, seen from the orchestrator: its events in order, and how it ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.delivery import Delivery
from mesh.errors import DeadlineExceeded, MeshError, NodeLost, ProtocolError, from_code
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
)
from orchestrator.attempts.stall import Pace
from orchestrator.slots.capacity import Reservation

__all__ = ["GRANT_STEP", "AttemptRun", "Broken", "Delivery", "Outcome"]

# Credit goes back in steps, not piece by piece: a quarter of the window keeps the node from ever
# waiting for a reader that keeps up, at a sixteenth of the frames.
GRANT_STEP = DEFAULT_CREDIT // 4


@dataclass(frozen=True, slots=True)
class Broken:
    """The attempt ended badly; what was delivered stands. ``blame``: the node is to be set aside
    (a draining node is not)."""

    error: MeshError
    blame: bool


Outcome = Finished | Refused | Broken


class AttemptRun:
    """Iterates ``Accepted``, ``Progress`` and new ``Tokens``; ``outcome`` is set once it ends.

    Credit is granted as the consumer comes back for more, so a client that does not read stops its
    own node and nothing else. ``tokenizer``: the model's hash. Nothing is timed here: whoever
    watches (``orchestrator/attempts/watch.py``) looks at ``pace`` and calls ``abandon``.
    """

    def __init__(
        self,
        stream: AttemptStream,
        delivery: Delivery,
        clock: Clock,
        *,
        deadline: float,
        tokenizer: str,
        pace: Pace | None = None,
    ) -> None:
        self._stream = stream
        self._delivery = delivery
        self._clock = clock
        self._tokenizer = tokenizer
        self.deadline = deadline
        self.pace = pace or Pace(since=clock.now(), heard=clock.now(), credit=DEFAULT_CREDIT)
        self.outcome: Outcome | None = None
        self.elsewhere: Reservation | None = None
        self._abandoned: Broken | None = None

    @property
    def delivered(self) -> bool:
        """Whether the client has a token already, of this attempt or of one before."""
        return bool(self._delivery.pieces)

    def abandon(self, why: Broken, elsewhere: Reservation | None = None) -> None:
        """Ends the attempt from outside, as ``why``; a ``DeadlineExceeded`` in it is raised by
        ``events``. ``elsewhere``: a slot, held for what comes next; the consumer takes it over."""
        if self.outcome is not None or self._abandoned is not None:
            if elsewhere is not None:
                elsewhere.release()
            return
        self._abandoned, self.elsewhere = why, elsewhere
        self._stream.cancel()

    async def events(
        self, first: tuple[AttemptEvent, ...] = ()
    ) -> AsyncGenerator[Accepted | Progress | Tokens, None]:
        """``first``: events of the stream that were read already. Raises ``DeadlineExceeded``;
        every other end is an ``outcome``."""
        owed = 0
        stream, pace, now = self._stream, self.pace, self._clock.now
        ahead = iter(first)
        try:
            while self.outcome is None:
                match next(ahead, None) or await self._next():
                    case Tokens(pieces=pieces) as tokens:
                        pace.received(len(pieces), now())
                        owed += len(pieces)
                        fresh = self._delivery.accept(tokens, self._tokenizer)
                        if fresh is not None:
                            yield fresh
                        if owed >= GRANT_STEP:
                            stream.grant(owed)
                            pace.credit += owed
                            owed = 0
                    case Accepted() as sign:
                        pace.accepted(now())
                        yield sign
                    case Progress(phase=phase, done=done) as sign:
                        pace.progressed(phase, done, now())
                        yield sign
                    case Finished() | Refused() as end:
                        self.outcome = end
                    case Failed(code=code, message=message):
                        error = from_code(code, message)
                        if isinstance(error, DeadlineExceeded):
                            raise error
                        self.outcome = Broken(error, blame=code != "draining")
                    case None:
                        self.outcome = self._ended()
                    case event:
                        raise ProtocolError(f"the node sent {type(event).__name__} for an answer")
        except (NodeLost, ProtocolError) as error:
            self.outcome = Broken(error, blame=True)

    async def _next(self) -> AttemptEvent | None:
        """The next event; while it is waited for, the node is on the clock."""
        pace, now = self.pace, self._clock.now()
        if now >= self.deadline:
            raise DeadlineExceeded("")  # dispatch words it: it knows what was delivered
        pace.wait(now)
        try:
            return await anext(self._stream, None)
        finally:
            pace.waiting = False

    def _ended(self) -> Broken:
        if self._abandoned is None:
            return Broken(NodeLost("the node's stream ended without a last word"), blame=True)
        if isinstance(self._abandoned.error, DeadlineExceeded):
            raise self._abandoned.error
        return self._abandoned
