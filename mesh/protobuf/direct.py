"""Tickets on the client plane, to protobuf and back: what Route grants, what Direct is asked."""

from __future__ import annotations

import math

from mesh.errors import ProtocolError
from mesh.protobuf.request import request_to_wire
from mesh.stream import Grant
from mesh.types import ModelId, NodeId, Request
from mesh.v1 import mesh_pb2 as pb


def grant_to_wire(grant: Grant) -> pb.Ticket:
    return pb.Ticket(
        token=grant.token,
        node_id=grant.node,
        node_name=grant.node_name,
        endpoint=grant.endpoint,
        model=grant.model,
        lifetime_s=grant.lifetime_s,
        max_tokens=grant.max_tokens,
        max_streams=grant.max_streams,
        tokenizer_hash=grant.tokenizer_hash,
    )


def grant_from_wire(wire: pb.RouteResponse) -> Grant | None:
    """None when the orchestrator gave no ticket. Raises ``ProtocolError``."""
    if not wire.HasField("ticket"):
        return None
    ticket = wire.ticket
    if not ticket.token or not ticket.endpoint or not math.isfinite(ticket.lifetime_s):
        raise ProtocolError("the orchestrator gave a ticket without token, endpoint or lifetime")
    return Grant(
        token=ticket.token,
        node=NodeId(ticket.node_id),
        node_name=ticket.node_name,
        endpoint=ticket.endpoint,
        model=ModelId(ticket.model),
        lifetime_s=ticket.lifetime_s,
        max_tokens=ticket.max_tokens,
        max_streams=ticket.max_streams,
        tokenizer_hash=ticket.tokenizer_hash,
    )


def direct_to_wire(token: str, request: Request) -> pb.DirectRequest:
    """Raises ``InvalidRequest``."""
    return pb.DirectRequest(ticket=token, request=request_to_wire(request))
