"""Protobuf and domain types of what lets an answer go on: continuations and resumes."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.errors import InvalidRequest
from mesh.stream import Resume
from mesh.types import Continuation, ModelId, Piece
from mesh.v1 import mesh_pb2 as pb
from mesh.validation import check_model_id, check_specialty


def continuation_to_wire(continuation: Continuation | None) -> pb.Continuation | None:
    if continuation is None:
        return None
    return pb.Continuation(
        ids=[piece.id for piece in continuation.pieces],
        texts=[piece.text for piece in continuation.pieces],
        tokenizer_hash=continuation.tokenizer_hash,
        attempts=continuation.attempts,
        specialty=continuation.specialty or "",
        model=continuation.model or "",
        weights=continuation.weights,
        system=continuation.system,
    )


def continuation_from_wire(wire: pb.GenerateRequest) -> Continuation | None:
    """None when the request has none. Raises ``InvalidRequest`` for what has no meaning; sizes are
    for ``mesh/validation.py``."""
    if not wire.HasField("continuation"):
        return None
    found = wire.continuation
    if len(found.ids) != len(found.texts):
        raise InvalidRequest(
            f"the continuation has {len(found.ids)} ids and {len(found.texts)} texts; "
            "every delivered token has one of each"
        )
    check_model_id(found.model)
    return Continuation(
        pieces=tuple(Piece(id=i, text=t) for i, t in zip(found.ids, found.texts, strict=True)),
        tokenizer_hash=found.tokenizer_hash,
        attempts=found.attempts,
        specialty=check_specialty(found.specialty) if found.specialty else None,
        model=ModelId(found.model) if found.model else None,
        weights=found.weights,
        system=found.system if found.HasField("system") else None,
    )


def resumes_to_wire(resumes: Sequence[Resume]) -> list[pb.Resume]:
    return [
        pb.Resume(
            from_node=resume.from_node,
            to_node=resume.to_node,
            at_token=resume.at_token,
            gap_ms=resume.gap_ms,
            reason=resume.reason,
            from_model=resume.from_model,
            to_model=resume.to_model,
            same_weights=resume.same_weights,
            by_ids=resume.by_ids,
        )
        for resume in resumes
    ]


def resumes_from_wire(wire: Sequence[pb.Resume]) -> tuple[Resume, ...]:
    return tuple(
        Resume(
            from_node=resume.from_node,
            to_node=resume.to_node,
            at_token=resume.at_token,
            gap_ms=resume.gap_ms,
            reason=resume.reason,
            from_model=resume.from_model,
            to_model=resume.to_model,
            same_weights=resume.same_weights,
            by_ids=resume.by_ids,
        )
        for resume in wire
    )
