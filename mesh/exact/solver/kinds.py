"""The solver's kinds, for the registry of recognisers and for the child."""

from __future__ import annotations

from collections.abc import Callable

from mesh.exact.base import Exact
from mesh.exact.solver import (
    algebra,
    calculus,
    equations,
    inequalities,
    integers,
    logic,
    puzzles,
    sets,
)
from mesh.exact.solver.problem import SolverProblem

# The order in which a prompt is offered: a kind that reads more closely comes first.
RECOGNISERS: tuple[Callable[[str], SolverProblem | None], ...] = (
    integers.recognise,
    calculus.recognise,
    equations.recognise,
    inequalities.recognise,
    algebra.recognise,
    logic.recognise,
    sets.recognise,
    puzzles.recognise,
)

SOLVERS: dict[str, tuple[type[SolverProblem], Callable[[SolverProblem], Exact | None]]] = {
    integers.IntegerProblem.kind: (integers.IntegerProblem, integers.solve),
    calculus.CalculusProblem.kind: (calculus.CalculusProblem, calculus.solve),
    equations.EquationProblem.kind: (equations.EquationProblem, equations.solve),
    inequalities.InequalityProblem.kind: (
        inequalities.InequalityProblem,
        inequalities.solve,
    ),
    algebra.AlgebraProblem.kind: (algebra.AlgebraProblem, algebra.solve),
    logic.LogicProblem.kind: (logic.LogicProblem, logic.solve),
    sets.SetProblem.kind: (sets.SetProblem, sets.solve),
    puzzles.PuzzleProblem.kind: (puzzles.PuzzleProblem, puzzles.solve),
}


def recognise(text: str) -> SolverProblem | None:
    """The first kind's reading of ``text``; pure, and loads neither sympy nor z3."""
    for read in RECOGNISERS:
        problem = read(text)
        if problem is not None:
            return problem
    return None
