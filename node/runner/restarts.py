"""When a runner that ended is started again. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.backoff import exponential

CRASH_WINDOW_S = 300.0
CRASH_LIMIT = 5
LONGEST_DELAY_S = 30.0


def restart_delay(crashes: Sequence[float], now: float, limit: int = CRASH_LIMIT) -> float | None:
    """Seconds until the next start: 1, 2, 4 .. 30; None: not again, too many within the window.
    ``crashes``: monotonic seconds of the crashes so far, the latest included."""
    recent = sum(1 for at in crashes if now - at <= CRASH_WINDOW_S)
    if recent >= limit:
        return None
    return exponential(recent, cap_s=LONGEST_DELAY_S)
