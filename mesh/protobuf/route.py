"""Dry runs on the client plane, to protobuf and back: one prompt's, or a batch's."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.errors import InvalidRequest, MeshError, ProtocolError, from_code
from mesh.protobuf.events import decision_from_wire, decision_to_wire, reason_from_wire
from mesh.protobuf.messages import messages_from_wire, messages_to_wire
from mesh.protobuf.request import (
    model_from_wire,
    sampling_from_wire,
    sampling_to_wire,
)
from mesh.stream import Ready, Route
from mesh.types import Candidate, ModelId, NodeId, Request, RequestId, Specialty
from mesh.v1 import mesh_pb2 as pb
from mesh.validation import check_specialty, check_tenant

MAX_BATCH = 1000  # prompts a call; more are more calls


def route_request_to_wire(request: Request) -> pb.RouteRequest:
    """Raises ``InvalidRequest`` for text that has no UTF-8 form or numbers that the wire's types
    cannot hold."""
    try:
        return pb.RouteRequest(
            messages=messages_to_wire(request.messages),
            specialty=request.specialty or "",
            model=request.model or "",
            sampling=sampling_to_wire(request.sampling),
            tenant=request.tenant,
            cacheable=request.cacheable,
        )
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"the request cannot be sent: {error}") from None


def route_request_from_wire(wire: pb.RouteRequest, *, fresh_id: RequestId) -> Request:
    """The request that the dry run is about. Raises ``InvalidRequest``."""
    return Request(
        id=fresh_id,
        messages=messages_from_wire(wire.messages),
        sampling=sampling_from_wire(wire.sampling),
        specialty=check_specialty(wire.specialty) if wire.specialty else None,
        model=model_from_wire(wire.model),
        tenant=check_tenant(wire.tenant),
        cacheable=wire.cacheable if wire.HasField("cacheable") else None,
    )


def route_to_wire(route: Route, request_id: RequestId) -> pb.RouteResponse:
    return pb.RouteResponse(
        decision=decision_to_wire(route.decision, request_id),
        candidates=[
            pb.Candidate(
                node_id=c.node,
                node_name=c.node_name,
                model=c.model,
                eligible=c.eligible,
                reason=c.reason,
                score=c.score,
            )
            for c in route.candidates
        ],
        ready=_ready_to_wire(route.ready),
        prior=route.prior or "",
    )


def route_from_wire(wire: pb.RouteResponse) -> Route:
    """Raises ``ProtocolError``."""
    return Route(
        decision=decision_from_wire(wire.decision),
        candidates=tuple(
            Candidate(
                node=NodeId(c.node_id),
                node_name=c.node_name,
                model=ModelId(c.model),
                eligible=c.eligible,
                reason=c.reason,
                score=c.score,
            )
            for c in wire.candidates
        ),
        ready=_ready_from_wire(wire.ready) if wire.HasField("ready") else None,
        prior=Specialty(wire.prior) if wire.prior else None,
    )


def routed_to_wire(
    index: int, routed: Route | MeshError, request_id: RequestId
) -> pb.RouteBatchResponse:
    """One prompt's outcome. ``index``: of the prompt in its call, from 0."""
    if isinstance(routed, MeshError):
        failure = pb.Failure(code=routed.code, message=routed.message)
        return pb.RouteBatchResponse(index=index, failure=failure)
    return pb.RouteBatchResponse(index=index, route=route_to_wire(routed, request_id))


def routed_from_wire(wire: pb.RouteBatchResponse) -> Route | MeshError:
    """Raises ``ProtocolError``."""
    match wire.WhichOneof("result"):
        case "route":
            return route_from_wire(wire.route)
        case "failure":
            return from_code(wire.failure.code, wire.failure.message)
    raise ProtocolError(f"the orchestrator sent no result for prompt {wire.index + 1}")


def batch_to_wire(requests: Sequence[pb.RouteRequest], *, candidates: bool) -> pb.RouteBatchRequest:
    return pb.RouteBatchRequest(prompts=requests, with_candidates=candidates)


def _ready_to_wire(ready: Ready | None) -> pb.Ready | None:
    if ready is None:
        return None
    return pb.Ready(
        source=ready.source,
        text=ready.text,
        node_name=ready.node_name,
        model=ready.model,
        finish_reason=ready.reason,
    )


def _ready_from_wire(wire: pb.Ready) -> Ready:
    return Ready(
        source=wire.source,
        text=wire.text,
        node_name=wire.node_name,
        model=ModelId(wire.model),
        reason=reason_from_wire(wire.finish_reason),
    )
