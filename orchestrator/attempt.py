"""One attempt, seen from the orchestrator: its events in order, and how it ended.

``Delivery`` is the request's side of invariant 1 (pure): only the next expected piece is passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from mesh.clock import Clock
from mesh.errors import DeadlineExceeded, MeshError, NodeLost, ProtocolError, from_code
from mesh.transport.base import (
    DEFAULT_CREDIT,
    Accepted,
    AttemptStream,
    Failed,
    Finished,
    Progress,
    Refused,
    Tokens,
)
from mesh.types import Piece

# Credit goes back in steps, not piece by piece: a quarter of the window keeps the node from ever
# waiting for a reader that keeps up, at a sixteenth of the frames.
GRANT_STEP = DEFAULT_CREDIT // 4


@dataclass(slots=True)
class Delivery:
    """The pieces that the client has. ``tokenizer``: the hash whose ids they all are, "" when they
    come from several tokenizers, or none is known: then only their text means anything."""

    pieces: list[Piece] = field(default_factory=list)
    tokenizer: str = ""

    def accept(self, tokens: Tokens, tokenizer: str) -> Tokens | None:
        """What of it is new, None when nothing is. Raises ``ProtocolError`` on a gap."""
        expected = len(self.pieces)
        if tokens.first > expected:
            raise ProtocolError(
                f"the node skipped from token {expected} to {tokens.first}; its stream is dropped"
            )
        fresh = tokens.pieces[expected - tokens.first :]
        if not fresh:
            return None
        if not self.pieces:
            self.tokenizer = tokenizer
        elif self.tokenizer != tokenizer:
            self.tokenizer = ""
        self.pieces.extend(fresh)
        return tokens if len(fresh) == len(tokens.pieces) else Tokens(first=expected, pieces=fresh)


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
    own node and nothing else. ``tokenizer``: the model's hash.
    """

    def __init__(
        self,
        stream: AttemptStream,
        delivery: Delivery,
        clock: Clock,
        *,
        deadline: float,
        tokenizer: str,
    ) -> None:
        self._stream = stream
        self._delivery = delivery
        self._clock = clock
        self._deadline = deadline
        self._tokenizer = tokenizer
        self.outcome: Outcome | None = None

    async def events(self) -> AsyncGenerator[Accepted | Progress | Tokens, None]:
        """Raises ``DeadlineExceeded``; every other end is an ``outcome``."""
        owed = 0
        stream = self._stream
        try:
            while self.outcome is None:
                match await self._next():
                    case Tokens(pieces=pieces) as tokens:
                        owed += len(pieces)
                        fresh = self._delivery.accept(tokens, self._tokenizer)
                        if fresh is not None:
                            yield fresh
                        if owed >= GRANT_STEP:
                            stream.grant(owed)
                            owed = 0
                    case Accepted() | Progress() as sign:
                        yield sign
                    case Finished() | Refused() as end:
                        self.outcome = end
                    case Failed(code=code, message=message):
                        error = from_code(code, message)
                        if isinstance(error, DeadlineExceeded):
                            raise error
                        self.outcome = Broken(error, blame=code != "draining")
                    case None:
                        self.outcome = Broken(
                            NodeLost("the node's stream ended without a last word"), blame=True
                        )
        except (NodeLost, ProtocolError) as error:
            self.outcome = Broken(error, blame=True)

    async def _next(self) -> Accepted | Progress | Tokens | Finished | Refused | Failed | None:
        left = self._deadline - self._clock.now()
        try:
            async with asyncio.timeout(max(0.0, left)):
                return await anext(self._stream, None)
        except TimeoutError:
            raise DeadlineExceeded("") from None  # dispatch words it: it knows what was delivered
