"""Randomness of a draw, from the answer's seed and the token's position alone. Needs no PyTorch."""

from __future__ import annotations

import random

from mesh.types import Sampling

PENALTY_WINDOW = 64  # tokens that a repetition penalty looks back, as in engine llama_cpp

_MASK64 = (1 << 64) - 1


def uniform_at(seed: int, position: int) -> float:
    """The draw of answer token ``position``, 0 <= it < 1: SplitMix64 (Steele, Lea and Flood,
    OOPSLA 2014) of both, as in engine ``llama_cpp``, so that a resume draws on where it stopped."""
    mixed = (seed * 0x9E3779B97F4A7C15 + position * 0xD1B54A32D192ED03) & _MASK64
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK64
    return random.Random((mixed ^ (mixed >> 31)) & 0xFFFF_FFFF).random()


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
