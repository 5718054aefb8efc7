"""Orders to one node, over the node's own door."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import grpc

from mesh.channel import open_channel
from mesh.client import wire
from mesh.errors import MeshError, ProtocolError, Unreachable
from mesh.orders import LONGEST_S, LoadOrder, Step, UnloadOrder
from mesh.protobuf.orders import load_to_wire, step_from_wire, unload_to_wire
from mesh.v1 import mesh_pb2_grpc


async def ordered(
    endpoint: str, order: LoadOrder | UnloadOrder, *, node: str = ""
) -> AsyncGenerator[Step, None]:
    """What the node at ``host:port`` says until it has done so. ``node``: the id of who is to
    listen there, "" for anybody. Raises ``Unreachable``, ``ProtocolError``, and what the node
    raised."""
    async with open_channel(endpoint) as channel:
        make: Any = mesh_pb2_grpc.NodeControlStub  # generated, and without types
        stub = make(channel)
        match order:
            case LoadOrder():
                call = stub.Load(load_to_wire(order, node), timeout=LONGEST_S)
            case UnloadOrder():
                call = stub.Unload(unload_to_wire(order, node), timeout=LONGEST_S)
        try:
            async for step in call:
                yield step_from_wire(step)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, endpoint) from None


def _translated(error: grpc.aio.AioRpcError, endpoint: str) -> MeshError:
    if wire.never_arrived(error):
        return Unreachable(f"the node does not answer at {endpoint}")
    if wire.connection_lost(error):
        return Unreachable(f"the node at {endpoint} went away before it was done")
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return ProtocolError(
            f"the node at {endpoint} takes no orders: it is older than this command; start it again"
        )
    return wire.translated(error, endpoint)
