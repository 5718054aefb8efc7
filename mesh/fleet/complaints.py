"""What a log says of records that are no use. Pure.

Each is named once, but whoever can write to the registry can change a bad value a thousand times a
second: a log has room for some lines a minute, and a count of the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

LINES = 20
PERIOD_S = 60.0


@dataclass(slots=True)
class Complaints:
    """At most ``LINES`` in ``PERIOD_S`` seconds; then, how many were not told."""

    _since: float = -inf
    _told: int = 0
    _untold: int = 0

    def lines(self, problems: Iterable[str], now: float) -> list[str]:
        """What is worth a line now. ``now``: monotonic seconds."""
        found: list[str] = []
        if now - self._since >= PERIOD_S:
            if self._untold:
                found.append(f"{self._untold:,} other records were of no use in between")
            self._since, self._told, self._untold = now, 0, 0
        for problem in problems:
            if self._told < LINES:
                found.append(f"a record is of no use: {problem}")
            elif self._told == LINES:
                found.append(f"more records are of no use; they are counted for {PERIOD_S:.0f} s")
                self._untold += 1
            else:
                self._untold += 1
            self._told += 1
        return found
