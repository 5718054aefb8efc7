"""What the solver's parent and child say to each other, and the child's loop."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest

from mesh.child.frames import HEADER_BYTES
from mesh.child.parent import Parent
from mesh.errors import ProtocolError
from mesh.exact.base import MATH, Exact
from mesh.exact.solver import child
from mesh.exact.solver.messages import (
    MAX_MESSAGE_BYTES,
    FromSolver,
    Ready,
    Solve,
    Solved,
    Unable,
    Unsolved,
    at_parent,
    at_solver,
    encode,
)
from mesh.exact.solver.problem import SolverProblem

PROBLEM = SolverProblem(kind="equation", task="solve", texts=("2x = 4",), about=("x",))
SOLVE = Solve(number=7, problem=PROBLEM, cpu_s=2)


@pytest.mark.parametrize(
    "message",
    [
        Ready(),
        Unable(message="no sympy"),
        Solved(number=1, exact=Exact(text="x = 2", kind="equation", specialty=MATH, note="solve")),
        Unsolved(number=1, why="not sure"),
    ],
)
def test_what_the_child_says_arrives_as_it_was_said(message: FromSolver) -> None:
    assert at_parent().read(encode(message)) == [message]


def test_a_problem_arrives_as_it_was_asked() -> None:
    assert at_solver().read(encode(SOLVE)) == [SOLVE]


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"junk", msgspec.msgpack.encode({"t": "other"}), b"\x80" * 10]
)
def test_what_is_no_message_is_an_error(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="bad message"):
        at_solver().read(len(body).to_bytes(HEADER_BYTES) + body)
    with pytest.raises(ProtocolError, match="bad message"):
        at_parent().read(len(body).to_bytes(HEADER_BYTES) + body)


def test_a_message_that_is_too_large_is_refused_by_its_header() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        at_parent().read((MAX_MESSAGE_BYTES + 1).to_bytes(HEADER_BYTES))
    with pytest.raises(ProtocolError, match="at most"):
        encode(Unable(message="x" * MAX_MESSAGE_BYTES))


@pytest.fixture
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop runs in the test's own process here, whose CPU time is nobody's to limit."""
    monkeypatch.setattr(child, "limit_cpu", lambda seconds: None)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Parent[Solve, FromSolver]]]:
    """The parent's end of the socket, and what the child has of its own."""
    ours, theirs = socket.socketpair()
    ours.settimeout(20.0)
    with ours, theirs:
        yield ours, Parent(theirs, at_solver(), encode)


Ends = tuple[socket.socket, Parent[Solve, FromSolver]]


@pytest.mark.usefixtures("no_limits")
def test_the_child_answers_in_turn_until_its_socket_is_closed(ends: Ends) -> None:
    ours, parent = ends
    other = msgspec.structs.replace(SOLVE, number=8, problem=replace(PROBLEM, texts=("x = x + 1",)))
    ours.sendall(encode(SOLVE) + encode(other))
    ours.shutdown(socket.SHUT_WR)
    assert child.serve(parent) == child.EXIT_OK
    first, second = at_parent().read(ours.recv(MAX_MESSAGE_BYTES))
    assert isinstance(first, Solved)
    assert (first.number, first.exact.text) == (7, "x = 2")
    assert isinstance(second, Solved)
    assert (second.number, second.exact.text) == (8, "no real solution")


@pytest.mark.usefixtures("no_limits")
def test_out_of_memory_the_child_says_nothing_and_exits(
    monkeypatch: pytest.MonkeyPatch, ends: Ends
) -> None:
    def work_out(message: Solve) -> Unsolved:
        raise MemoryError

    monkeypatch.setattr(child, "work_out", work_out)
    ours, parent = ends
    ours.sendall(encode(SOLVE))
    assert child.serve(parent) == child.EXIT_NO_MEMORY
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        ours.recv(1)
