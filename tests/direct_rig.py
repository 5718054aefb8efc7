"""Whole node agents on the twins, with a gRPC door of their own, beside scripted nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.fleet.records import NodeRecord, NodeView, decode_node
from mesh.registry.base import NODES
from mesh.security.tickets import Signer, Ticket
from mesh.settings.node import NodeSettings
from mesh.types import ModelId, NodeId, OrchestratorId, Specialty
from node.agent import NodeAgent
from node.hardware.gpu import GpuReader
from node.hardware.host import Host
from node.identity import claim
from node.runner.messages import Opened
from node.serve.direct import DirectServer
from node.serve.gate import Keyring, TicketGate
from node.serve.peers import Peers
from tests.mesh.fakes import TIMING, Mesh, until
from tests.mesh.scripted import word
from tests.node_fakes import FakeGpuProbe, FakeRunner, Hosted, done, pieces

OPENED = Opened(sequence=1, prompt_tokens=3)


def words_from(first: int, count: int) -> Any:
    """A runner's message with pieces of the one answer that scripted nodes give as well."""
    message = pieces(*(word(first + i).text for i in range(count)), first=first)
    return type(message)(
        sequence=1, first=first, pieces=tuple(word(first + i) for i in range(count))
    )


def whole_answer(total: int = 10) -> tuple[Any, ...]:
    return OPENED, words_from(0, total), done()


@dataclass
class RealNode:
    """A whole agent whose runner a test holds."""

    name: str
    agent: NodeAgent
    hosted: Hosted
    peers: Peers
    keyring: Keyring
    gate: TicketGate
    mesh: Mesh
    id: NodeId
    instance: str

    @property
    def runner(self) -> FakeRunner:
        return self.hosted.runner

    def record(self) -> NodeRecord:
        return decode_node(self.mesh.store.snapshot(f"{NODES}{self.id}")[f"{NODES}{self.id}"])

    def ticket(self, **changes: Any) -> Ticket:
        now = self.mesh.clock.wall()
        fields: dict[str, Any] = {
            "id": "ab" * 16,
            "issuer": OrchestratorId("orch-test"),
            "node": self.id,
            "instance": self.instance,
            "endpoint": self.record().direct_endpoint,
            "model": ModelId("toy"),
            "specialty": Specialty("math"),
            "issued_at": now,
            "expires_at": now + 60,
            "max_tokens": 1000,
            "max_streams": 2,
        }
        return Ticket(**(fields | changes))


@asynccontextmanager
async def real_node(
    mesh: Mesh,
    folder: Path,
    name: str = "front",
    *,
    model: str = "toy",
    specialties: tuple[str, ...] = ("math",),
    slots: int = 2,
    script: tuple[Any, ...] = (),
    visible: bool = True,
) -> AsyncIterator[RealNode]:
    """An agent on the mesh's twins, up when the block begins. ``visible``: wait until the mesh's
    own orchestrator core would use it."""
    registry = mesh.session()
    with claim(folder / name, name) as identity:
        keyring = Keyring(registry, mesh.clock)
        gate = TicketGate(identity.id, identity.instance, keyring.keys, mesh.clock)
        peers = Peers(
            registry,
            {"zeromq": mesh.network.dialer(name)},
            mesh.clock,
            connect_timeout_s=TIMING.connect_timeout_s,
        )
        agent = NodeAgent(
            NodeSettings(name=name),
            identity,
            registry=registry,
            listener=mesh.network.listener(identity.id, identity.instance),
            gpus=GpuReader(FakeGpuProbe()),
            host=Host(),
            clock=mesh.clock,
            keyring=keyring,
            direct=DirectServer(gate, mesh.clock, bind="127.0.0.1:0"),
            peers=peers,
        )

        def configure(runner: FakeRunner) -> None:
            runner.script = script

        hosted = Hosted(
            model,
            specialties=specialties,
            slots=slots,
            on_change=agent.changed,
            configure=configure,
        )
        agent.roster.add(hosted.model)
        node = RealNode(
            name, agent, hosted, peers, keyring, gate, mesh, identity.id, identity.instance
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(agent.run(), name=f"agent {name}")
            await until(lambda: hosted.made is not None or task.done(), f"{name} has its runner")
            await until(
                lambda: f"{NODES}{identity.id}" in mesh.store.snapshot(NODES), f"{name} is known"
            )
            if visible:
                await until(
                    lambda: usable(mesh.fleet.view.nodes.get(identity.id)), f"{name} is usable"
                )
            try:
                yield node
            finally:
                task.cancel()


def usable(seen: NodeView | None) -> bool:
    """Its newest record is there, which says what the model can take, and its link stands."""
    return (
        seen is not None
        and seen.link_up
        and seen.heartbeat is not None
        and all(model.context_length for model in seen.record.models)
    )


def trusted(node: RealNode, signer: Signer, issuer: str = "orch-test") -> None:
    """The node knows the signer, as if its record were in the registry."""
    known = node.keyring.keys()
    keys = dict(known) | {OrchestratorId(issuer): signer.public_key}
    node.gate._keys = lambda: keys
