"""What the solver's parent and child say to each other: msgpack over the child's pipes, each
message with its length in front, decoded straight into its type by ``msgspec``."""

from __future__ import annotations

import msgspec

from mesh.errors import ProtocolError
from mesh.exact.base import Exact
from mesh.exact.solver.problem import SolverProblem

HEADER_BYTES = 4  # the body's length, big-endian
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

_ENCODER = msgspec.msgpack.Encoder()
_TO_SOLVER = msgspec.msgpack.Decoder(Solve)
_FROM_SOLVER = msgspec.msgpack.Decoder(FromSolver)


def encode(message: Solve | FromSolver) -> bytes:
    """Raises ``ProtocolError`` for a message past the limit."""
    body = _ENCODER.encode(message)
    size(len(body).to_bytes(HEADER_BYTES))
    return len(body).to_bytes(HEADER_BYTES) + body


def size(header: bytes) -> int:
    """The body's length in bytes. Raises ``ProtocolError``."""
    length = int.from_bytes(header)
    if length > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"a message of {length:,} bytes; at most {MAX_MESSAGE_BYTES:,}")
    return length


def to_solver(body: bytes) -> Solve:
    """Raises ``ProtocolError``."""
    try:
        message: Solve = _TO_SOLVER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"bad message to the solver: {error}") from None
    return message


def from_solver(body: bytes) -> FromSolver:
    """Raises ``ProtocolError``."""
    try:
        message: FromSolver = _FROM_SOLVER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"bad message from the solver: {error}") from None
    return message
