"""One answer of an upstream as it comes: bytes in, pieces, counts and the end out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from mesh.cleaned import cleaned
from mesh.errors import CannotAnswer, EngineFailed
from mesh.types import FinishReason
from node.engines.openai.characters import Characters
from node.engines.openai.chunks import (
    UpstreamChunk,
    UpstreamUsage,
    decoded,
    is_json,
    pieces,
    read_chunk,
)
from node.engines.openai.ends import Meant, meant, weight
from node.engines.openai.sse import DONE, EventReader, Sent
from node.engines.openai.thoughts import InlineThoughts
from node.engines.openai.words import reported


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
    against ``max_tokens`` from the first on (not of a resume, whose first ones were elsewhere);
    None leaves the limit to the upstream.
    ``thoughts``: whether what a reasoning model thinks is part of the answer."""

    body: dict[str, Any]
    max_tokens: int | None
    stop: tuple[str, ...] = ()
    counted: bool = True
    thoughts: bool = False


# Of life, from servers that do not make them comments.
_SIGNS = frozenset({"ping", "heartbeat", "keepalive", "keep-alive", "keep_alive"})


class Reading:
    """``progress`` grows with everything that the model said or thought. ``finishing``: only counts
    may still come, so that it is not worth waiting long. ``done``: nothing will.

    A reason to finish ends nothing by itself, since servers give one with a thought, or with every
    chunk. It is believed at once only in a chunk of its own, behind some text, and of a server that
    said nothing behind one before; else the stream has to end as a whole one does.

    The piece that reaches ``max_tokens`` is kept back until then: whoever reads it stops there, and
    would never hear the counts, which come behind it.
    """

    def __init__(self, ask: UpstreamRequest, where: str = "base_url") -> None:
        self._ask = ask
        self._where = where
        self._reader = EventReader()
        self._characters = Characters()
        self._inline = None if ask.thoughts else InlineThoughts()
        self._index: int | None = None  # of the choice that is read
        self._said = self._mark = 0  # characters, and a checksum of them
        self._pieces = 0
        self._last = ""
        self._thought = False
        self._finish = ""
        self._stopped_by = ""
        self._by_itself = False  # the reason came in a chunk of its own
        self._contradicted = False  # something was said behind a reason
        self._whole = False
        self._odd = ""
        self._counts: UpstreamUsage | None = None
        self.progress = 0
        self.done = False

    @property
    def finishing(self) -> bool:
        return bool(self._last) or (self._by_itself and not self._contradicted)

    def read(self, data: bytes) -> Iterator[Event]:
        """Raises what ``words.reported`` makes of an error that the upstream says, and
        ``EngineFailed`` for what no chat completion is made of."""
        for event in self._reader.read(data):
            yield from self._event(event)

    def end(self, *, framed: bool = False) -> Iterator[Event]:
        """The stream is over. ``framed``: as HTTP ends a response that is whole. Raises
        ``EngineFailed`` when the answer is not, and ``CannotAnswer`` when all of it was withheld:
        what was cut off in the middle ends so."""
        for event in self._reader.end():
            if event.data.strip() == DONE or event.name == "error" or is_json(event.data):
                yield from self._event(event)
        if not self._is_over(framed):
            raise EngineFailed(self._cut_off())
        if not self._last:
            yield from self._answer(self._characters.end(), last=True)
        if self._counts is not None:
            yield self._counts
        reason = self._reason()
        if self._last:
            yield AnswerText(self._last)
        yield End(reason)

    def _event(self, event: Sent) -> Iterator[Event]:
        data = event.data.strip()
        if self.done or not data:
            return
        if event.name == "error":
            raise reported(decoded(data) if is_json(data) else data)
        if not data.startswith("{"):
            if data.strip('"').upper() == DONE:
                self.done = True
                return
            if data.lower() in _SIGNS:
                return
        if not event.name or event.name.lower() not in _SIGNS:
            yield from self._chunk(read_chunk(data, self._index))

    def _chunk(self, chunk: UpstreamChunk) -> Iterator[Event]:
        if chunk.counts is not None and (chunk.counts.prompt or self._counts is None):
            self._counts = chunk.counts
        self._odd = self._odd or chunk.odd
        if chunk.index is None:
            return
        self._index = chunk.index
        if self._last:
            # It talks on beyond max_tokens, so nothing that ends an answer is going to come.
            self.done = self.done or bool(chunk.text)
            return
        text, thought = chunk.text, chunk.thought
        if chunk.whole:
            said = text[: self._said]
            self._whole = crc32(said.encode("utf-8", "surrogatepass")) == self._mark
            if self._whole:
                text = text[self._said :]
                thought = "" if self.progress else thought
        if text or thought or chunk.acts:
            self.progress += 1
            self._contradicted = self._contradicted or bool(self._finish)
            self._finish, self._by_itself = "", False
            self._thought = self._thought or bool(thought)
        if text:
            self._said += len(text)
            self._mark = crc32(text.encode("utf-8", "surrogatepass"), self._mark)
        if chunk.finish:
            self._by_itself = bool(self._said) and not (text or thought or chunk.acts)
        yield from self._answer(thought + text if self._ask.thoughts else text)
        if chunk.finish and not self._last:
            self._finish = min(chunk.finish, self._finish, key=weight)
            self._stopped_by = chunk.stopped_by or self._stopped_by

    def _answer(self, text: str, *, last: bool = False) -> Iterator[Event]:
        text = text if last else self._characters.read(text)
        if self._inline is not None:
            text = self._inline.read(text) + (self._inline.end() if last else "")
        for piece in pieces(text):
            self._pieces += 1
            most = self._ask.max_tokens
            if most is not None and self._ask.counted and self._pieces >= most:
                self._last, self._finish = piece, "length"
                return
            yield AnswerText(piece)

    def _is_over(self, framed: bool) -> bool:
        if self._odd and not self._finish:
            return False
        if self.done:
            return bool(self._finish or self.progress or self._whole)
        return self.finishing or self._whole or (framed and bool(self._finish))

    def _reason(self) -> FinishReason:
        reason = self._named()
        thought = self._thought or (self._inline is not None and self._inline.thought)
        if self._pieces or not thought or reason is FinishReason.TOOL_CALLS:
            return reason
        more = " within max_tokens; ask for more tokens" if reason is not FinishReason.STOP else ""
        raise CannotAnswer(
            f"the upstream's model thought and gave no answer{more}; option reasoning=include of "
            "its node shows what it thinks"
        )

    def _named(self) -> FinishReason:
        match meant(self._finish):
            case Meant.CUT:
                most = self._ask.max_tokens
                if most is None:
                    return FinishReason.CONTEXT  # of the upstream's own, whatever it counts to it
                made = self._counts.completion if self._counts is not None else 0
                short = not self._last and self._ask.counted and 0 < made < most
                return FinishReason.CONTEXT if short else FinishReason.LENGTH
            case Meant.CONTEXT:
                return FinishReason.CONTEXT
            case Meant.TOOLS:
                return FinishReason.TOOL_CALLS
            case Meant.WITHHELD if self._pieces:
                return FinishReason.CONTENT_FILTER
            case Meant.WITHHELD:
                raise CannotAnswer("the upstream's content filter withheld the answer")
            case Meant.FAILED:
                raise EngineFailed(f"the upstream ended its answer with '{cleaned(self._finish)}'")
            case _ if self._stopped_by and self._stopped_by in self._ask.stop:
                return FinishReason.STOP_STRING
        return FinishReason.STOP

    def _cut_off(self) -> str:
        if self._odd:
            return f"the upstream sent what is no chat completion chunk: {self._odd}"
        if self.progress:
            said = f"; its last words: {cleaned(self._reader.odd)}" if self._reader.odd else ""
            return f"the upstream's answer broke off before its end{said}"
        if self.done:
            return "the upstream ended its answer without a word, and without a reason"
        head = cleaned(self._reader.head)
        if not head:
            return "the upstream answered with nothing at all"
        return (
            f"what answers at {self._where} is no chat completion: {head}; check base_url, it "
            "usually ends in /v1"
        )
