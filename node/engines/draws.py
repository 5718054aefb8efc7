"""Randomness of a draw, from the answer's seed and the token's position alone. Needs no PyTorch."""

from __future__ import annotations

import random

from mesh.types import Sampling
from node.engines.seeding import mixed_at

PENALTY_WINDOW = 64  # tokens that a repetition penalty looks back, as llama.cpp's default


def uniform_at(seed: int, position: int) -> float:
    """The draw of answer token ``position``, 0 <= it < 1 (``mixed_at``)."""
    return random.Random(mixed_at(seed, position)).random()


class Draws:
    """One number a token from ``position`` on; ``fresh`` stands in for a ``sampling.seed`` of
    None. ``random`` is what libraries that take a ``random.Random`` call."""

    def __init__(self, sampling: Sampling, *, fresh: int, position: int) -> None:
        self._seed = (fresh if sampling.seed is None else sampling.seed) & 0xFFFF_FFFF
        self._position = position

    def skip(self) -> None:
        """Counts a token that was chosen without a draw."""
        self._position += 1

    def random(self) -> float:
        position = self._position
        self._position += 1
        return uniform_at(self._seed, position)
