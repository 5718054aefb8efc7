"""Inputs that no good peer would send, made from good ones: frames of the data plane and messages
of the client plane, broken in their bytes and in their structure. All drawn from one ``Random``.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as Wire

from mesh.fleet.records import PROTOCOL_VERSION, Heartbeat, ModelLoad, ModelState, NodeState
from mesh.transport import frames
from mesh.transport.base import Accepted, Attempt, Failed, Finished, Progress, Refused, Tokens
from mesh.transport.frames import HEADER_BYTES, Bye, Credit, FrameType, Hello, Reject, Welcome
from mesh.types import (
    FinishReason,
    Message,
    ModelId,
    NodeId,
    Piece,
    RequestId,
    Role,
    Sampling,
    Usage,
)
from tests.conversations import SEEN, TOOLS

NODE = NodeId("node-1")
# What a field may hold that its reader did not think of.
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 7, 63, 64, 65, 2**31, 2**32, 2**53, 2**63 - 1, 2**64 - 1, -(2**63),
    0.0, -0.0, 1.5, -1.5, 1e308, 5e-324, float("nan"), float("inf"), float("-inf"),
    "", " ", "a", "\0", "\u202e", "😀", "x" * 300, "node-1", "math", "user", "00" * 16,
    b"", b"\xff", [], [0], [[]], {}, {"": None}, {"a": {"b": [1]}},
)  # fmt: skip
TEXTS: tuple[str, ...] = tuple(value for value in ODD if isinstance(value, str))
_PIECES = tuple(Piece(id=i, text=f"t{i} ") for i in range(5))


def _good() -> tuple[tuple[FrameType, Any], ...]:
    attempt = Attempt(
        request_id=RequestId("0" * 32),
        number=1,
        model=ModelId("m"),
        messages=(*SEEN, *TOOLS, Message.of(Role.USER, "hello")),
        sampling=Sampling(stop=("\n",)),
        timeout_s=30.0,
        delivered=_PIECES,
        hops=(NodeId("a"),),
    )
    load = ModelLoad(model=ModelId("m"), state=ModelState.RESIDENT, slots=4, used_slots=1)
    usage = Usage(prompt_tokens=1, completion_tokens=2)
    return (
        (FrameType.HELLO, Hello(protocol=PROTOCOL_VERSION, name="o", instance="i")),
        (
            FrameType.WELCOME,
            Welcome(protocol=PROTOCOL_VERSION, node=NODE, instance="i", heartbeat_s=0.5),
        ),
        (FrameType.REJECT, Reject(reason="too old")),
        (FrameType.PING, None),
        (FrameType.PONG, None),
        (FrameType.BYE, Bye(reason="stopping")),
        (FrameType.OPEN, attempt),
        (FrameType.CREDIT, Credit(pieces=3)),
        (FrameType.CANCEL, None),
        (FrameType.ACCEPTED, Accepted(node=NODE, model=ModelId("m"))),
        (FrameType.PROGRESS, Progress(phase="prefilling", done=3, total=9)),
        (FrameType.TOKENS, Tokens(first=0, pieces=_PIECES)),
        (FrameType.FINISHED, Finished(reason=FinishReason.STOP, usage=usage)),
        (FrameType.REFUSED, Refused(code="overloaded", message="full", retry_after_s=1.5)),
        (FrameType.FAILED, Failed(code="engine_failed", message="ünï")),
        (
            FrameType.HEARTBEAT,
            Heartbeat(node=NODE, state=NodeState.READY, models=(load,), free_vram_bytes=(1,)),
        ),
    )


# Encoded once: a million inputs are made from them.
GOOD_FRAMES: tuple[bytes, ...] = tuple(frames.encode(kind, 1, body) for kind, body in _good())
_TREES = tuple(
    (frame[0], msgspec.msgpack.decode(frame[HEADER_BYTES:]))
    for frame in GOOD_FRAMES
    if len(frame) > HEADER_BYTES
)


def good_frame(rng: random.Random, stream: int | None = None) -> bytes:
    """A well-formed frame; whether it may come now is another matter."""
    frame = rng.choice(GOOD_FRAMES)
    return _on_stream(frame, _stream(rng) if stream is None else stream)


def mutated_frame(rng: random.Random) -> bytes:
    """Broken in its bytes, in its structure, or not at all but on a stream of its own choice."""
    match rng.randrange(8):
        case 0:
            return rng.randbytes(rng.randrange(40))
        case 1:
            return good_frame(rng)
        case 2 | 3 | 4:
            return mutated_bytes(rng, good_frame(rng))
        case _:
            kind, tree = rng.choice(_TREES)
            body = msgspec.msgpack.encode(mutated_tree(rng, tree))
            return bytes([kind]) + _stream(rng).to_bytes(8, "big") + body


def mutated_bytes(rng: random.Random, data: bytes) -> bytes:
    """One to four edits: a bit, a byte, a cut, a repetition, an insertion."""
    edited = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(edited) + 1)
        match rng.randrange(5):
            case 0 if at < len(edited):
                edited[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(edited):
                edited[at] = rng.randrange(256)
            case 2:
                del edited[at : at + rng.randint(1, 8)]
            case 3:
                edited[at:at] = edited[max(0, at - rng.randint(1, 16)) : at]
            case _:
                edited[at:at] = rng.randbytes(rng.randint(1, 4))
    return bytes(edited)


def mutated_tree(rng: random.Random, tree: Any) -> Any:
    """The same structure with something in it lost, odd, doubled or too many."""
    if rng.random() < 0.15:
        return rng.choice(ODD)
    match tree:
        case dict() if tree:
            changed = dict(tree)
            key = rng.choice(list(changed))
            match rng.randrange(4):
                case 0:
                    del changed[key]
                case 1:
                    changed[rng.choice(TEXTS)] = rng.choice(ODD)
                case _:
                    changed[key] = mutated_tree(rng, changed[key])
            return changed
        case list() if tree:
            at = rng.randrange(len(tree))
            match rng.randrange(4):
                case 0:
                    return tree[:at] + tree[at + 1 :]
                case 1:
                    return tree + tree[at:] * rng.randint(1, 20)
                case _:
                    return [*tree[:at], mutated_tree(rng, tree[at]), *tree[at + 1 :]]
        case _:
            return rng.choice(ODD)


def random_message(rng: random.Random, kind: type[Wire], depth: int = 0) -> Wire:
    """A valid message of the type, filled field by field with what fits each field's type."""
    made = kind()
    for field in kind.DESCRIPTOR.fields:
        if rng.random() < 0.4:
            continue
        # A field as its descriptor says, so that fields of tomorrow are tried as well.
        count = rng.choice((0, 1, 1, 2, 5)) if field.is_repeated else 1
        for _ in range(count):
            _fill(rng, made, field, depth)
    return made


def _fill(rng: random.Random, made: Any, field: Any, depth: int) -> None:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if depth < 3:
            inner = random_message(rng, field.message_type._concrete_class, depth + 1)
            target = getattr(made, field.name)
            (target.add() if field.is_repeated else target).CopyFrom(inner)
        return
    value = _scalar(rng, field)
    if field.is_repeated:
        getattr(made, field.name).append(value)
    else:
        setattr(made, field.name, value)


def _scalar(rng: random.Random, field: Any) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            if field.type == FieldDescriptor.TYPE_BYTES:
                return rng.randbytes(rng.randrange(20))
            return rng.choice(TEXTS)
        case FieldDescriptor.CPPTYPE_BOOL:
            return rng.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return rng.choice([v for v in ODD if isinstance(v, float)])
        case FieldDescriptor.CPPTYPE_UINT32:
            return rng.choice((0, 1, 2**32 - 1))
        case FieldDescriptor.CPPTYPE_UINT64:
            return rng.choice((0, 1, 2**64 - 1))
        case FieldDescriptor.CPPTYPE_INT64:
            return rng.choice((0, 1, -1, 2**63 - 1, -(2**63)))
        case _:
            return rng.choice((0, 1, -1, 2**31 - 1, -(2**31)))


def _stream(rng: random.Random) -> int:
    return rng.choice((0, 1, 1, 1, 2, 3, rng.randrange(100), 2**63 - 1, 2**63, 2**64 - 1))


def _on_stream(frame: bytes, stream: int) -> bytes:
    return frame[:1] + stream.to_bytes(8, "big") + frame[HEADER_BYTES:]


def altered_message(rng: random.Random, good: Wire, depth: int = 0) -> Wire:
    """A copy with one field, at whatever depth, set to something odd or cleared."""
    made = type(good)()
    made.CopyFrom(good)
    field: Any = rng.choice(list(good.DESCRIPTOR.fields) or [None])
    if field is None:
        return made
    if field.type == FieldDescriptor.TYPE_MESSAGE and depth < 3 and rng.random() < 0.7:
        target: Any = getattr(made, field.name)
        if not field.is_repeated:
            target.CopyFrom(altered_message(rng, target, depth + 1))
        elif len(target):
            at = rng.randrange(len(target))
            target[at].CopyFrom(altered_message(rng, target[at], depth + 1))
        return made
    if rng.random() < 0.2:
        made.ClearField(field.name)
        return made
    _fill(rng, made, field, depth)
    return made
