"""An event loop whose time moves instead of passing: when nothing is ready, it is at once the
moment of the next timer.

``asyncio.timeout``, ``asyncio.sleep`` and the mesh's ``Clock`` then tell one and the same time, so
whole minutes of a mesh on twins run in a fraction of a second, and a seed repeats its schedule.
Only for what does no real I/O and starts no thread.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
START_S = 1_000.0
EPOCH_S = 1_700_000_000.0


class _Skipping(selectors.BaseSelector):
    """Never waits: it moves the loop's time on by what it was asked to wait."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = START_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if not ready and timeout is None:
            raise RuntimeError("no timer and nothing ready: every task waits for another one")
        if not ready and timeout:
            self.now += timeout
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class MovedTimeLoop(asyncio.SelectorEventLoop):
    """``time()`` starts at ``START_S`` seconds."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


class LoopClock:
    """A ``mesh.clock.Clock`` that tells its loop's time."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return EPOCH_S + self.now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def run_moved(work: Coroutine[Any, Any, T]) -> T:
    """Runs ``work`` to its end in a loop of its own. Raises ``RuntimeError`` for a deadlock."""
    with asyncio.Runner(loop_factory=MovedTimeLoop) as runner:
        return runner.run(work)
