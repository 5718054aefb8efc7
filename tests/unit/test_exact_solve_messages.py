"""What the solver's parent and child say to each other, and the child's loop."""

from __future__ import annotations

import io
from dataclasses import replace

import msgspec
import pytest

from mesh.errors import ProtocolError
from mesh.exact.base import MATH, Exact
from mesh.exact.solver import child
from mesh.exact.solver.messages import (
    HEADER_BYTES,
    MAX_MESSAGE_BYTES,
    FromSolver,
    Ready,
    Solve,
    Solved,
    Unable,
    Unsolved,
    encode,
    from_solver,
    size,
    to_solver,
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
    data = encode(message)
    assert size(data[:HEADER_BYTES]) == len(data) - HEADER_BYTES
    assert from_solver(data[HEADER_BYTES:]) == message


def test_a_problem_arrives_as_it_was_asked() -> None:
    assert to_solver(encode(SOLVE)[HEADER_BYTES:]) == SOLVE


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"junk", msgspec.msgpack.encode({"t": "other"}), b"\x80" * 10]
)
def test_what_is_no_message_is_an_error(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="bad message"):
        to_solver(body)
    with pytest.raises(ProtocolError, match="bad message"):
        from_solver(body)


def test_a_message_that_is_too_large_is_refused_by_its_header() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        size((MAX_MESSAGE_BYTES + 1).to_bytes(HEADER_BYTES))
    with pytest.raises(ProtocolError, match="at most"):
        encode(Unable(message="x" * MAX_MESSAGE_BYTES))


@pytest.fixture
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop runs in the test's own process here, whose CPU time is nobody's to limit."""
    monkeypatch.setattr(child, "limit_cpu", lambda seconds: None)


@pytest.mark.usefixtures("no_limits")
def test_the_child_answers_in_turn_until_its_pipe_is_closed() -> None:
    sink = io.BytesIO()
    other = msgspec.structs.replace(SOLVE, number=8, problem=replace(PROBLEM, texts=("x = x + 1",)))
    source = io.BytesIO(encode(SOLVE) + encode(other))
    assert child.serve(source, sink) == child.EXIT_OK
    data = sink.getvalue()
    length = size(data[:HEADER_BYTES])
    first = from_solver(data[HEADER_BYTES : HEADER_BYTES + length])
    second = from_solver(data[HEADER_BYTES + length + HEADER_BYTES :])
    assert isinstance(first, Solved)
    assert (first.number, first.exact.text) == (7, "x = 2")
    assert isinstance(second, Solved)
    assert (second.number, second.exact.text) == (8, "no real solution")


@pytest.mark.usefixtures("no_limits")
def test_out_of_memory_the_child_says_nothing_and_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    def work_out(message: Solve) -> Unsolved:
        raise MemoryError

    monkeypatch.setattr(child, "work_out", work_out)
    sink = io.BytesIO()
    assert child.serve(io.BytesIO(encode(SOLVE)), sink) == child.EXIT_NO_MEMORY
    assert sink.getvalue() == b""
