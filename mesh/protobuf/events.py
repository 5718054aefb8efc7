"""An answer's events and its decision, to protobuf and back."""

from __future__ import annotations

from mesh.errors import ProtocolError
from mesh.protobuf.request import manner_from_wire, manner_to_wire
from mesh.protobuf.resume import (
    resumes_from_wire,
    resumes_to_wire,
)
from mesh.stream import Assigned, Decided, Done, Progress, StreamEvent, Tokens, Waiting
from mesh.types import (
    Alternative,
    Decision,
    FinishReason,
    ModelId,
    NodeId,
    Piece,
    RequestId,
    Specialty,
    StageVerdict,
)
from mesh.v1 import mesh_pb2 as pb


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
                    specialty=event.specialty,
                    weights=event.weights,
                )
            )
        case Waiting(why=why, up_to_s=up_to_s):
            return pb.GenerateEvent(waiting=pb.Waiting(why=why, up_to_s=up_to_s))
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
            return Tokens(first=tokens.first, pieces=tuple(map(Piece, tokens.ids, tokens.texts)))
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
                specialty=wire.assigned.specialty,
                weights=wire.assigned.weights,
            )
        case "waiting":
            return Waiting(why=wire.waiting.why, up_to_s=wire.waiting.up_to_s)
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
        manner=manner_to_wire(decision.manner),
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
        manner=manner_from_wire(wire.manner) if wire.HasField("manner") else None,
    )


def reason_from_wire(text: str) -> FinishReason:
    """Raises ``ProtocolError``."""
    try:
        return FinishReason(text)
    except ValueError:
        raise ProtocolError(
            f"the orchestrator sent the unknown finish reason {text!r}; upgrade this client"
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
    return Done(
        reason=reason_from_wire(wire.finish_reason),
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
