"""What the llama_cpp engine spared itself, counted."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Since the model was loaded: sequences ``opened``; those that began with tokens evaluated
    before (``reused``), those of them that had them ``copied`` from another slot, and how many
    ``reused_tokens`` that were. ``drafted`` tokens were guessed, ``accepted`` of them were right.
    """

    opened: int = 0
    reused: int = 0
    copied: int = 0
    reused_tokens: int = 0
    drafted: int = 0
    accepted: int = 0

    def taken(self, tokens: int, *, copied: bool) -> Counts:
        """After a sequence was opened that began with so many tokens."""
        return replace(
            self,
            opened=self.opened + 1,
            reused=self.reused + (tokens > 0),
            copied=self.copied + (tokens > 0 and copied),
            reused_tokens=self.reused_tokens + tokens,
        )

    def guessed(self, drafted: int, accepted: int) -> Counts:
        """After a batch with so many guesses of one sequence."""
        return replace(self, drafted=self.drafted + drafted, accepted=self.accepted + accepted)
