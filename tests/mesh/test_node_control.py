"""Orders over gRPC: from this box, of a size, and in the words of the node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.client.orders import ordered
from mesh.clock import ManualClock
from mesh.errors import BadTicket, ConfigError, InvalidRequest, MeshError, Unreachable
from mesh.orders import LoadOrder, Phase, Step, UnloadOrder
from mesh.protobuf.orders import (
    LONGEST_SOURCE,
    load_from_wire,
    load_to_wire,
    step_from_wire,
    step_to_wire,
    unload_from_wire,
    unload_to_wire,
)
from mesh.protobuf.server import tolerant, whole
from mesh.v1 import mesh_pb2 as pb
from node.models.orders import Orders
from node.serve.control import NodeControl
from node.serve.direct import DirectServer
from node.serve.gate import TicketGate
from tests.node_fakes import NODE
from tests.residency_rig import Box, box


@asynccontextmanager
async def door(node: Box) -> AsyncIterator[str]:
    control, clock = NodeControl(NODE), ManualClock()
    gate = TicketGate(NODE, "i", dict, clock)
    server = DirectServer(gate, clock, bind="127.0.0.1:0", beside=(control.handler(),))
    server.bind()
    control.begin(Orders(node.roster, node.residency, node.model))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run(lambda attempt, sink: asyncio.sleep(0), _nobody))
        try:
            yield server.endpoint
        finally:
            task.cancel()


def _nobody(node: str, model: str) -> tuple[str, str]:
    return node, ""


async def steps(endpoint: str, order: LoadOrder | UnloadOrder) -> list[Step]:
    return [step async for step in ordered(endpoint, order)]


async def test_a_model_is_brought_and_let_go_over_the_wire(tmp_path: Path) -> None:
    order = LoadOrder(source="b", specialties=("code",), engine="simulated", slots=3)
    async with box(tmp_path) as node, door(node) as endpoint, asyncio.TaskGroup() as group:
        load = group.create_task(steps(endpoint, order))
        await node.until(load.done)
        last = load.result()[-1]
        assert (last.phase, last.model, last.slots, last.context_length) == (
            Phase.RESIDENT,
            "b",
            3,
            512,
        )
        unload = group.create_task(steps(endpoint, UnloadOrder(model="b")))
        await node.until(unload.done)
        assert unload.result()[-1] == Step(phase=Phase.FORGOTTEN, model="b")


async def test_what_is_wrong_comes_back_as_the_nodes_own_error(tmp_path: Path) -> None:
    async with box(tmp_path) as node, door(node) as endpoint:
        with pytest.raises(ConfigError, match="hosts no model 'b'"):
            await steps(endpoint, LoadOrder(source="b"))
        with pytest.raises(InvalidRequest, match=r"source has 4,097 characters; at most 4,096"):
            await steps(endpoint, LoadOrder(source="b" * (LONGEST_SOURCE + 1)))
        with pytest.raises(InvalidRequest, match="cannot be shown"):
            await steps(endpoint, LoadOrder(source="b\x1b[31m"))
        with pytest.raises(InvalidRequest, match="two boxes may have one host name"):
            async for _ in ordered(endpoint, LoadOrder(source="b"), node="node-2"):
                pass
        with pytest.raises(ConfigError, match="hosts no model 'b'"):
            async for _ in ordered(endpoint, LoadOrder(source="b"), node=NODE):
                pass
        with pytest.raises(MeshError):
            await steps(endpoint, LoadOrder(source="b" * 1_000_000))
    with pytest.raises(Unreachable, match="the node does not answer"):
        await steps(endpoint, LoadOrder(source="b"))


class Ended(Exception):
    """What gRPC raises to end a call."""


class Context:
    """gRPC's, as far as an order goes."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self.written: list[pb.OrderStep] = []
        self.told = ""

    def peer(self) -> str:
        return self._peer

    def done(self) -> bool:
        return False

    cancelled = done

    async def write(self, step: pb.OrderStep) -> None:
        self.written.append(step)

    async def abort(self, status: grpc.StatusCode, details: str, trailers: Any) -> None:
        self.told = f"{dict(trailers)['mesh-error-code']}: {details}"
        raise Ended


@pytest.mark.parametrize(
    ("peer", "taken"),
    [
        ("ipv4:127.0.0.1:5000", True),
        ("ipv4:127.8.8.8:5000", True),
        ("ipv6:%5B::1%5D:5000", True),
        ("ipv6:[::ffff:127.0.0.1]:5000", True),
        ("ipv4:192.168.1.5:5000", False),
        ("ipv4:0.0.0.0:5000", False),
        ("ipv6:%5Bfe80::1%25eth0%5D:5000", False),
        ("ipv6:[::ffff:10.0.0.1]:5000", False),
        ("ipv6:[2001:db8::1]:5000", False),
        ("ipv4:127.0.0.1.evil.example:5000", False),
        ("unknown", False),
        ("", False),
    ],
)
async def test_only_this_box_gives_orders(tmp_path: Path, peer: str, taken: bool) -> None:
    async with box(tmp_path) as node:
        control, context = NodeControl(NODE), Context(peer)
        control.begin(Orders(node.roster, node.residency, node.model))
        with pytest.raises(Ended):
            await control._load(pb.LoadRequest(source="b"), context)
        assert context.told.startswith("bad_config: " if taken else f"{BadTicket.code}: ")
        assert taken or "only from its own box until there are roles" in context.told


def test_orders_and_steps_come_back_from_the_wire_as_they_were() -> None:
    load = LoadOrder(source="a", specialties=("b", "c"), id="d", engine="e", slots=1)
    assert load_from_wire(load_to_wire(load)) == load
    unload = UnloadOrder(model="a", wait=True)
    assert unload_from_wire(unload_to_wire(unload)) == unload
    step = Step(phase=Phase.RESIDENT, model="a", device="cpu", slots=2, bytes=7, load_s=0.5)
    assert step_from_wire(step_to_wire(step)) == step


@given(st.binary(max_size=200))
def test_whatever_bytes_a_stranger_sends_are_an_order_or_invalid(data: bytes) -> None:
    for kind, read in ((pb.LoadRequest, load_from_wire), (pb.UnloadRequest, unload_from_wire)):
        with suppress(InvalidRequest):
            read(whole(tolerant(kind)(data)))  # type: ignore[operator]
