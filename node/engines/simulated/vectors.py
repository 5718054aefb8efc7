"""Vectors that depend on nothing but their text: equal texts have equal vectors on every node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

import numpy as np

from mesh.errors import ContextOverflow
from mesh.types import FinishReason
from node.engines.base import Embedded, Emission, Ended
from node.engines.embedding_batch import normalised


def count_text(text: str) -> int:
    """A word is a token."""
    return len(text.split())


def vector_of(text: str, dimension: int) -> bytes:
    """One row of length 1, drawn from a generator that the text seeds."""
    seed = int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())
    drawn = np.random.default_rng(seed).standard_normal((1, dimension))
    return normalised(drawn.astype(np.float32))


class OpenTexts:
    """The texts of a simulated embedder's slots; a text of each slot a step. ``reach``: is called
    with the index of each text before its vector is made."""

    def __init__(self, dimension: int, context_length: int, reach: Callable[[int], None]) -> None:
        self._dimension = dimension
        self._context_length = context_length
        self._reach = reach
        self._open: dict[int, tuple[Sequence[str], int]] = {}  # with how many of them are done

    def __contains__(self, slot: int) -> bool:
        return slot in self._open

    def open(self, slot: int, texts: Sequence[str]) -> int:
        """Returns their tokens together. Raises ``ContextOverflow``."""
        counts = [count_text(text) for text in texts]
        for number, count in enumerate(counts, 1):
            if count > self._context_length:
                raise ContextOverflow(
                    f"text {number} has {count} tokens and the model takes {self._context_length} "
                    "a text; split it, or ask a model with a longer context"
                )
        self._open[slot] = (texts, 0)
        return sum(counts)

    def step(self, held: frozenset[int]) -> tuple[list[Emission], int]:
        """What came of it, and how many tokens it took."""
        emissions: list[Emission] = []
        tokens = 0
        for slot, (texts, done) in tuple(self._open.items()):
            if slot in held or done == len(texts):
                continue
            self._reach(done)
            tokens += count_text(texts[done])
            row = vector_of(texts[done], self._dimension)
            emissions.append(Embedded(slot, done, self._dimension, row))
            self._open[slot] = (texts, done + 1)
            if done + 1 == len(texts):
                emissions.append(Ended(slot, FinishReason.STOP))
        return emissions, tokens

    def close(self, slot: int) -> None:
        self._open.pop(slot, None)
