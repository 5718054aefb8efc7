"""The seed of one draw, from the answer's seed and the token's position alone: a resume on another
node draws on exactly where the first one stopped, which a generator's hidden state would not."""

from __future__ import annotations

_MASK64 = (1 << 64) - 1


def mixed_at(seed: int, position: int) -> int:
    """32 bits for answer token ``position``: SplitMix64 of both (Steele, Lea and Flood, OOPSLA
    2014)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + position * 0xD1B54A32D192ED03) & _MASK64
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK64
    return (mixed ^ (mixed >> 31)) & 0xFFFF_FFFF
