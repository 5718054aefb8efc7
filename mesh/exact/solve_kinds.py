"""The solver's kinds, for the registry of recognisers and for the child."""

from __future__ import annotations

from collections.abc import Callable

from mesh.exact import (
    solve_algebra,
    solve_calculus,
    solve_equations,
    solve_inequalities,
    solve_integers,
    solve_logic,
    solve_puzzles,
    solve_sets,
)
from mesh.exact.base import Exact
from mesh.exact.solve_problem import SolverProblem

# The order in which a prompt is offered: a kind that reads more closely comes first.
RECOGNISERS: tuple[Callable[[str], SolverProblem | None], ...] = (
    solve_integers.recognise,
    solve_calculus.recognise,
    solve_equations.recognise,
    solve_inequalities.recognise,
    solve_algebra.recognise,
    solve_logic.recognise,
    solve_sets.recognise,
    solve_puzzles.recognise,
)

SOLVERS: dict[str, tuple[type[SolverProblem], Callable[[SolverProblem], Exact | None]]] = {
    solve_integers.IntegerProblem.kind: (solve_integers.IntegerProblem, solve_integers.solve),
    solve_calculus.CalculusProblem.kind: (solve_calculus.CalculusProblem, solve_calculus.solve),
    solve_equations.EquationProblem.kind: (solve_equations.EquationProblem, solve_equations.solve),
    solve_inequalities.InequalityProblem.kind: (
        solve_inequalities.InequalityProblem,
        solve_inequalities.solve,
    ),
    solve_algebra.AlgebraProblem.kind: (solve_algebra.AlgebraProblem, solve_algebra.solve),
    solve_logic.LogicProblem.kind: (solve_logic.LogicProblem, solve_logic.solve),
    solve_sets.SetProblem.kind: (solve_sets.SetProblem, solve_sets.solve),
    solve_puzzles.PuzzleProblem.kind: (solve_puzzles.PuzzleProblem, solve_puzzles.solve),
}


def recognise(text: str) -> SolverProblem | None:
    """The first kind's reading of ``text``; pure, and loads neither sympy nor z3."""
    for read in RECOGNISERS:
        problem = read(text)
        if problem is not None:
            return problem
    return None
