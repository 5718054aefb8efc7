"""Stage ``exact``: whole answers from the tools on the CPU, for what they read whole.

Quick kinds (arithmetic, units, dates) are answered without ever waiting; problems that need sympy
go to the solver's process, with a deadline. It abstains, with the reason in its note, unless a
value is asked for (``mesh/exact/wanted.py``) and nothing said before it may bind the answer
(``mesh/exact/earlier.py``), and whenever a plain answer might not be what was asked for: a model
was named, a grammar or a schema demands a form, a stop string or ``max_tokens`` would cut it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date

from mesh.clock import Clock
from mesh.exact.asking import asked
from mesh.exact.base import Declined, Exact, Problem, pieces
from mesh.exact.quick import units
from mesh.exact.quick.units import Conversion
from mesh.exact.reading import answer
from mesh.exact.solver.problem import SolverProblem
from mesh.exact.solver.process import SolverProcess
from mesh.extras import missing, remedy
from mesh.settings.load import check_range
from mesh.types import Alternative, FinishReason, ModelId, Piece
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.ready import ReadyAnswer
from orchestrator.router.spec import NotInstalled, StageParts, StageSpec

NAME = "exact"
MODEL = ModelId("tools")
_GRACE_S = 0.05  # the solver ends by its own deadline, and the cascade's is only for its defects


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactSettings:
    """Tools on the CPU. ``timeout_ms``: for what needs the solver's process, after which the next
    stage is asked; ``memory_bytes``: that process may have."""

    timeout_ms: float = 300.0
    memory_bytes: int = 1024 * 1024 * 1024

    def check(self, where: str) -> None:
        """What types cannot say. Raises ``ConfigError``."""
        check_range(where, "timeout_ms", 1, self.timeout_ms, 60_000)
        check_range(where, "memory_bytes", 384 * 2**20, self.memory_bytes, 2**40)


class ExactStage:
    """``solver`` None: only the quick kinds. ``clock``: says which day today is, here."""

    def __init__(
        self, solver: SolverProcess | None, clock: Clock, settings: ExactSettings | None = None
    ) -> None:
        self._solver = solver
        self._clock = clock
        self._solver_s = (settings or ExactSettings()).timeout_ms / 1000

    @property
    def timeout_s(self) -> float:
        return self._solver_s + _GRACE_S

    async def consult(self, features: Features) -> Verdict | Abstain:
        """Suspends only for problems of the solver. Never raises for any prompt."""
        if features.model is not None:
            return Abstain("a model was asked for by name")
        if features.sampling.grammar is not None or features.sampling.json_schema is not None:
            return Abstain("an answer of a given form was asked for")
        problem = asked(features.messages, date.fromtimestamp(self._clock.wall()))
        if isinstance(problem, Declined):
            return Abstain(problem.note)
        if isinstance(problem, Conversion) and not units.loaded():
            return Abstain(f"{problem.kind}: the units are still being loaded", passing=True)
        match await self._answered(problem):
            case Exact() as exact:
                return _verdict(exact, features)
            case Declined(note=note):
                return Abstain(f"{problem.kind}: {note}")
            case None:
                return Abstain(
                    f"{problem.kind}: no answer that is sure, or not in time", passing=True
                )

    async def _answered(self, problem: Problem) -> Exact | Declined | None:
        if isinstance(problem, SolverProblem):
            if self._solver is None:
                return Declined(note="needs the solver, which is not there")
            return await self._solver.solve(problem, self._solver_s)
        return answer(problem)

    async def run(self) -> None:
        """Loads the definitions of units beside the event loop, and owns the solver's process."""
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(units.load), name="units")
            if self._solver is not None:
                group.create_task(self._solver.run(), name="solver")


def _verdict(exact: Exact, features: Features) -> Verdict | Abstain:
    if features.specialty is not None and features.specialty != exact.specialty:
        return Abstain(f"specialty '{features.specialty}' was asked for by name")
    words = pieces(exact.text)
    sampling = features.sampling
    if sampling.max_tokens is not None and len(words) > sampling.max_tokens:
        return Abstain(f"the answer has {len(words)} words, max_tokens is {sampling.max_tokens}")
    if any(stop in exact.text for stop in sampling.stop):
        return Abstain("a stop string would cut the answer")
    ready = ReadyAnswer(
        source=NAME,
        pieces=tuple(Piece(id=number, text=word) for number, word in enumerate(words)),
        reason=FinishReason.STOP,
        model=MODEL,
        prompt_tokens=len(features.messages[-1].text.split()),
    )
    return Verdict(
        exact.specialty,
        1.0,
        exact.kind,
        (Alternative(specialty=exact.specialty, probability=1.0, rule=exact.kind),),
        exact.note,
        ready,
    )


def _made(settings: ExactSettings, parts: StageParts) -> ExactStage:
    solver = SolverProcess(settings.memory_bytes, clock=parts.clock)
    return ExactStage(solver, parts.clock, settings)


def _missing() -> NotInstalled | None:
    parts = missing(NAME)
    return NotInstalled(parts=" and ".join(parts), remedy=remedy(NAME)) if parts else None


SPEC = StageSpec(name=NAME, settings=ExactSettings, answers=True, missing=_missing, make=_made)
