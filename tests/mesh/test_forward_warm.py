"""A model that is cold on the node that was asked: a peer that has it loaded comes first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mesh.fleet.records import ModelState
from mesh.transport.base import Accepted, Attempt, Finished, Sink
from mesh.types import FinishReason, ModelId, NodeId
from node.serve.forward import MAX_FORWARDS, Forwarder
from node.serve.peers import Peers
from tests.mesh.fakes import TIMING, Mesh
from tests.mesh.scripted import MATH, ScriptedNode, refuse
from tests.node_fakes import USAGE, FakeSink, attempt

FRONT = NodeId("node-front")
TOY = ModelId("toy")
HERE = Accepted(node=FRONT, model=TOY)


class Front:
    """A node on which ``toy`` is cold; it loads it for whoever comes, and counts that."""

    def __init__(self, mesh: Mesh) -> None:
        registry = mesh.session()
        peers = Peers(
            registry,
            {"zeromq": mesh.network.dialer("front")},
            mesh.clock,
            connect_timeout_s=TIMING.connect_timeout_s,
        )
        self.loads = 0
        self.forwarder = Forwarder(
            FRONT, self._serve, peers, mesh.clock, cold=lambda model: model == TOY
        )
        mesh.start(registry.run(), "front registry")
        mesh.start(peers.run(), "front peers")

    async def _serve(self, attempt: Attempt, sink: Sink) -> None:
        self.loads += 1
        await sink.send(Accepted(node=FRONT, model=attempt.model))
        await sink.send(Finished(reason=FinishReason.STOP, usage=USAGE))

    async def first(self, **changes: Any) -> Any:
        """The first word of the answer."""
        sink = FakeSink()
        given: dict[str, Any] = {"may_forward": True, "specialty": MATH}
        asked = attempt(**(given | changes))
        async with asyncio.timeout(10):
            await self.forwarder.handle(asked, sink)
        return sink.events[0]


@asynccontextmanager
async def fleet(state: ModelState) -> AsyncIterator[tuple[Front, ScriptedNode]]:
    async with Mesh() as mesh:
        peer = await mesh.node("a", model_state=state)
        front = Front(mesh)
        await asyncio.sleep(0)
        yield front, peer


async def test_a_peer_that_has_it_loaded_answers_and_nothing_is_loaded_here() -> None:
    async with fleet(ModelState.RESIDENT) as (front, peer):
        assert await front.first() == Accepted(node=peer.id, model=TOY)
        assert front.loads == 0
        assert peer.attempts[0].hops == (FRONT,)


@pytest.mark.parametrize("state", [ModelState.COLD, ModelState.LOADING, ModelState.FAILED])
async def test_a_peer_that_would_load_it_as_well_is_not_asked(state: ModelState) -> None:
    async with fleet(state) as (front, peer):
        assert await front.first() == HERE
        assert peer.attempts == []


async def test_a_peer_that_refuses_leaves_the_load_to_this_node() -> None:
    async with fleet(ModelState.RESIDENT) as (front, peer):
        peer.scripts.append(refuse("overloaded", "just taken"))
        assert await front.first() == HERE
        assert len(peer.attempts) == 1


async def test_who_chose_this_node_with_better_knowledge_is_served_here() -> None:
    async with fleet(ModelState.RESIDENT) as (front, peer):
        assert await front.first(may_forward=False) == HERE
        hops = tuple(NodeId(f"node-{i}") for i in range(MAX_FORWARDS))
        assert await front.first(hops=hops) == HERE
        assert peer.attempts == []


async def test_another_model_that_is_warm_here_stays_here() -> None:
    async with fleet(ModelState.RESIDENT) as (front, peer):
        assert await front.first(model=ModelId("other")) == Accepted(
            node=FRONT, model=ModelId("other")
        )
        assert peer.attempts == []
