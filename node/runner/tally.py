"""What a runner's sequences cost and were spared: one message a sequence, when it ends."""

from __future__ import annotations

from dataclasses import replace

from mesh.fleet.records import ModelCounts
from node.engines.base import Engine
from node.engines.registry import Guesses
from node.runner import messages as m


class Tally:
    """Counts alike for every engine, from what its emissions say; only guesses does it ask for."""

    def __init__(self) -> None:
        self._counts = ModelCounts()

    def ended(self, engine: Engine, *, prompt: int, cached: int) -> m.Counts:
        """After a sequence that had a token. ``cached`` may be more than ``prompt``: of an answer
        that goes on, what was delivered may be in a cache too."""
        counts = self._counts
        reused = max(0, min(cached, prompt))
        counts = replace(
            counts,
            sequences=counts.sequences + 1,
            reused=counts.reused + (reused > 0),
            prompt_tokens=counts.prompt_tokens + prompt,
            reused_tokens=counts.reused_tokens + reused,
        )
        if isinstance(engine, Guesses):
            drafted, accepted = engine.guesses
            counts = replace(counts, drafted_tokens=drafted, accepted_tokens=accepted)
        self._counts = counts
        return m.Counts(counts=counts)
