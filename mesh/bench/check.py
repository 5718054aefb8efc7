"""Invariant 1, checked on every stream: no gap, no duplicate, and the right end.

By index always. By content where the simulated engine made the text: its answer is ``tok0 tok1 …``
with token id = index, so that a wrong resume shows even under right indices. By author: a sentence
is finished by the specialty that began it, and the end names another model that had a part in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mesh.fleet.weights import same_weights
from mesh.stream import Assigned, Done, Tokens
from mesh.types import Piece, RequestId

# A stream that is broken once is often broken from there on; its first faults say it all.
MAX_PER_STREAM = 3


class Fault(StrEnum):
    GAP = "gap"
    DUPLICATE = "duplicate"
    CONTENT = "content"
    AUTHOR = "author"
    COUNT = "count"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """What was wrong with the stream ``request`` at token ``index``."""

    request: RequestId
    fault: Fault
    index: int
    message: str


class StreamCheck:
    """Sees one stream's events in order. ``simulated``: its text derives from the position."""

    def __init__(self, request: RequestId) -> None:
        self.simulated = False
        self.violations: list[Violation] = []
        self._request = request
        self._next = 0
        self._received = 0
        self._owed = ""  # simulated text that must still come
        self._ended = False
        self._author: Assigned | None = None  # of the newest tokens
        self._assigned: Assigned | None = None
        self._others: list[str] = []  # models that went on with another one's sentence

    def assigned(self, event: Assigned) -> None:
        """Who makes what comes next."""
        self._assigned = event

    def tokens(self, event: Tokens) -> None:
        if self._ended:
            self._add(Fault.END, event.first, "tokens came after the end of the stream")
        if self._assigned is not self._author:
            self._taken_over(event.first)
        if event.first > self._next:
            missing = f"token {self._next}"
            if event.first > self._next + 1:
                missing = f"tokens {self._next} to {event.first - 1}"
            self._add(Fault.GAP, self._next, f"{missing} never came")
            self._owed = ""
        elif event.first < self._next:
            self._add(
                Fault.DUPLICATE,
                event.first,
                f"token {event.first} came again after token {self._next - 1}",
            )
            self._owed = ""
        self._received += len(event.pieces)
        self._next = event.first + len(event.pieces)
        if self.simulated:
            for index, piece in enumerate(event.pieces, event.first):
                self._content(index, piece)

    def done(self, event: Done) -> None:
        if self._ended:
            self._add(Fault.END, self._next, "the stream ended twice")
        self._ended = True
        if event.completion_tokens != self._received:
            self._add(
                Fault.COUNT,
                self._next,
                f"{self._received} tokens came and the end says {event.completion_tokens}",
            )
        marked = {each.to_model for each in event.resumes if not each.same_weights}
        for model in self._others:
            if model not in marked:
                why = f"model '{model}' went on with another one's sentence, and the end is silent"
                self._add(Fault.AUTHOR, self._next, why)
        if self.simulated and self._owed:
            self._add(Fault.CONTENT, self._next, f"the text {self._owed[:40]!r} never came")

    def closed(self) -> None:
        """The stream is over, and without an error."""
        if not self._ended:
            self._add(Fault.END, self._next, "the stream just stopped: neither an end nor an error")

    def _taken_over(self, index: int) -> None:
        before, after = self._author, self._assigned
        self._author = after
        if before is None or after is None:
            return
        if before.specialty and after.specialty and before.specialty != after.specialty:
            self._add(
                Fault.AUTHOR,
                index,
                f"'{after.specialty}' went on with a sentence of '{before.specialty}'",
            )
        if not same_weights(before.model, before.weights, after.model, after.weights):
            self._others.append(after.model)

    def _content(self, index: int, piece: Piece) -> None:
        if piece.id != index:
            self._add(Fault.CONTENT, index, f"token id {piece.id} stands where {index} belongs")
        # A piece's text may come with a later one (mesh/types.py, Piece), but never out of order.
        self._owed += f"tok{index} "
        if self._owed.startswith(piece.text):
            self._owed = self._owed[len(piece.text) :]
            return
        wanted = self._owed[: max(len(piece.text), 1)]
        self._add(Fault.CONTENT, index, f"{piece.text[:40]!r} came where {wanted[:40]!r} belongs")
        self._owed = ""

    def _add(self, fault: Fault, index: int, message: str) -> None:
        if len(self.violations) < MAX_PER_STREAM:
            self.violations.append(
                Violation(request=self._request, fault=fault, index=index, message=message)
            )
