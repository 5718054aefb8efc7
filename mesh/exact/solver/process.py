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
from pathlib import Path

from mesh.backoff import exponential
from mesh.child.ending import describe_exit, kill_group
from mesh.child.frames import Gone
from mesh.child.launch import Child, launch
from mesh.child.limits import Limits
from mesh.clock import Clock, SystemClock
from mesh.errors import ProtocolError
from mesh.exact.base import Exact, Problem
from mesh.exact.solver import messages as m
from mesh.exact.solver.problem import SolverProblem

_LOG = logging.getLogger(__name__)

MAX_WAITING = 8  # problems, the running one included; one more is not taken
START_S = 30.0  # for loading sympy on a slow and busy box
_OUT_OF_TURN = "it spoke out of turn"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0  # after failures; killing at a deadline is none

_Child = Child[m.FromSolver]


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
            child.send(m.encode(m.Solve(number=number, problem=problem, cpu_s=cpu_s)))
            reply = await _hear(child)
            done = getattr(reply, "number", None) == number
            match reply:
                case m.Solved(exact=exact) if done:
                    return exact
                case m.Unsolved() if done:
                    _LOG.debug("%s %s has no answer: %s", problem.kind, problem.task, reply.why)
            return None
        except (Gone, ProtocolError):
            return None
        finally:
            if not done:  # too late, given up, or broken: nobody will read what it says now
                self._forget(child)
                kill_group(child.process)

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
                    pause = exponential(failures, base_s=_FIRST_PAUSE_S, cap_s=_LONGEST_PAUSE_S)
                    self._pausing = True  # nobody should wait for what will not come
                    self._ready.set()
                    self._ready.clear()
                    await self._clock.sleep(pause)
                    self._pausing = False
        finally:
            self._running = self._pausing = False

    async def _one_life(self) -> bool:
        """From a child's start to its end; whether it was ready to serve, and ended for a problem's
        sake, which is no failure of its own. Raises nothing."""
        try:
            child = await self._launch()
        except OSError as error:
            self._complain(f"cannot start: {error.strerror}")
            return False
        try:
            async with asyncio.timeout(START_S):
                said = await _hear(child)
            if isinstance(said, m.Ready):
                self._child = child
                self._ready.set()
                code = await child.process.wait()
                if self._child is not child:
                    return True
                self._complain(describe_exit(code))
            else:
                self._complain(said.message if isinstance(said, m.Unable) else _OUT_OF_TURN)
        except Gone:
            self._complain("it ended before it was ready")
        except ProtocolError as error:
            self._complain(error.message)
        except TimeoutError:
            self._complain(f"it was not ready within {START_S:.0f} s")
        finally:
            self._forget(child)
            await child.end()
        return False

    async def _launch(self) -> _Child:
        """Raises ``OSError``."""
        return await launch(
            "mesh.exact.solver.child",
            frames=m.at_parent(),
            limits=Limits(memory_bytes=self._memory_bytes, file_bytes=0, core_bytes=0),
            stderr=Path(os.devnull),
            # Sets of symbols come in the order of their hashes: the same question, the same answer.
            environment={**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
        )

    def _complain(self, why: str) -> None:
        if why != self._said:  # once, however often it is tried again
            self._said = why
            _LOG.warning("the exact tools' solver: %s; its questions go to the models", why)


async def _hear(child: _Child) -> m.FromSolver:
    """Raises ``Gone``, ``ProtocolError``."""
    while not (said := await child.receive()):
        pass
    if len(said) > 1:
        raise ProtocolError(_OUT_OF_TURN)
    return said[0]
