"""Requests for embeddings and their answers on the client plane, to protobuf and back."""

from __future__ import annotations

from mesh.embedding import Embeddings, EmbedRequest, count_of
from mesh.errors import InvalidRequest, ProtocolError
from mesh.protobuf.request import model_from_wire, priority_from_wire, timeout_from_wire
from mesh.types import ModelId, NodeId, RequestId
from mesh.v1 import mesh_pb2 as pb
from mesh.validation import check_request_id, check_specialty, check_tenant


def embed_request_to_wire(request: EmbedRequest) -> pb.EmbedRequest:
    """Raises ``InvalidRequest`` for text that has no UTF-8 form."""
    try:
        return pb.EmbedRequest(
            texts=request.texts,
            specialty=request.specialty or "",
            model=request.model or "",
            timeout_s=request.timeout_s or 0.0,
            priority=request.priority,
            request_id=request.id,
            tenant=request.tenant,
        )
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"the request cannot be sent: {error}") from None


def embed_request_from_wire(wire: pb.EmbedRequest, *, fresh_id: RequestId) -> EmbedRequest:
    """``fresh_id`` is used when the client named none. Raises ``InvalidRequest``."""
    timeout_s = timeout_from_wire(wire.timeout_s)
    return EmbedRequest(
        id=check_request_id(wire.request_id) if wire.request_id else fresh_id,
        texts=tuple(wire.texts),
        specialty=check_specialty(wire.specialty) if wire.specialty else None,
        model=model_from_wire(wire.model),
        timeout_s=timeout_s,
        priority=priority_from_wire(wire.priority),
        tenant=check_tenant(wire.tenant),
    )


def embeddings_to_wire(found: Embeddings) -> pb.EmbedResponse:
    return pb.EmbedResponse(
        vectors=found.data,
        dimension=found.dimension,
        node_id=found.node,
        node_name=found.node_name,
        model=found.model,
        prompt_tokens=found.prompt_tokens,
        attempts=found.attempts,
        queue_ms=found.queue_ms,
        total_ms=found.total_ms,
        trace_id=found.trace_id,
    )


def embeddings_from_wire(wire: pb.EmbedResponse, *, texts: int) -> Embeddings:
    """``texts``: how many vectors there must be. Raises ``ProtocolError``."""
    count = count_of(wire.vectors, wire.dimension)
    if count != texts:
        raise ProtocolError(f"the orchestrator sent {count} vectors for {texts} texts")
    return Embeddings(
        data=wire.vectors,
        dimension=wire.dimension,
        node=NodeId(wire.node_id),
        node_name=wire.node_name,
        model=ModelId(wire.model),
        prompt_tokens=wire.prompt_tokens,
        attempts=wire.attempts,
        queue_ms=wire.queue_ms,
        total_ms=wire.total_ms,
        trace_id=wire.trace_id,
    )
