"""The parent's side of the solver: one child process that sympy may fill or hang.

The child is started when the first problem comes, so that an orchestrator that never meets one pays
nothing. A problem that is not done by its deadline costs the child its life: sympy cannot be
interrupted. The next problem finds a fresh one, which ``run`` starts at once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass

from mesh.clock import Clock, SystemClock
from mesh.errors import ProtocolError
from mesh.exact.base import Exact, Problem
from mesh.exact.solver import messages as m
from mesh.exact.solver.problem import SolverProblem

_LOG = logging.getLogger(__name__)

MAX_WAITING = 8  # problems, the running one included; one more is not taken
START_S = 30.0  # for loading sympy on a slow and busy box
_BACK_OFF_S = (0.5, 2.0, 10.0, 60.0)  # after failures in a row; killing at a deadline is none


class _Ended(Exception):
    """The child is gone, or said what it must not."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Child:
    process: asyncio.subprocess.Process
    spent: bool = False  # it ended for a problem's sake, which is no failure of its own

    def kill(self) -> None:
        self.spent = True
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()

    async def send(self, message: m.Solve) -> None:
        """Raises ``_Ended``."""
        writer = self.process.stdin
        if writer is None:
            raise _Ended
        try:
            writer.write(m.encode(message))
            await writer.drain()
        except OSError:
            raise _Ended from None

    async def receive(self) -> m.FromSolver:
        """Raises ``_Ended``."""
        reader = self.process.stdout
        if reader is None:
            raise _Ended
        try:
            length = m.size(await reader.readexactly(m.HEADER_BYTES))
            return m.from_solver(await reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError, ProtocolError):
            raise _Ended from None


class SolverProcess:
    """``memory_bytes``: address space that the child may have. ``run`` owns the child until
    cancelled; while it does not run, ``solve`` has no answers."""

    def __init__(self, memory_bytes: int, *, clock: Clock | None = None) -> None:
        self._memory_bytes = memory_bytes
        self._clock = clock or SystemClock()
        self._running = False
        self._pausing = False
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self._turn = asyncio.Lock()
        self._child: _Child | None = None
        self._waiting = 0
        self._number = 0
        self._said = ""

    @property
    def process_id(self) -> int | None:
        """Of the child; None while there is none that is ready."""
        return self._child.process.pid if self._child is not None else None

    async def solve(self, problem: Problem, timeout_s: float) -> Exact | None:
        """The answer, within ``timeout_s`` seconds of now, waiting and starting included; None
        where there is none, when it is not ready in time, and at once when ``MAX_WAITING`` are
        waiting, the child cannot be started for now, or the problem is none of the solver's."""
        if not isinstance(problem, SolverProblem):
            return None
        if not self._running or self._pausing or self._waiting >= MAX_WAITING:
            return None
        self._waiting += 1
        self._wanted.set()
        try:
            async with asyncio.timeout(timeout_s), self._turn:
                if self._child is None and not self._pausing:
                    await self._ready.wait()
                child = self._child
                if child is None:
                    return None
                return await self._ask(child, problem, timeout_s)
        except TimeoutError:
            return None
        finally:
            self._waiting -= 1

    async def _ask(self, child: _Child, problem: SolverProblem, timeout_s: float) -> Exact | None:
        self._number += 1
        number, done = self._number, False
        try:
            cpu_s = math.ceil(timeout_s) + 1
            await child.send(m.Solve(number=number, problem=problem, cpu_s=cpu_s))
            reply = await child.receive()
            done = getattr(reply, "number", None) == number
            match reply:
                case m.Solved(exact=exact) if done:
                    return exact
                case m.Unsolved() if done:
                    _LOG.debug("%s %s has no answer: %s", problem.kind, problem.task, reply.why)
            return None
        except (_Ended, ProtocolError):
            return None
        finally:
            if not done:  # too late, given up, or broken: nobody will read what it says now
                self._forget(child)
                child.kill()

    def _forget(self, child: _Child) -> None:
        if self._child is child:
            self._child = None
            self._ready.clear()

    async def run(self) -> None:
        """Owns the child; starts it when it is first wanted, and another whenever one ends."""
        self._running = True
        failures = 0
        try:
            while True:
                await self._wanted.wait()
                lived = await self._one_life()
                failures = 0 if lived else failures + 1
                if failures:
                    pause = _BACK_OFF_S[min(failures, len(_BACK_OFF_S)) - 1]
                    self._pausing = True  # nobody should wait for what will not come
                    self._ready.set()
                    self._ready.clear()
                    await self._clock.sleep(pause)
                    self._pausing = False
        finally:
            self._running = self._pausing = False

    async def _one_life(self) -> bool:
        """From a child's start to its end; whether it was ready to serve. Raises nothing."""
        try:
            process = await self._launch()
        except OSError as error:
            self._complain(f"cannot start: {error.strerror}")
            return False
        child = _Child(process=process)
        try:
            async with asyncio.timeout(START_S):
                said = await child.receive()
            if isinstance(said, m.Ready):
                self._child = child
                self._ready.set()
                await process.wait()
                if not child.spent:
                    self._complain(_exit(process.returncode))
                return child.spent
            self._complain(said.message if isinstance(said, m.Unable) else "it spoke out of turn")
        except _Ended:
            self._complain("it ended before it was ready")
        except TimeoutError:
            self._complain(f"it was not ready within {START_S:.0f} s")
        finally:
            self._forget(child)
            await _collect(child)
        return False

    async def _launch(self) -> asyncio.subprocess.Process:
        """Raises ``OSError``. In a session of its own, so that a signal to the terminal does not
        reach it; the kernel, and its pipe, end it with this process."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a folder called `mesh` where we were started must not be taken for ours
            "-m",
            "mesh.exact.solver.child",
            "--parent",
            str(os.getpid()),
            "--memory",
            str(self._memory_bytes),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # Sets of symbols come in the order of their hashes: the same question, the same answer.
            env={**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )

    def _complain(self, why: str) -> None:
        if why != self._said:  # once, however often it is tried again
            self._said = why
            _LOG.warning("the exact tools' solver: %s; its questions go to the models", why)


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return f"it died of {name}"
    return f"it ended with status {code}"


async def _collect(child: _Child) -> None:
    """Kills what is left of it and waits for its end."""
    child.kill()
    try:
        await child.process.wait()
    except asyncio.CancelledError:
        # It is dying of SIGKILL: the moment to collect it is worth waiting, once.
        await child.process.wait()
        raise
    finally:
        if child.process.stdin is not None:
            child.process.stdin.close()
