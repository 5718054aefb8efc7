"""Orders to this node over gRPC, service ``NodeControl``, at its direct door, from this box only.

Whoever can run commands here could stop the node as well; from other boxes nobody has a role yet.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import grpc

from mesh.cleaned import cleaned
from mesh.doors.origin import of_grpc
from mesh.errors import BadTicket, DeadlineExceeded, InternalError, InvalidRequest, Overloaded
from mesh.orders import LONGEST_S, NOT_FROM_HERE
from mesh.protobuf.orders import load_from_wire, step_to_wire, unload_from_wire
from mesh.protobuf.server import guarded, tolerant, whole
from mesh.settings.addresses import is_loopback
from mesh.types import NodeId, RequestId
from mesh.v1 import mesh_pb2 as pb
from node.models.orders import Orders, Steps

SERVICE = pb.DESCRIPTOR.services_by_name["NodeControl"].full_name
MOST_ORDERS = 8  # at a time


class NodeControl:
    """Of ``node``. ``begin`` says who does what is ordered; before that it takes none."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self._orders: Orders | None = None
        self._running = 0

    def begin(self, orders: Orders) -> None:
        self._orders = orders

    def handler(self) -> grpc.GenericRpcHandler:
        """For a server that is being opened."""
        methods = {
            "Load": _streaming(pb.LoadRequest, self._load),
            "Unload": _streaming(pb.UnloadRequest, self._unload),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _load(self, wire: Any, context: Any) -> None:
        await self._answer(wire, context, lambda orders: orders.load(load_from_wire(wire)))

    async def _unload(self, wire: Any, context: Any) -> None:
        await self._answer(wire, context, lambda orders: orders.unload(unload_from_wire(wire)))

    async def _answer(self, wire: Any, context: Any, steps: Callable[[Orders], Steps]) -> None:
        fresh_id = RequestId(uuid.uuid4().hex)
        await guarded(context, fresh_id, "the node", lambda: self._obey(wire, context, steps))

    async def _obey(self, wire: Any, context: Any, steps: Callable[[Orders], Steps]) -> None:
        if not is_loopback(of_grpc(context.peer())):
            raise BadTicket(f"{NOT_FROM_HERE}: run the command there")
        if whole(wire).node_id not in ("", self._node):
            raise InvalidRequest(
                f"it is {self._node} that listens here, and not {cleaned(wire.node_id)}: two boxes "
                "may have one host name; run the command on the other one"
            )
        if self._orders is None:
            raise InternalError("the node takes orders before it runs")
        if self._running >= MOST_ORDERS:
            raise Overloaded(f"{MOST_ORDERS} orders are under way; wait for one", retry_after_s=1.0)
        self._running += 1
        last = None
        try:
            async with asyncio.timeout(LONGEST_S), aclosing(steps(self._orders)) as told:
                async for step in told:
                    if step != last:
                        await context.write(step_to_wire(step))
                    last = step
        except TimeoutError:
            raise DeadlineExceeded(f"the order took longer than {LONGEST_S:g} s") from None
        finally:
            self._running -= 1


def _streaming(kind: Any, answer: Any) -> grpc.RpcMethodHandler:
    return grpc.unary_stream_rpc_method_handler(
        answer,
        request_deserializer=tolerant(kind),
        response_serializer=pb.OrderStep.SerializeToString,
    )
