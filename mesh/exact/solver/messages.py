"""What the solver's parent and child say to each other, in frames (``mesh/child/frames.py``)."""

from __future__ import annotations

import msgspec

from mesh.child import frames
from mesh.child.frames import FrameReader
from mesh.exact.base import Exact
from mesh.exact.solver.problem import SolverProblem

MAX_MESSAGE_BYTES = 64 * 1024


class Solve(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="solve"):
    """Parent -> child. ``cpu_s``: after so many seconds of CPU time the kernel ends the child."""

    number: int
    problem: SolverProblem
    cpu_s: int


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="ready"):
    """Child -> parent, once: everything is loaded."""


class Unable(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="unable"):
    """Child -> parent: it cannot serve at all, and exits."""

    message: str


class Solved(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="solved"):
    """Child -> parent."""

    number: int
    exact: Exact


class Unsolved(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="unsolved"):
    """Child -> parent: no answer that is sure. ``why``: for the log."""

    number: int
    why: str


FromSolver = Ready | Unable | Solved | Unsolved

_TO_SOLVER = msgspec.msgpack.Decoder(Solve)
_FROM_SOLVER = msgspec.msgpack.Decoder(FromSolver)


def encode(message: Solve | FromSolver) -> bytes:
    """As ``frames.encode``."""
    return frames.encode(message, MAX_MESSAGE_BYTES)


def at_solver() -> FrameReader[Solve]:
    """What the parent asks, read by the child."""
    return FrameReader(_TO_SOLVER.decode, "to the solver", MAX_MESSAGE_BYTES)


def at_parent() -> FrameReader[FromSolver]:
    """What the child says, read by its parent."""
    return FrameReader(_FROM_SOLVER.decode, "from the solver", MAX_MESSAGE_BYTES)
