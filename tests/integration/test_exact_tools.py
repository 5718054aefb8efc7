"""The tools with their real parts: the solver's process behind the engine, and the runner."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from mesh.errors import NotServed
from mesh.types import Message, Role, Sampling
from node.engines.base import ModelSpec, Token
from node.engines.tools.engine import ToolsEngine
from node.runner import messages as m
from node.runner.child import EXIT_OK, EngineServer
from tests.integration.test_runner_child import DEADLINE_S, Agent

SPEC = ModelSpec(
    id="tools",
    source="tools",
    slots=2,
    context_length=256,
    threads=1,
    options={"timeout_ms": 60_000.0},
)


def user(text: str) -> tuple[Message, ...]:
    return (Message.of(Role.USER, text),)


@pytest.mark.processes
def test_the_engine_solves_equations_in_a_process_that_ends_with_it() -> None:
    engine = ToolsEngine()
    engine.load(SPEC)
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    try:
        engine.open(0, user("Solve x^2 - 5x + 6 = 0 for x."), Sampling(), (), "")
        said = b"".join(
            e.data for _ in range(20) for e in engine.step(frozenset()) if isinstance(e, Token)
        ).decode()
        started = [
            process
            for process in psutil.Process().children(recursive=True)
            if process.pid not in before
        ]
        assert started, "the solver is a process of its own"
        assert "2" in said
        assert "3" in said
        with pytest.raises(NotServed):
            engine.open(1, user("Why is x^2 - 5x + 6 = 0 interesting?"), Sampling(), (), "")
    finally:
        engine.unload()
    gone, alive = psutil.wait_procs(started, timeout=DEADLINE_S)
    assert not alive
    assert gone


def test_a_refusal_costs_the_runner_nothing_and_says_that_another_may_serve_it() -> None:
    spec = ModelSpec(
        id="tools", source="x", slots=1, context_length=64, threads=1, options={"solver": False}
    )

    def request(sequence: int, text: str) -> m.Open:
        opening = m.Opening(messages=user(text), sampling=Sampling(max_tokens=9), credit=64)
        return m.Open(sequence=sequence, opening=opening)

    ours, theirs = socket.socketpair()
    ours.settimeout(DEADLINE_S)
    with theirs, ThreadPoolExecutor(1) as pool, ours:
        # Not by its entry point, which a checkout has only once it is installed anew.
        code = pool.submit(EngineServer(theirs, engines=lambda _: ToolsEngine()).run)
        agent = Agent(ours)
        agent.send(m.Load(engine="tools", spec=spec), request(1, "hello"))
        refused = agent.receive(m.Rejected)
        assert (refused.sequence, refused.code) == (1, "cannot_answer")
        agent.send(request(2, "what is 12 times 7"))
        assert agent.receive(m.Opened).sequence == 2
        assert "".join(p.text for p in agent.receive(m.Pieces).pieces) == "84"
        assert agent.receive(m.Done).reason == "stop"
        agent.send(m.Shutdown())
        assert code.result(DEADLINE_S) == EXIT_OK
