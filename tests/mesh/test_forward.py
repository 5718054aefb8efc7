"""Hand-over between nodes, over the twin network: who is chosen, how far it goes, and that
credit, cancellation, deadlines and traces reach the far end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mesh.clock import SystemClock
from mesh.errors import DeadlineExceeded, Draining, EngineFailed, NodeLost
from mesh.transport.base import Accepted, Attempt, Finished, Handler, Refused, Sink, Tokens
from mesh.types import ModelId, NodeId, Specialty
from node.serve.forward import MAX_FORWARDS, MAX_PEERS_TRIED, Forwarder
from node.serve.peers import Peers
from tests.mesh.fakes import TIMING, Mesh, until
from tests.mesh.scripted import (
    CHAT,
    MATH,
    ScriptedNode,
    answer,
    die,
    fail,
    hang,
    hold,
    refuse,
    word,
    words,
)
from tests.node_fakes import FakeSink, attempt

FRONT = NodeId("node-front")


def full(node: str = "front") -> Handler:
    async def serve(attempt: Attempt, sink: Sink) -> None:
        await sink.send(Refused(code="overloaded", message=f"{node} is full", retry_after_s=0.5))

    return serve


class Front:
    """A node that can serve nothing itself, and its forwarder."""

    def __init__(self, mesh: Mesh, serve: Handler | None = None, **peers: Any) -> None:
        registry = mesh.session()
        self.peers = Peers(
            registry,
            {"zeromq": mesh.network.dialer("front")},
            mesh.clock,
            connect_timeout_s=TIMING.connect_timeout_s,
            **peers,
        )
        self.forwarder = Forwarder(FRONT, serve or full(), self.peers, mesh.clock)
        mesh.start(registry.run(), "front registry")
        mesh.start(self.peers.run(), "front peers")

    async def answer(self, **changes: Any) -> list[Any]:
        sink = FakeSink()
        async with asyncio.timeout(10):
            await self.forwarder.handle(asked(**changes), sink)
        return sink.events


def asked(**changes: Any) -> Attempt:
    return attempt(**({"may_forward": True, "specialty": MATH} | changes))


@asynccontextmanager
async def front(
    *names: str, serve: Handler | None = None, **peers: Any
) -> AsyncIterator[tuple[Front, list[ScriptedNode], Mesh]]:
    """A front and scripted peers on one network."""
    async with Mesh() as mesh:
        nodes = [await mesh.node(name) for name in names]
        made = Front(mesh, serve, **peers)
        await asyncio.sleep(0)
        yield made, nodes, mesh


def text_of(events: Sequence[Any]) -> str:
    return "".join(p.text for e in events if isinstance(e, Tokens) for p in e.pieces)


async def test_what_this_node_cannot_take_a_peer_answers_through_it() -> None:
    async with front("a") as (here, (a,), _):
        events = await here.answer()
    assert events[0] == Accepted(node=a.id, model=ModelId("toy"))
    assert text_of(events) == words(10)
    assert isinstance(events[-1], Finished)
    assert a.attempts[0].hops == (FRONT,)
    assert a.attempts[0].may_forward


async def test_an_attempt_that_does_not_allow_it_is_refused_here() -> None:
    async with front("a") as (here, (a,), _):
        events = await here.answer(may_forward=False)
        assert not here.peers.watching
    assert [e.code for e in events] == ["overloaded"]
    assert a.attempts == []


async def test_what_this_node_takes_itself_never_leaves_it() -> None:
    async def serve(attempt: Attempt, sink: Sink) -> None:
        await sink.send(Accepted(node=FRONT, model=attempt.model))

    async with front("a", serve=serve) as (here, (a,), _):
        events = await here.answer()
        assert here.peers.links == 0
    assert events == [Accepted(node=FRONT, model=ModelId("toy"))]
    assert a.attempts == []


@pytest.mark.parametrize("code", ["invalid_request", "context_overflow"])
async def test_what_would_be_refused_anywhere_is_not_handed_over(code: str) -> None:
    async def serve(attempt: Attempt, sink: Sink) -> None:
        await sink.send(Refused(code=code, message="no"))

    async with front("a", serve=serve) as (here, (a,), _):
        events = await here.answer()
    assert [e.code for e in events] == [code]
    assert a.attempts == []


async def test_it_is_handed_over_so_many_times_and_no_further() -> None:
    async with front("a") as (here, (a,), _):
        hops = tuple(NodeId(f"node-{i}") for i in range(MAX_FORWARDS))
        (event,) = await here.answer(hops=hops)
        assert event.code == "overloaded"
        assert "handed over 2 times already" in event.message
        assert a.attempts == []
        await here.answer(hops=hops[:-1])
        assert a.attempts[0].hops == (*hops[:-1], FRONT)


async def test_it_never_goes_where_it_was() -> None:
    async with front("a") as (here, (a,), _):
        (event,) = await here.answer(hops=(a.id,))
    assert event.code == "overloaded"
    assert "no peer can take it" in event.message
    assert a.attempts == []


async def test_two_full_nodes_that_know_only_each_other_end_it() -> None:
    """Both forward; the second excludes the first, and the refusal comes back at once."""
    async with front("a") as (here, (a,), mesh):
        far_registry = mesh.session()
        far_peers = Peers(
            far_registry,
            {"zeromq": mesh.network.dialer("a")},
            mesh.clock,
            connect_timeout_s=TIMING.connect_timeout_s,
        )
        mesh.start(far_registry.run(), "a's session")
        mesh.start(far_peers.run(), "a's peers")
        far = Forwarder(a.id, full("a"), far_peers, mesh.clock)

        async def hand_on(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
            await far.handle(attempt, sink)

        a.scripts = [hand_on]
        (event,) = await here.answer()
    assert event.code == "overloaded"
    assert "front is full" in event.message
    assert "a is full; not handed over: no peer" in event.message
    assert len(a.attempts) == 1


async def test_a_peer_that_refuses_is_followed_by_the_next_but_not_by_all() -> None:
    names = [f"n{i}" for i in range(MAX_PEERS_TRIED + 2)]
    async with front(*names) as (here, nodes, _):
        for node in nodes:
            node.scripts = [refuse("overloaded", f"{node.name} is full")] * 9
        (event,) = await here.answer()
        assert sum(len(node.attempts) for node in nodes) == MAX_PEERS_TRIED
        assert event.message.count("is full") == 1 + MAX_PEERS_TRIED
        next(node for node in nodes if not node.attempts).scripts = []
        events = await here.answer(hops=(next(n for n in nodes if n.attempts).id,))
        assert events


async def test_another_model_of_the_specialty_stands_in_unless_the_model_was_named() -> None:
    async with Mesh() as mesh:
        other = await mesh.node("a", model=ModelId("other"))
        await mesh.node("poet", specialties=(CHAT,), model=ModelId("poet"))
        here = Front(mesh)
        await asyncio.sleep(0)
        events = await here.answer()
        assert events[0] == Accepted(node=other.id, model=ModelId("other"))
        (event,) = await here.answer(specialty=None)
        assert "no peer can take it" in event.message
        (event,) = await here.answer(specialty=Specialty("law"))
        assert "no peer can take it" in event.message


async def test_a_client_that_takes_nothing_holds_the_peer_at_its_credit() -> None:
    async with front("a") as (here, (a,), _), asyncio.TaskGroup() as group:
        a.scripts = [answer(200)]
        sink = FakeSink()
        sink.gate.clear()
        task = group.create_task(here.forwarder.handle(asked(credit=8), sink))
        await until(lambda: sink.waiting)
        await until(lambda: a.sent == [8])
        sink.gate.set()
        await task
        assert text_of(sink.events) == words(200)


async def test_cancelling_here_frees_the_slot_there() -> None:
    async with front("a") as (here, (a,), _), asyncio.TaskGroup() as group:
        freed = asyncio.Event()
        a.scripts = [hang(3, freed)]
        sink = FakeSink()
        task = group.create_task(here.forwarder.handle(asked(), sink))
        await until(lambda: text_of(sink.events) == words(3))
        assert here.forwarder.in_flight.count == 1
        begun = SystemClock().now()
        task.cancel()
        async with asyncio.timeout(5):
            await freed.wait()
        assert SystemClock().now() - begun < 0.1
        await until(lambda: a.used == 0 and here.forwarder.in_flight.count == 0)


async def test_the_deadline_ends_it_here_and_frees_the_slot_there() -> None:
    async with front("a") as (here, (a,), _):
        freed = asyncio.Event()
        a.scripts = [hang(1, freed)]
        with pytest.raises(DeadlineExceeded, match="used up at a peer"):
            await here.answer(timeout_s=0.3)
        async with asyncio.timeout(5):
            await freed.wait()
        assert a.attempts[0].timeout_s <= 0.3


async def test_a_peer_that_cannot_be_reached_is_passed_over_and_set_aside() -> None:
    async with front("a", "b") as (here, nodes, mesh):
        first = await here.answer()
        served = next(n for n in nodes if n.id == first[0].node)
        other = next(n for n in nodes if n is not served)
        mesh.network.cut(served.id)
        served.scripts = [hang()]
        async with asyncio.timeout(10):
            events = await here.answer()
        assert events[0].node == other.id
        assert text_of(events) == words(10)


async def test_a_peer_lost_in_mid_answer_is_a_failure_that_names_it() -> None:
    async with front("a") as (here, (a,), _):
        a.scripts = [die(4)]
        with pytest.raises(NodeLost, match="peer a") as caught:
            await here.answer()
        assert caught.value.node_id == a.id


async def test_a_peer_that_breaks_before_it_took_it_is_passed_over_and_after_is_reported() -> None:
    async with front("a", "b") as (here, nodes, _):
        for node in nodes:
            node.scripts = [fail(2)]
        with pytest.raises(EngineFailed, match="the engine broke"):
            await here.answer()
        assert sum(len(node.attempts) for node in nodes) == 1


async def test_the_end_of_a_drain_ends_what_is_with_peers() -> None:
    async with front("a") as (here, (a,), _), asyncio.TaskGroup() as group:
        gate, freed = asyncio.Event(), asyncio.Event()
        a.scripts = [hang(1, freed)]

        async def drained() -> None:
            with pytest.raises(Draining):
                await here.answer()
            gate.set()

        group.create_task(drained())
        await until(lambda: a.used == 1)
        here.forwarder.in_flight.end_all()
        async with asyncio.timeout(5):
            await gate.wait()
            await freed.wait()
            await here.forwarder.in_flight.idle()
        (event,) = await here.answer()
        assert event.message == "front is full", "nothing is handed over any more"


async def test_links_and_the_watch_end_when_nobody_needs_them() -> None:
    async with front("a", idle_s=0.2) as (here, (a,), _):
        gate = asyncio.Event()
        a.scripts = [hold(gate)]
        async with asyncio.TaskGroup() as group:
            group.create_task(here.answer())
            await until(lambda: a.used == 1)
            await asyncio.sleep(0.5)
            assert here.peers.links == 1, "a link in use stays"
            gate.set()
        await until(lambda: here.peers.links == 0 and not here.peers.watching)
        assert text_of(await here.answer()) == words(10), "and they come back"


async def test_links_are_limited_and_the_idlest_makes_room() -> None:
    async with front("a", "b", links=1) as (here, nodes, _):
        first = await here.answer()
        second = next(n for n in nodes if n.id != first[0].node)
        events = await here.answer(hops=(first[0].node,))
        assert events[0].node == second.id
        assert here.peers.links == 1


async def test_a_forwarded_resume_goes_on_after_what_was_delivered() -> None:
    async with front("a") as (here, _, _mesh):
        events = await here.answer(delivered=tuple(word(i) for i in range(4)))
        tokens = [e for e in events if isinstance(e, Tokens)]
        assert tokens[0].first == 4
