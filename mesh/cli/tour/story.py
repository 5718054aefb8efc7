"""One answer while its node is killed: what came, where it went on, what is amiss. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.stream import Assigned, Decided, Done, Resume, StreamEvent, Tokens
from mesh.types import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Seam:
    """Where it went on elsewhere. ``at_token``: index of the first token after it. ``gap_s``: from
    the last token before it to the first one after, as they came here. ``in_word``: they are of one
    word."""

    from_node: str
    to_node: str
    at_token: int
    gap_s: float
    in_word: bool


@dataclass(slots=True)
class Story:
    """``take`` it all in, event by event. ``faults``: what should not be, in words."""

    decision: Decision | None = None
    assigned: Assigned | None = None
    done: Done | None = None
    tokens: int = 0
    pieces: list[str] = field(default_factory=list)
    seams: list[Seam] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _last_at: float = 0.0
    _from: str = ""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def take(self, event: StreamEvent, now: float) -> Seam | None:
        """``now``: monotonic seconds. The seam that this event's tokens come after, if any."""
        match event:
            case Decided():
                self.decision = event.decision
            case Assigned():
                if self.assigned is not None and self.tokens and not self._from:
                    self._from = self.assigned.node_name
                self.assigned = event
            case Tokens():
                return self._came(event, now)
            case Done():
                self.done = event
                self._ended(event)
            case _:
                pass
        return None

    def _came(self, event: Tokens, now: float) -> Seam | None:
        if event.first > self.tokens:
            self.faults.append(f"{event.first - self.tokens} missing before token {event.first}")
        elif event.first < self.tokens:
            self.faults.append(f"token {event.first} came twice")
        text = "".join(piece.text for piece in event.pieces)
        seam = None
        if self._from and self.assigned is not None:
            before = self.text[-1:]
            seam = Seam(
                from_node=self._from,
                to_node=self.assigned.node_name,
                at_token=event.first,
                gap_s=now - self._last_at,
                in_word=before.isalnum() and text[:1].isalnum(),
            )
            self.seams.append(seam)
            self._from = ""
        self.pieces += [piece.text for piece in event.pieces]
        self.tokens = event.first + len(event.pieces)
        self._last_at = now
        return seam

    def _ended(self, done: Done) -> None:
        # A last one that only ends it (a stop token) may be counted and have no piece.
        if not 0 <= done.completion_tokens - self.tokens <= 1:
            self.faults.append(f"{done.completion_tokens} were made and {self.tokens} came")
        told = [(r.from_node, r.to_node, r.at_token) for r in done.resumes]
        if told != [(s.from_node, s.to_node, s.at_token) for s in self.seams]:
            self.faults.append("it went on elsewhere than the mesh tells")

    @property
    def resume(self) -> Resume | None:
        """The first one, as the mesh tells it."""
        return self.done.resumes[0] if self.done is not None and self.done.resumes else None

    @property
    def verdict(self) -> str:
        """What was checked of it, in one line."""
        if self.faults:
            return "The words do not add up: " + "; ".join(self.faults)
        how = ""
        if self.resume is not None:
            how = ", from the very tokens" if self.resume.by_ids else ", from their text"
            if not self.resume.same_weights:
                how += f", by another model ({self.resume.to_model})"
        return (
            f"Checked: {self.tokens} tokens, none missing and none twice; every word before the "
            f"kill stands, and it goes on after it{how}."
        )
