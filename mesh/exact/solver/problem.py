"""What the solver's recognisers hand to its process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.exact.base import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverProblem(Problem):
    """``kind``: a key of ``kinds.KINDS``. ``task``: what is asked for, a word of its kind.
    ``texts``: mathematics as the prompt wrote it, each of which the parser has read whole.
    ``about``: names, points, choices that belong to the task, in the order that its kind states."""

    slow: ClassVar[bool] = True

    task: str
    texts: tuple[str, ...]
    about: tuple[str, ...] = ()
