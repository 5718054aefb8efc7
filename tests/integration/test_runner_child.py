"""The runner's loop, driven over its socket in this process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mesh.errors import ProtocolError
from mesh.types import Message, Piece, Role, Sampling
from node.engines.base import ModelFacts, ModelSpec
from node.engines.simulated.engine import SimulatedEngine
from node.runner import messages as m
from node.runner.child import EXIT_BROKEN, EXIT_LOAD_FAILED, EXIT_OK, EngineServer

DEADLINE_S = 20.0
SPEC = ModelSpec(id="model", source="x", slots=1, context_length=64, threads=1)
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Agent:
    """The other end of a child's socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._reader = m.at_agent()
        self._unread: list[Any] = []

    def send(self, *messages: m.ToRunner) -> None:
        self.connection.sendall(b"".join(map(m.encode, messages)))

    def receive(self, kind: type[Any]) -> Any:
        """The next message of that kind; others are dropped."""
        while True:
            while self._unread:
                message = self._unread.pop(0)
                if isinstance(message, kind):
                    return message
            data = self.connection.recv(65536)
            if not data:
                raise EOFError(f"the child ended before {kind.__name__}")
            self._unread += self._reader.read(data)


@contextmanager
def child(**changes: Any) -> Iterator[tuple[Agent, Future[int]]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(DEADLINE_S)
    with theirs, ThreadPoolExecutor(1) as pool:
        code = pool.submit(EngineServer(theirs, **changes).run)
        with ours:
            yield Agent(ours), code
        code.exception(DEADLINE_S)


def request(sequence: int, **changes: Any) -> m.Open:
    values: dict[str, Any] = {
        "messages": (Message.of(Role.USER, "hello"),),
        "sampling": Sampling(max_tokens=5),
        "credit": 64,
    }
    return m.Open(sequence=sequence, opening=m.Opening(**(values | changes)))


def load(**options: Any) -> m.Load:
    spec = ModelSpec(id="model", source="x", slots=1, context_length=64, threads=1, options=options)
    return m.Load(engine="simulated", spec=spec)


def test_it_ends_well_when_told_and_when_the_agent_is_gone() -> None:
    with child() as (agent, code):
        agent.send(load())
        agent.receive(m.Loaded)
        agent.send(m.Shutdown())
        assert code.result(DEADLINE_S) == EXIT_OK
    with child() as (agent, code):
        agent.send(load(), request(1, credit=1))
        agent.receive(m.Pieces)
    assert code.result(DEADLINE_S) == EXIT_OK


def test_loading_is_reported_and_a_failure_has_its_code() -> None:
    with child() as (agent, code):
        agent.send(load())
        assert agent.receive(m.Loading).percent == 0
        assert agent.receive(m.Loading).percent > 0
    with child() as (agent, code):
        agent.send(load(nonsense=1))
        assert agent.receive(m.LoadFailed).code == "bad_config"
        assert code.result(DEADLINE_S) == EXIT_LOAD_FAILED


def test_a_broken_engine_is_reported_before_the_end() -> None:
    with child() as (agent, code):
        agent.send(load(fail_at=2), request(1))
        assert "token 2" in agent.receive(m.Broken).message
        assert code.result(DEADLINE_S) == EXIT_BROKEN


class Resuming(SimulatedEngine):
    """Keeps what it was given to go on from."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[tuple[int, ...], str]] = []

    def open(self, slot: int, messages: Any, sampling: Any, ids: Any, text: str) -> int:
        self.given.append((tuple(ids), text))
        return super().open(slot, messages, sampling, ids, text)


def test_an_answer_goes_on_by_ids_with_its_own_tokenizer_and_by_text_with_another() -> None:
    engine = Resuming()
    delivered = (Piece(id=0, text="tok0 "), Piece(id=1, text="tok1 "))
    with child(engines=lambda name: engine) as (agent, _):
        agent.send(load())
        for sequence, tokenizer in enumerate(("simulated", "another", ""), 1):
            agent.send(request(sequence, delivered=delivered, tokenizer_hash=tokenizer))
            agent.receive(m.Done)
    assert engine.given == [((0, 1), ""), ((), "tok0 tok1 "), ((), "tok0 tok1 ")]


class Defective:
    """An engine, somebody's plugin for instance, with errors that are none of ours."""

    def __init__(self, *, loads: bool) -> None:
        self._loads = loads

    def load(self, spec: ModelSpec) -> ModelFacts:
        if not self._loads:
            raise IndexError("list index out of range\nand more")
        return ModelFacts(context_length=spec.context_length, device="cpu")

    def open(self, *arguments: Any) -> int:
        return 1

    def step(self, held: frozenset[int]) -> list[Any]:
        raise ZeroDivisionError("division by zero")

    def close(self, slot: int) -> None:
        pass


def test_an_engine_with_a_defect_is_told_by_its_error_and_ends() -> None:
    with child(engines=lambda name: Defective(loads=False)) as (agent, code):
        agent.send(load())
        failed = agent.receive(m.LoadFailed)
        assert failed.code == "engine_failed", "it may go better another time"
        assert "broke while loading: IndexError: list index out of range;" in failed.message
        assert isinstance(code.exception(DEADLINE_S), IndexError)
    with child(engines=lambda name: Defective(loads=True)) as (agent, code):
        agent.send(load(), request(1))
        broken = agent.receive(m.Broken).message
        assert "broke while answering: ZeroDivisionError: division by zero" in broken
        assert isinstance(code.exception(DEADLINE_S), ZeroDivisionError)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x01\xc1",
        b"\xff\xff\xff\xff",
        m.encode(m.Shutdown())[:-1] + b"\xff\xff",
        m.encode(m.Cancel(sequence=1)),
        m.encode(load()) + m.encode(load()),
        m.encode(load()) + b"\x93\x01\x02\x03",
        m.encode(load()) + m.encode(request(1, credit=0)) + m.encode(request(2)),
    ],
)
def test_what_an_agent_may_not_say_ends_the_child(data: bytes) -> None:
    with child() as (agent, code):
        agent.connection.sendall(data)
        with pytest.raises(ProtocolError):
            code.result(DEADLINE_S)


def test_a_cancel_and_a_grant_that_come_after_the_end_mean_nothing() -> None:
    with child() as (agent, _):
        agent.send(load(), request(1))
        agent.receive(m.Done)
        agent.send(m.Cancel(sequence=1), m.Credit(sequence=1, pieces=5), request(2))
        assert agent.receive(m.Opened).sequence == 2
        assert agent.receive(m.Done).sequence == 2


def test_a_cancel_is_confirmed_and_its_slot_taken_again() -> None:
    with child() as (agent, _):
        agent.send(load(), request(1, credit=1))
        agent.receive(m.Pieces)
        agent.send(m.Cancel(sequence=1), request(2))
        assert agent.receive(m.Closed).sequence == 1
        assert agent.receive(m.Done).sequence == 2


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


def test_a_sequence_is_a_span_under_its_traceparent(exporter: InMemorySpanExporter) -> None:
    with child() as (agent, _):
        two_words = (Message.of(Role.USER, "hello there"),)
        traced = request(1, messages=two_words, traceparent=f"00-{TRACE}-{PARENT}-01")
        agent.send(load(), traced)
        agent.receive(m.Done)
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert format(span.context.trace_id, "032x") == TRACE
    assert format(span.parent.span_id, "016x") == PARENT
    assert span.attributes is not None
    assert span.attributes["gen_ai.operation.name"] == "chat"
    assert span.attributes["gen_ai.request.model"] == "model"
    assert span.attributes["gen_ai.usage.output_tokens"] == 5
    assert span.attributes["gen_ai.response.finish_reasons"] == ("length",)
    assert span.attributes["gen_ai.usage.input_tokens"] == 6
    assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 0


@pytest.mark.parametrize(
    ("options", "asked", "ends", "code"),
    [
        ({"fail_at": 2}, {}, m.Broken, "engine_failed"),
        ({}, {"sampling": Sampling(grammar="root ::= 1")}, m.Rejected, "cannot_answer"),
    ],
)
def test_a_sequence_that_failed_says_why_on_its_span(
    options: dict[str, Any],
    asked: dict[str, Any],
    ends: type[Any],
    code: str,
    exporter: InMemorySpanExporter,
) -> None:
    with child() as (agent, _):
        agent.send(load(**options), request(1, **asked))
        said = agent.receive(ends).message
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["error.type"] == code
    assert span.status.description == said
