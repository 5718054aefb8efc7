"""One answer of an upstream as it comes: bytes in, pieces, counts and the end out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mesh.cleaned import cleaned
from mesh.errors import CannotAnswer, EngineFailed
from mesh.types import FinishReason
from node.engines.openai.chunks import UpstreamChunk, UpstreamUsage, pieces, read_chunk
from node.engines.openai.sse import DONE, EventReader


@dataclass(frozen=True, slots=True)
class AnswerText:
    """One piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class End:
    """Always the last."""

    reason: FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """All vectors of one request: ``data`` as in ``node.engines.base.Embedded``. ``tokens``: as the
    upstream counted them, 0 when it did not."""

    dimension: int
    data: bytes
    tokens: int


Event = AnswerText | Rows | UpstreamUsage | End


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """``body``: see ``openai_request.body``. ``counted``: whether the pieces that come count
    against ``max_tokens`` from the first on (not of a resume, whose first ones were elsewhere).
    ``thoughts``: whether what a reasoning model thinks is part of the answer."""

    body: dict[str, Any]
    max_tokens: int
    stop: tuple[str, ...] = ()
    counted: bool = True
    thoughts: bool = False


class Reading:
    """``progress`` grows with everything that the model said or thought. ``finishing``: only counts
    may still come, so that it is not worth waiting long. ``done``: nothing will.

    The piece that reaches ``max_tokens`` is kept back until then: whoever reads it stops there, and
    would never hear the counts, which come behind it.
    """

    def __init__(self, ask: UpstreamRequest) -> None:
        self._ask = ask
        self._reader = EventReader()
        self._pieces = 0
        self._last = ""
        self._finish = ""
        self._stopped_by = ""
        self._counts: UpstreamUsage | None = None
        self.progress = 0
        self.done = False

    @property
    def finishing(self) -> bool:
        return bool(self._finish)

    def read(self, data: bytes) -> Iterator[Event]:
        """Raises ``EngineFailed``, ``Overloaded``: what the upstream says is an error, or nothing
        that a chat completion is made of."""
        for event in self._reader.read(data):
            if event.strip() == DONE:
                self.done = True
            elif event.strip() and not self.done:
                yield from self._chunk(read_chunk(event))

    def whole(self, body: str) -> Iterator[Event]:
        """An answer in one JSON object: the upstream does not stream."""
        yield from self._chunk(read_chunk(body))
        self.done = True
        yield from self.end()

    def end(self) -> Iterator[Event]:
        """The stream is over. Raises ``EngineFailed`` when the answer is not, and ``CannotAnswer``
        when the upstream withheld it, all of it: what was cut off in the middle ends so."""
        rest = self._reader.end().strip()
        if rest == DONE:
            self.done = True
        elif rest and not self.done and rest.endswith("}"):
            yield from self._chunk(read_chunk(rest))
        if not (self.done or self._finish):
            raise EngineFailed(self._cut_off())
        if self._counts is not None:
            yield self._counts
        if self._last:
            yield AnswerText(self._last)
        yield End(self._reason())

    def _chunk(self, chunk: UpstreamChunk) -> Iterator[Event]:
        if chunk.counts is not None:
            self._counts = chunk.counts
        if self._finish:
            # It talks on beyond max_tokens, so nothing that ends an answer is going to come.
            self.done = self.done or bool(self._last and chunk.text)
            return
        if chunk.text or chunk.thought:
            self.progress += 1
        said = chunk.thought + chunk.text if self._ask.thoughts else chunk.text
        for piece in pieces(said):
            self._pieces += 1
            if self._ask.counted and self._pieces >= self._ask.max_tokens:
                self._last, self._finish = piece, "length"
                return
            yield AnswerText(piece)
        self._finish, self._stopped_by = chunk.finish, chunk.stopped_by

    def _reason(self) -> FinishReason:
        match self._finish:
            case "length" | "max_tokens":
                made = self._counts.completion if self._counts is not None else 0
                short = not self._last and self._ask.counted and 0 < made < self._ask.max_tokens
                return FinishReason.CONTEXT if short else FinishReason.LENGTH
            case "tool_calls" | "function_call":
                return FinishReason.TOOL_CALLS
            case "content_filter" if self._pieces:
                return FinishReason.CONTENT_FILTER
            case "content_filter":
                raise CannotAnswer("the upstream's content filter withheld the answer")
            case "error" | "abort" | "aborted" | "cancelled":
                raise EngineFailed(f"the upstream ended its answer with '{self._finish}'")
            case _ if self._stopped_by and self._stopped_by in self._ask.stop:
                return FinishReason.STOP_STRING
        return FinishReason.STOP

    def _cut_off(self) -> str:
        if self.progress:
            return "the upstream's answer broke off before its end"
        head = cleaned(self._reader.head)
        if not head:
            return "the upstream answered with nothing at all"
        return f"the upstream answered with what is no stream of chat completion chunks: {head}"
