"""How long to wait before trying again. Pure, but for the randomness that is passed in; seconds."""

from __future__ import annotations

import random


def exponential(failures: int, *, base_s: float = 1.0, cap_s: float) -> float:
    """After so many failures in a row, the first being 1: the base, twice, four times it, and so
    on, and never more than the cap."""
    return min(cap_s, base_s * 2.0 ** min(max(0, failures - 1), 64))


def decorrelated(last_s: float, *, base_s: float, cap_s: float, rng: random.Random) -> float:
    """Drawn from between the base and three times the last pause, so that those who failed together
    do not come back together. Source: M. Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015."""
    return min(cap_s, rng.uniform(base_s, 3.0 * last_s))


def spread(seconds: float, rng: random.Random) -> float:
    """Half to one and a half times it, for pauses that somebody else has set the scale of."""
    return seconds * (0.5 + rng.random())


class Backoff:
    """Decorrelated pauses of one who tries again and again; ``reset`` after a success."""

    def __init__(self, base_s: float, cap_s: float, rng: random.Random) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._rng = rng
        self._last_s = base_s

    def next(self) -> float:
        """Seconds to wait before the next try."""
        self._last_s = decorrelated(
            self._last_s, base_s=self._base_s, cap_s=self._cap_s, rng=self._rng
        )
        return self._last_s

    def reset(self) -> None:
        self._last_s = self._base_s
