"""What one request gathers from its attempts: the tokens of an answer, or the vectors of texts.

This is all in which the two differ. Tokens reach the client as they come, so that a lost node costs
only those after them, and the next attempt goes on from there. Vectors reach it whole: nothing was
delivered when a node is lost, and the same texts give the same vectors, so the next attempt begins
again, on any node of the specialty. All vectors of a reply are of one attempt, since those of two
models mean nothing to each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from mesh.delivery import Delivery
from mesh.embedding import EmbedRequest, count_of
from mesh.errors import ProtocolError
from mesh.fleet.records import ModelRecord
from mesh.manners import complete
from mesh.parts import prompt_bytes
from mesh.quarantine.marks import Marks, marks_of
from mesh.transport.base import Attempt, Finished, Tokens, Vectors
from mesh.types import FinishReason, ModelId, Piece, Request, Sampling
from mesh.validation import MAX_TOKENS
from orchestrator.attempts import claims

_LENGTH_SLACK = 1e-3  # float32, after thousands of squares


class Words(NamedTuple):
    """How a request is spoken of in errors: that it was not done, how far it came ("" where it
    comes whole or not at all), and what its client may do."""

    unfinished: str
    so_far: str
    advice: str


class Collector(Protocol):
    """``resumable`` False: once something was delivered, no other attempt goes on. ``strict``: only
    one of the same weights does."""

    resumable: bool
    strict: bool

    @property
    def delivered(self) -> int:
        """Pieces that the client has."""
        ...

    @property
    def tokenizer(self) -> str:
        """Whose ids they all are, "" where only their text means anything."""
        ...

    def attempt(self, model: ModelId, number: int, timeout_s: float, traceparent: str) -> Attempt:
        """What a node is asked: all that was not delivered. What was only gathered, is dropped."""
        ...

    def take(self, part: Tokens | Vectors, tokenizer: str, context: int = 0) -> Tokens | None:
        """What of it is for the client at once. ``tokenizer``: the hash of the model that made it;
        ``context``: its length in tokens, 0 if not known. Raises ``ProtocolError``."""
        ...

    @property
    def over(self) -> FinishReason | None:
        """Why nothing more may come: a limit of the request, which a node went past."""
        ...

    @property
    def full(self) -> bool:
        """Whether the client has all that it asked for, whatever the node still says."""
        ...

    def finish(self) -> None:
        """The node says that this was all. Raises ``ProtocolError`` when something is missing."""
        ...

    def doubt(self, end: Finished, model: ModelRecord) -> str:
        """Why such an end is not to be believed at once, "" where it is."""
        ...

    @property
    def bound(self) -> bool:
        """Whether the answer has to keep to a grammar or schema."""
        ...

    def marks(self) -> Marks:
        """By what the request is known again, where an engine was lost at work on it."""
        ...

    def words(self) -> Words: ...


class TokenCollector:
    """``request``: as its nodes get it (``mesh/manners.py``); ``said``: as its client sent it, None
    for the same. ``delivery``: what the client has, what it had at the beginning included."""

    def __init__(self, request: Request, said: Request | None = None) -> None:
        begun = request.continuation
        self.request = request
        self._said = said or request
        self.sampling = complete(request.sampling)
        self.resumable = request.resumable
        self.strict = request.strict
        self.over: FinishReason | None = None
        self.delivery = Delivery(list(begun.pieces), begun.tokenizer_hash) if begun else Delivery()
        self._stops = self.sampling.stop
        # Of the text so far, where a stop string may have begun that a later piece completes.
        self._reach = max((len(stop) for stop in self._stops), default=1) - 1
        self._tail = self._last("".join(piece.text for piece in self.delivery.pieces))

    @property
    def delivered(self) -> int:
        return len(self.delivery.pieces)

    @property
    def tokenizer(self) -> str:
        return self.delivery.tokenizer

    def attempt(self, model: ModelId, number: int, timeout_s: float, traceparent: str) -> Attempt:
        return Attempt(
            request_id=self.request.id,
            number=number,
            model=model,
            messages=self.request.messages,
            sampling=self.sampling,
            timeout_s=timeout_s,
            delivered=tuple(self.delivery.pieces),
            tokenizer_hash=self.tokenizer if self.delivered else "",
            traceparent=traceparent,
        )

    def take(self, part: Tokens | Vectors, tokenizer: str, context: int = 0) -> Tokens | None:
        if isinstance(part, Vectors):
            raise ProtocolError("the node sent vectors for an answer")
        allowed = self._allowed(part, context)
        return self.delivery.accept(allowed, tokenizer) if allowed is not None else None

    @property
    def full(self) -> bool:
        most = self.sampling.max_tokens
        return most is not None and self.delivered >= most

    def finish(self) -> None:
        pass  # how long an answer is, its node alone knows: ``doubt``

    def doubt(self, end: Finished, model: ModelRecord) -> str:
        if self.delivered and not self.resumable:
            return ""  # nobody else may be asked
        return claims.doubt(
            end,
            model,
            self.sampling,
            prompt=prompt_bytes(self.request.messages),
            delivered=self.delivered,
            text=any(piece.text for piece in self.delivery.pieces),
        )

    def _allowed(self, part: Tokens, context: int) -> Tokens | None:
        """What of it the request's limits let through, or the model's own where the request has
        none; ``over`` says which one cut the rest off."""
        had, most, limit = self.delivered, self.sampling.max_tokens, FinishReason.LENGTH
        if most is None:
            most, limit = context or MAX_TOKENS, FinishReason.CONTEXT
        if part.first > had:
            return part  # a gap, as the delivery finds
        if part.first + len(part.pieces) > most:
            self.over = limit
        pieces = part.pieces[had - part.first : max(0, most - part.first)]
        if self._stops:
            pieces = self._before_stop(pieces)
        return Tokens(first=had, pieces=pieces) if pieces else None

    def _before_stop(self, pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
        for number, piece in enumerate(pieces):
            text = self._tail + piece.text
            found = [at for at in map(text.find, self._stops) if at >= 0]
            if found:
                self.over = FinishReason.STOP_STRING
                kept = piece.text[: max(0, min(found) - len(self._tail))]
                return (*pieces[:number], Piece(piece.id, kept)) if kept else pieces[:number]
            self._tail = self._last(text)
        return pieces

    def _last(self, text: str) -> str:
        return text[-self._reach :] if self._reach else ""

    @property
    def bound(self) -> bool:
        return self.sampling.bound

    def marks(self) -> Marks:
        return marks_of(self._said.messages, self._said.sampling)

    def words(self) -> Words:
        count = self.delivered
        return Words(
            "the answer was not finished",
            "1 token was delivered" if count == 1 else f"{count} tokens were delivered",
            "allow more time or ask for fewer tokens",
        )


@dataclass(slots=True)
class VectorCollector:
    """``dimension`` and ``rows`` are those of the newest attempt."""

    request: EmbedRequest
    resumable: bool = True
    strict: bool = False
    over: FinishReason | None = None
    full: bool = False
    dimension: int = 0
    _count: int = 0
    _parts: list[bytes] = field(default_factory=list)

    @property
    def delivered(self) -> int:
        return 0

    @property
    def tokenizer(self) -> str:
        return ""

    @property
    def rows(self) -> bytes:
        return b"".join(self._parts)

    def attempt(self, model: ModelId, number: int, timeout_s: float, traceparent: str) -> Attempt:
        self.dimension = self._count = 0
        self._parts.clear()
        return Attempt(
            request_id=self.request.id,
            number=number,
            model=model,
            messages=(),
            sampling=Sampling(),
            texts=self.request.texts,
            credit=len(self.request.texts),
            timeout_s=timeout_s,
            traceparent=traceparent,
        )

    def take(self, part: Tokens | Vectors, tokenizer: str, context: int = 0) -> None:
        if isinstance(part, Tokens):
            raise ProtocolError("the node sent tokens for vectors")
        if self.dimension not in (0, part.dimension) or part.first != self._count:
            raise ProtocolError(
                f"the node sent vectors of {part.dimension} numbers from text {part.first} on, "
                f"where {self._count} texts had {self.dimension or 'as many'}"
            )
        _check_lengths(part)
        self.dimension = part.dimension
        self._count += count_of(part.data, part.dimension)
        self._parts.append(part.data)

    def finish(self) -> None:
        if self._count != len(self.request.texts):
            raise ProtocolError(
                f"the node ended after {self._count} of {len(self.request.texts)} vectors"
            )

    def doubt(self, end: Finished, model: ModelRecord) -> str:
        return ""  # vectors are counted

    @property
    def bound(self) -> bool:
        return False

    def marks(self) -> Marks:
        return marks_of((), texts=self.request.texts)

    def words(self) -> Words:
        count = len(self.request.texts)
        texts = "the text was" if count == 1 else f"the {count} texts were"
        return Words(f"{texts} not embedded", "", "allow more time or send fewer at a time")


def _check_lengths(vectors: Vectors) -> None:
    """Raises ``ProtocolError`` for a vector that is not of length 1 (0 is allowed: a text in which
    the model sees nothing). NaN and infinities have no such length."""
    rows = np.frombuffer(vectors.data, "<f4").reshape(-1, vectors.dimension).astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1))
    if not ((np.abs(lengths - 1.0) <= _LENGTH_SLACK) | (lengths == 0.0)).all():
        raise ProtocolError("the node sent a vector that is not of length 1")
