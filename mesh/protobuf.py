"""The one place that turns the client plane's protobuf into domain types and back.

``*_to_wire`` take domain types, ``*_from_wire`` take messages. What a client sends is checked here
as far as types go (roles, ids, names) and in ``mesh/validation.py`` as far as values go; what an
orchestrator sends is trusted to be well formed, and a ``ProtocolError`` when it is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mesh.errors import InvalidRequest, ProtocolError
from mesh.protobuf_resume import (
    continuation_from_wire,
    continuation_to_wire,
    resumes_from_wire,
    resumes_to_wire,
)
from mesh.stream import Assigned, Decided, Done, Progress, StreamEvent, Tokens
from mesh.types import (
    Alternative,
    Decision,
    FinishReason,
    Message,
    ModelId,
    NodeId,
    Piece,
    Priority,
    Request,
    RequestId,
    Role,
    Sampling,
    Specialty,
    StageVerdict,
)
from mesh.v1 import mesh_pb2 as pb
from mesh.validation import (
    check_model_id,
    check_request_id,
    check_specialty,
    check_tenant,
    unknown_role,
)

# Keys of the metadata that travels beside the messages; all values are ASCII.
ERROR_CODE = "mesh-error-code"
REQUEST_ID = "mesh-request-id"
RETRY_AFTER_S = "mesh-retry-after-s"
NODE_ID = "mesh-node-id"
TRACEPARENT = "traceparent"


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
        )
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"the request cannot be sent: {error}") from None


def request_from_wire(wire: pb.GenerateRequest, *, fresh_id: RequestId) -> Request:
    """``fresh_id`` is used when the client named none. Raises ``InvalidRequest``."""
    if wire.timeout_s < 0 or not math.isfinite(wire.timeout_s):
        raise InvalidRequest(
            f"timeout_s must be more than 0 seconds (or 0: the default), not {wire.timeout_s}"
        )
    return Request(
        id=check_request_id(wire.request_id) if wire.request_id else fresh_id,
        messages=messages_from_wire(wire.messages),
        sampling=sampling_from_wire(wire.sampling),
        specialty=check_specialty(wire.specialty) if wire.specialty else None,
        model=model_from_wire(wire.model),
        timeout_s=wire.timeout_s or None,
        priority=priority_from_wire(wire.priority),
        resumable=not wire.no_resume,
        continuation=continuation_from_wire(wire),
        tenant=check_tenant(wire.tenant),
        cacheable=wire.cacheable if wire.HasField("cacheable") else None,
    )


def messages_from_wire(wire: Sequence[pb.Message]) -> tuple[Message, ...]:
    """Raises ``InvalidRequest`` for a role that is none."""
    messages = []
    for number, message in enumerate(wire, 1):
        try:
            role = Role(message.role)
        except ValueError:
            raise unknown_role(message.role, number) from None
        messages.append(Message(role=role, content=message.content))
    return tuple(messages)


def event_to_bytes(event: StreamEvent) -> bytes:
    """As ``event_to_wire``, serialised; tokens, which are nearly all events, built in place."""
    if not isinstance(event, Tokens):
        return event_to_wire(event).SerializeToString()
    wire = pb.GenerateEvent()
    tokens = wire.tokens
    tokens.first = event.first
    tokens.ids.extend([piece.id for piece in event.pieces])
    tokens.texts.extend([piece.text for piece in event.pieces])
    return wire.SerializeToString()


def event_to_wire(event: StreamEvent) -> pb.GenerateEvent:
    match event:
        case Tokens(first=first, pieces=pieces):
            tokens = pb.Tokens(
                first=first, ids=[p.id for p in pieces], texts=[p.text for p in pieces]
            )
            return pb.GenerateEvent(tokens=tokens)
        case Progress(phase=phase, done=done, total=total):
            return pb.GenerateEvent(progress=pb.Progress(phase=phase, done=done, total=total))
        case Assigned():
            return pb.GenerateEvent(
                assigned=pb.Assigned(
                    node_id=event.node,
                    node_name=event.node_name,
                    model=event.model,
                    attempt=event.attempt,
                    tokenizer_hash=event.tokenizer_hash,
                )
            )
        case Decided(request_id=request_id, decision=decision):
            return pb.GenerateEvent(decision=decision_to_wire(decision, request_id))
        case Done():
            return pb.GenerateEvent(done=_done_to_wire(event))


def event_from_wire(wire: pb.GenerateEvent) -> StreamEvent | None:
    """None for an event of a newer orchestrator that this client does not know. Raises
    ``ProtocolError``."""
    match wire.WhichOneof("event"):
        case "tokens":
            tokens = wire.tokens
            if len(tokens.ids) != len(tokens.texts):
                raise ProtocolError("the orchestrator sent token ids and texts that do not pair up")
            pieces = zip(tokens.ids, tokens.texts, strict=True)
            return Tokens(first=tokens.first, pieces=tuple(Piece(id=i, text=t) for i, t in pieces))
        case "progress":
            progress = wire.progress
            return Progress(phase=progress.phase, done=progress.done, total=progress.total)
        case "assigned":
            return Assigned(
                node=NodeId(wire.assigned.node_id),
                node_name=wire.assigned.node_name,
                model=ModelId(wire.assigned.model),
                attempt=wire.assigned.attempt,
                tokenizer_hash=wire.assigned.tokenizer_hash,
            )
        case "decision":
            return Decided(
                request_id=RequestId(wire.decision.request_id),
                decision=decision_from_wire(wire.decision),
            )
        case "done":
            return _done_from_wire(wire.done)
    return None


def decision_to_wire(decision: Decision, request_id: RequestId) -> pb.Decision:
    return pb.Decision(
        specialty=decision.specialty,
        stage=decision.stage,
        rule=decision.rule or "",
        confidence=decision.confidence,
        alternatives=[
            pb.Alternative(specialty=a.specialty, probability=a.probability, rule=a.rule or "")
            for a in decision.alternatives
        ],
        verdicts=[
            pb.StageVerdict(
                stage=v.stage,
                specialty=v.specialty or "",
                confidence=v.confidence,
                rule=v.rule or "",
                micros=v.micros,
                note=v.note,
            )
            for v in decision.verdicts
        ],
        rules_version=decision.rules_version,
        micros=decision.micros,
        request_id=request_id,
    )


def decision_from_wire(wire: pb.Decision) -> Decision:
    return Decision(
        specialty=Specialty(wire.specialty),
        stage=wire.stage,
        rule=wire.rule or None,
        confidence=wire.confidence,
        alternatives=tuple(
            Alternative(
                specialty=Specialty(a.specialty), probability=a.probability, rule=a.rule or None
            )
            for a in wire.alternatives
        ),
        verdicts=tuple(
            StageVerdict(
                stage=v.stage,
                specialty=Specialty(v.specialty) if v.specialty else None,
                confidence=v.confidence,
                rule=v.rule or None,
                micros=v.micros,
                note=v.note,
            )
            for v in wire.verdicts
        ),
        rules_version=wire.rules_version,
        micros=wire.micros,
    )


def messages_to_wire(messages: Sequence[Message]) -> list[pb.Message]:
    return [pb.Message(role=message.role, content=message.content) for message in messages]


def sampling_to_wire(sampling: Sampling) -> pb.Sampling:
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


def sampling_from_wire(wire: pb.Sampling) -> Sampling:
    """Unset fields take the domain's defaults; 0 where it was set is 0."""
    default = Sampling()

    def chosen(name: str) -> bool:
        return wire.HasField(name)

    return Sampling(
        max_tokens=wire.max_tokens if chosen("max_tokens") else default.max_tokens,
        temperature=wire.temperature if chosen("temperature") else default.temperature,
        top_p=wire.top_p if chosen("top_p") else default.top_p,
        top_k=wire.top_k if chosen("top_k") else default.top_k,
        min_p=wire.min_p if chosen("min_p") else default.min_p,
        repetition_penalty=(
            wire.repetition_penalty if chosen("repetition_penalty") else default.repetition_penalty
        ),
        seed=wire.seed if chosen("seed") else None,
        stop=tuple(wire.stop),
        grammar=wire.grammar if chosen("grammar") else None,
        json_schema=wire.json_schema if chosen("json_schema") else None,
    )


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


def _done_to_wire(done: Done) -> pb.Done:
    return pb.Done(
        finish_reason=done.reason,
        node_id=done.node,
        node_name=done.node_name,
        model=done.model,
        prompt_tokens=done.prompt_tokens,
        completion_tokens=done.completion_tokens,
        cached_tokens=done.cached_tokens,
        ttft_ms=done.ttft_ms,
        tokens_per_second=done.tokens_per_second,
        resumed=done.resumed,
        attempts=done.attempts,
        trace_id=done.trace_id,
        queue_ms=done.queue_ms,
        resumes=resumes_to_wire(done.resumes),
        source=done.source,
    )


def _done_from_wire(wire: pb.Done) -> Done:
    try:
        reason = FinishReason(wire.finish_reason)
    except ValueError:
        raise ProtocolError(
            f"the orchestrator sent the unknown finish reason {wire.finish_reason!r}; "
            "upgrade this client"
        ) from None
    return Done(
        reason=reason,
        node=NodeId(wire.node_id),
        node_name=wire.node_name,
        model=ModelId(wire.model),
        prompt_tokens=wire.prompt_tokens,
        completion_tokens=wire.completion_tokens,
        cached_tokens=wire.cached_tokens,
        ttft_ms=wire.ttft_ms,
        tokens_per_second=wire.tokens_per_second,
        resumed=wire.resumed,
        attempts=wire.attempts,
        trace_id=wire.trace_id,
        queue_ms=wire.queue_ms,
        resumes=resumes_from_wire(wire.resumes),
        source=wire.source,
    )
