"""The solver's process for an engine, which is driven by one thread and knows no event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

from mesh.exact.base import Exact
from mesh.exact.solver.problem import SolverProblem
from mesh.exact.solver.process import SolverProcess

_GRACE_S = 5.0
_CLOSE_S = 10.0


class SolverThread:
    """Runs a ``SolverProcess`` in an event loop of its own thread, until ``close``.

    The process itself starts with the first problem. ``memory_bytes``: that it may have.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, SolverProcess]] = (
            Future()
        )
        self._thread = threading.Thread(target=self._main, name="tools-solver", daemon=True)
        self._thread.start()

    def solve(self, problem: SolverProblem, timeout_s: float) -> Exact | None:
        """The answer within ``timeout_s`` seconds, or None; blocks the calling thread."""
        loop, _, solver = self._started.result(_GRACE_S)
        asked = asyncio.run_coroutine_threadsafe(solver.solve(problem, timeout_s), loop)
        try:
            return asked.result(timeout_s + _GRACE_S)
        except TimeoutError:
            asked.cancel()
            return None

    def close(self) -> None:
        """Ends the process and the thread; returns when both are gone, or after 10 seconds."""
        loop, closing, _ = self._started.result(_GRACE_S)
        if self._thread.is_alive():
            loop.call_soon_threadsafe(closing.set)
            self._thread.join(_CLOSE_S)

    def _main(self) -> None:
        asyncio.run(self._life())

    async def _life(self) -> None:
        closing = asyncio.Event()
        solver = SolverProcess(self._memory_bytes)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(solver.run(), name="solver")
            self._started.set_result((asyncio.get_running_loop(), closing, solver))
            await closing.wait()
            running.cancel()
