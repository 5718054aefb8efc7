"""The solver's process under bombs, deadlines, crowds, and the deaths of child and parent."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import psutil
import pytest

from mesh.clock import ManualClock
from mesh.exact.base import LOGIC, MATH
from mesh.exact.solver.kinds import recognise
from mesh.exact.solver.problem import SolverProblem
from mesh.exact.solver.process import MAX_WAITING, SolverProcess

pytestmark = pytest.mark.processes

_MEMORY = 1024**3
_PATIENCE_S = 60.0  # for what must happen, on a busy box
# Two primes of 20 digits: no method that sympy has finds them in a second.
HARD = SolverProblem(
    kind="integers", task="primes", texts=("1813376492391603502436731285657269031601",)
)


def read(prompt: str) -> SolverProblem:
    problem = recognise(prompt)
    assert problem is not None, f"not read: {prompt}"
    return problem


EASY = read("solve 2x + 3 = 7")


@asynccontextmanager
async def running(solver: SolverProcess) -> AsyncIterator[SolverProcess]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(solver.run())
        await asyncio.sleep(0)
        try:
            yield solver
        finally:
            task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - a condition of the system's, not of ours
            await asyncio.sleep(0.01)


async def answered(solver: SolverProcess, problem: SolverProblem = EASY) -> str:
    exact = await solver.solve(problem, _PATIENCE_S)
    assert exact is not None
    return exact.text


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_the_child_starts_with_the_first_problem_and_serves_the_next() -> None:
    async with running(SolverProcess(_MEMORY)) as solver:
        assert solver.process_id is None
        assert await answered(solver) == "x = 2"
        first = solver.process_id
        exact = await solver.solve(read("is p or not p a tautology"), _PATIENCE_S)
        assert exact is not None
        assert (exact.kind, exact.specialty) == ("logic", LOGIC)
        exact = await solver.solve(read("derivative of x^2"), _PATIENCE_S)
        assert exact is not None
        assert (exact.text, exact.kind, exact.specialty) == ("2x", "calculus", MATH)
        assert solver.process_id == first
    assert first is not None
    assert gone(first)


async def test_without_run_there_are_no_answers() -> None:
    assert await SolverProcess(_MEMORY).solve(EASY, 1.0) is None


@pytest.mark.parametrize(
    "bomb",
    [
        HARD,
        SolverProblem(
            kind="integers", task="primes", texts=("7" * 300,)
        ),  # past what the recogniser lets through
        SolverProblem(kind="integers", task="divisors", texts=(str(2**127 - 1) + "0" * 120 + "7",)),
        read("integral of 1/(x^5 + x + 1)"),
        read("integrate sqrt(tan(x))*ln(x)*e^x*sin(x^2)/(x^3+1) dx"),
        read("simplify " + " + ".join(f"sin({n}x)^{n}*cos({n + 1}x)^{n}" for n in range(2, 9))),
        read("factor x^997 - 1"),
        read("solve (x^2+1)^20 (x^3+x+1)^20 = 7"),
    ],
    ids=lambda bomb: f"{bomb.kind} {bomb.texts[0][:24]}",
)
async def test_a_bomb_ends_with_its_deadline_and_the_next_problem_is_solved(
    bomb: SolverProblem,
) -> None:
    async with running(SolverProcess(_MEMORY)) as solver:
        assert await answered(solver) == "x = 2"
        async with asyncio.timeout(_PATIENCE_S):  # ended, not waited for
            assert await solver.solve(bomb, 1.0) is None
        assert await answered(solver) == "x = 2"


async def test_a_problem_past_its_deadline_costs_the_child_its_life() -> None:
    async with running(SolverProcess(_MEMORY)) as solver:
        assert await answered(solver) == "x = 2"
        first = solver.process_id
        assert first is not None
        assert await solver.solve(HARD, 0.3) is None
        await until(lambda: gone(first))
        assert await answered(solver) == "x = 2"
        assert solver.process_id not in (None, first)


async def test_a_caller_that_goes_away_frees_the_solver() -> None:
    async with running(SolverProcess(_MEMORY)) as solver:
        assert await answered(solver) == "x = 2"
        first = solver.process_id
        async with asyncio.TaskGroup() as group:
            task = group.create_task(solver.solve(HARD, _PATIENCE_S))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
        assert task.cancelled()
        assert await answered(solver) == "x = 2"
        assert solver.process_id != first


async def test_a_crowd_is_served_in_turn_and_what_is_too_much_is_refused_at_once() -> None:
    async with running(SolverProcess(_MEMORY)) as solver:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(solver.solve(EASY, _PATIENCE_S)) for _ in range(MAX_WAITING + 5)
            ]
        results = [task.result() for task in tasks]
        assert [each is None for each in results] == [False] * MAX_WAITING + [True] * 5
        assert await answered(solver) == "x = 2"


async def test_those_who_wait_behind_a_bomb_have_their_own_deadlines() -> None:
    async with running(SolverProcess(_MEMORY)) as solver:
        assert await answered(solver) == "x = 2"
        async with asyncio.TaskGroup() as group:
            bomb = group.create_task(solver.solve(HARD, 1.0))
            await asyncio.sleep(0)
            hasty = group.create_task(solver.solve(EASY, 0.05))
            patient = group.create_task(solver.solve(EASY, _PATIENCE_S))
        assert bomb.result() is None
        assert hasty.result() is None
        assert patient.result() is not None


async def test_a_killed_child_is_replaced() -> None:
    async with running(SolverProcess(_MEMORY, clock=_Impatient())) as solver:
        assert await answered(solver) == "x = 2"
        first = solver.process_id
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: solver.process_id not in (None, first))
        assert await answered(solver) == "x = 2"


class _Impatient(ManualClock):
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


async def test_a_child_killed_at_work_leaves_its_problem_unanswered() -> None:
    async with running(SolverProcess(_MEMORY, clock=_Impatient())) as solver:
        assert await answered(solver) == "x = 2"
        first = solver.process_id
        assert first is not None
        async with asyncio.TaskGroup() as group:
            task = group.create_task(solver.solve(HARD, _PATIENCE_S))
            await asyncio.sleep(0)
            os.kill(first, signal.SIGKILL)
        assert task.result() is None
        await until(lambda: solver.process_id not in (None, first))
        assert await answered(solver) == "x = 2"


async def test_a_child_that_cannot_start_is_said_once_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    with caplog.at_level(logging.WARNING):
        async with running(SolverProcess(8 * 1024 * 1024, clock=clock)) as solver:  # for Python
            assert await solver.solve(EASY, 0.05) is None
            await until(lambda: bool(caplog.records))
            assert await solver.solve(EASY, _PATIENCE_S) is None  # at once: it would be for nothing
            await clock.advance(1.0)
            assert await solver.solve(EASY, 0.05) is None
    assert len({record.getMessage() for record in caplog.records}) == len(caplog.records)
    assert "go to the models" in caplog.text


async def test_the_child_runs_under_its_limits() -> None:
    async with running(SolverProcess(_MEMORY)) as solver:
        assert await answered(solver) == "x = 2"
        child = psutil.Process(solver.process_id)
        limits = [psutil.RLIMIT_AS, psutil.RLIMIT_FSIZE, psutil.RLIMIT_CORE]
        assert [child.rlimit(each)[1] for each in limits] == [_MEMORY, 0, 0]
        assert 0 < child.rlimit(psutil.RLIMIT_CPU)[0] < 3600


_PARENT = """
import asyncio
from mesh.exact.solver.problem import SolverProblem
from mesh.exact.solver.process import SolverProcess

async def main():
    solver = SolverProcess(1024**3)
    async with asyncio.TaskGroup() as group:
        group.create_task(solver.run())
        await asyncio.sleep(0)
        await solver.solve(SolverProblem(kind="integers", task="prime", texts=("7",)), 60)
        print(solver.process_id, flush=True)
        while True:
            await solver.solve(SolverProblem(kind="integers", task="primes", texts=("TEXT",)), 60)

asyncio.run(main())
"""


async def test_the_child_dies_with_a_parent_that_is_killed_while_it_works() -> None:
    code = _PARENT.replace("TEXT", HARD.texts[0])
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        async with asyncio.timeout(_PATIENCE_S):
            child = int(await parent.stdout.readline())
        assert not gone(child)
        parent.kill()
        await until(lambda: gone(child))
    finally:
        if parent.returncode is None:
            with suppress(ProcessLookupError):
                parent.kill()
        await parent.wait()


def test_reading_prompts_loads_neither_sympy_nor_mpmath() -> None:
    code = (
        "import sys\n"
        "from mesh.exact.solver import process\n"
        "from mesh.exact.solver.kinds import recognise\n"
        "for text in ('solve 2x + 3 = 7', 'derivative of x^2', 'is p or q a tautology',\n"
        "    'factor 84', 'SEND + MORE = MONEY', 'All A are B. All B are C. Are all A C?'):\n"
        "    if recognise(text) is None: sys.exit(text)\n"
        "loaded = {'sympy', 'mpmath'} & set(sys.modules)\n"
        "sys.exit(' '.join(loaded) or 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
