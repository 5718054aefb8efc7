"""When a first token is late enough for a second attempt, and the budget for that. Pure.

Source: J. Dean, L. A. Barroso, "The Tail at Scale", CACM 2013: sending a second request after the
95th percentile of the expected latency cuts the tail for about 5 % of extra load. Off by default:
on few boxes an extra attempt is a slot that somebody else may want.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from mesh.types import ModelId

REMEMBERED = 128  # times to first token, per model
ENOUGH = 20  # of them, before their 95th percentile says something
MOST_MODELS = 1_024  # whose times are remembered; beyond it the longest known is forgotten
BURST = 4.0  # extra requests that may be saved up
SHARE = 0.95


@dataclass(slots=True)
class HedgePolicy:
    """When to hedge, and whether there is budget for it.

    ``after_s``: None is never, 0 the 95th percentile of the model's recent times to first token,
    else that many seconds. ``share``: extra requests per request, 0..1 (a token bucket).
    """

    after_s: float | None = None
    share: float = 0.05
    _saved: float = 1.0
    _times: dict[ModelId, deque[float]] = field(default_factory=dict)

    def delay_s(self, model: ModelId) -> float | None:
        """How long to wait for the first token of this attempt before a second one; None: do not.
        Each call is a request that earns its share of the budget."""
        if self.after_s is None:
            return None
        self._saved = min(BURST, self._saved + self.share)
        if self.after_s > 0:
            return self.after_s
        times = self._times.get(model, ())
        if len(times) < ENOUGH:
            return None
        return sorted(times)[int(SHARE * len(times))]

    def spend(self) -> bool:
        """Whether there is budget for one more attempt now; takes it."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True

    def first_token(self, model: ModelId, seconds: float) -> None:
        """An attempt had its first token after so long."""
        if self.after_s != 0:
            return
        if model not in self._times and len(self._times) >= MOST_MODELS:
            del self._times[next(iter(self._times))]
        self._times.setdefault(model, deque(maxlen=REMEMBERED)).append(seconds)
