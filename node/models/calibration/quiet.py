"""Whether the node is quiet: users go first, whichever of its models they use."""

from __future__ import annotations

from collections.abc import Callable

from mesh.clock import Clock

BUSY_SHARE = 0.4  # of all cores, by whomever
PATIENCE_S = 8.0


class Quiet:
    """One per node; its runners tell it of their users. At most one measures at a time.

    ``box``: the busy share of the box's cores, 0 to 1. While others use them (an orchestrator that
    compiles its first rules, another node that is being measured) both would be slower and the
    figures wrong; a box that is always busy is measured all the same, ``PATIENCE_S`` later."""

    def __init__(self, clock: Clock, box: Callable[[], float] = lambda: 0.0) -> None:
        self._clock = clock
        self._box = box
        self._patient_until: float | None = None
        self._busy: list[Callable[[], bool]] = []  # one a runner that runs
        self._last = clock.now()
        self._interrupt: Callable[[], None] | None = None

    def watch(self, busy: Callable[[], bool]) -> None:
        self._busy.append(busy)
        self._last = self._clock.now()
        self._patient_until = None

    def unwatch(self, busy: Callable[[], bool]) -> None:
        self._busy.remove(busy)

    def user_came(self) -> None:
        """Stops whoever measures, at once."""
        self._last = self._clock.now()
        if self._interrupt is not None:
            self._interrupt()

    def for_s(self) -> float:
        """Seconds for which nobody used, loaded or measured anything here, as far as was seen."""
        now = self._clock.now()
        if self._interrupt is not None or any(busy() for busy in self._busy):
            self._last = now
            return 0.0
        if self._patient_until is None:
            self._patient_until = now + PATIENCE_S
        if now < self._patient_until and self._box() > BUSY_SHARE:
            self._last = now
        return now - self._last

    def begin(self, interrupt: Callable[[], None]) -> bool:
        """Whether the caller may measure now; it then has to ``end``. ``interrupt`` is called when
        a user comes."""
        if self._interrupt is not None or any(busy() for busy in self._busy):
            return False
        self._interrupt = interrupt
        return True

    def end(self) -> None:
        self._interrupt = None
        self._last = self._clock.now()
