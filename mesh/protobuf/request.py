"""Requests for answers, to protobuf and back."""

from __future__ import annotations

import math
from typing import Any

from mesh.errors import InvalidRequest
from mesh.manners import settled
from mesh.protobuf.messages import messages_from_wire, messages_to_wire
from mesh.protobuf.resume import (
    continuation_from_wire,
    continuation_to_wire,
)
from mesh.types import (
    Manner,
    ModelId,
    Priority,
    Request,
    RequestId,
    SaidSampling,
)
from mesh.v1 import mesh_pb2 as pb
from mesh.validation import (
    check_model_id,
    check_request_id,
    check_specialty,
    check_tenant,
    check_timeout,
)


def request_to_wire(request: Request) -> pb.GenerateRequest:
    """Raises ``InvalidRequest`` for text that has no UTF-8 form or numbers that the wire's types
    cannot hold."""
    try:
        return pb.GenerateRequest(
            messages=messages_to_wire(request.messages),
            sampling=sampling_to_wire(request.sampling),
            specialty=request.specialty or "",
            model=request.model or "",
            timeout_s=request.timeout_s or 0.0,
            priority=request.priority,
            request_id=request.id,
            no_resume=not request.resumable,
            continuation=continuation_to_wire(request.continuation),
            tenant=request.tenant,
            cacheable=request.cacheable,
            strict=request.strict,
        )
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"the request cannot be sent: {error}") from None


def request_from_wire(wire: pb.GenerateRequest, *, fresh_id: RequestId) -> Request:
    """``fresh_id`` is used when the client named none. Raises ``InvalidRequest``."""
    timeout_s = timeout_from_wire(wire.timeout_s)
    return Request(
        id=check_request_id(wire.request_id) if wire.request_id else fresh_id,
        messages=messages_from_wire(wire.messages),
        sampling=sampling_from_wire(wire.sampling),
        specialty=check_specialty(wire.specialty) if wire.specialty else None,
        model=model_from_wire(wire.model),
        timeout_s=timeout_s,
        priority=priority_from_wire(wire.priority),
        resumable=not wire.no_resume,
        continuation=continuation_from_wire(wire),
        tenant=check_tenant(wire.tenant),
        cacheable=wire.cacheable if wire.HasField("cacheable") else None,
        strict=wire.strict,
    )


def sampling_to_wire(sampling: SaidSampling) -> pb.Sampling:
    return pb.Sampling(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        seed=sampling.seed,
        stop=sampling.stop,
        grammar=sampling.grammar,
        json_schema=sampling.json_schema,
    )


def sampling_from_wire(wire: pb.Sampling) -> SaidSampling:
    """Unset fields were not said; 0 where it was set is 0."""

    def said(name: str) -> Any:
        return getattr(wire, name) if wire.HasField(name) else None

    return SaidSampling(
        max_tokens=said("max_tokens"),
        temperature=said("temperature"),
        top_p=said("top_p"),
        top_k=said("top_k"),
        min_p=said("min_p"),
        repetition_penalty=said("repetition_penalty"),
        seed=said("seed"),
        stop=tuple(wire.stop),
        grammar=said("grammar"),
        json_schema=said("json_schema"),
    )


def manner_to_wire(manner: Manner | None) -> pb.Manner | None:
    if manner is None:
        return None
    return pb.Manner(sampling=sampling_to_wire(manner.sampling), system=manner.system)


def manner_from_wire(wire: pb.Manner) -> Manner:
    return Manner(sampling=settled(sampling_from_wire(wire.sampling)), system=wire.system)


def timeout_from_wire(timeout_s: float) -> float | None:
    """None: the default. Raises ``InvalidRequest``."""
    if timeout_s < 0 or not math.isfinite(timeout_s):
        raise InvalidRequest(
            f"timeout_s must be more than 0 seconds (or 0: the default), not {timeout_s}"
        )
    check_timeout(timeout_s or None)  # here, before it is cut down to what gRPC's own deadline is
    return timeout_s or None


def model_from_wire(text: str) -> ModelId | None:
    if not text:
        return None
    check_model_id(text)
    return ModelId(text)


def priority_from_wire(text: str) -> Priority:
    """Raises ``InvalidRequest``."""
    try:
        return Priority(text or Priority.NORMAL)
    except ValueError:
        raise InvalidRequest(
            f"priority {text[:40]!r} is unknown; one of {', '.join(Priority)}"
        ) from None
