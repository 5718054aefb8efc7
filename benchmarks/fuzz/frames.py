"""Frames of the data plane, as they come off a wire."""

from __future__ import annotations

from mesh.errors import ProtocolError
from mesh.fleet.records import PROTOCOL_VERSION, Heartbeat, ModelLoad, ModelState, NodeState
from mesh.transport import frames
from mesh.transport.base import (
    Accepted,
    Attempt,
    Failed,
    Finished,
    Progress,
    Refused,
    Tokens,
    Vectors,
)
from mesh.transport.frames import Bye, Credit, FrameType, Hello, Reject, Welcome
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

_NODE, _MODEL = NodeId("node-0123456789abcdef"), ModelId("qwen2.5-7b")
_PIECES = (Piece(id=0, text="so "), Piece(id=2**31, text="it is \U0001f600"))
_ATTEMPT = Attempt(
    request_id=RequestId("f" * 32),
    number=2,
    model=_MODEL,
    messages=(Message.of(Role.SYSTEM, "be brief"), Message.of(Role.USER, "hello")),
    sampling=Sampling(seed=7, stop=("\n\n",)),
    timeout_s=30.0,
    delivered=_PIECES,
    tokenizer_hash="0123abcd",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    hops=(_NODE,),
)
_BEAT = Heartbeat(
    node=_NODE,
    state=NodeState.READY,
    models=(ModelLoad(model=_MODEL, state=ModelState.RESIDENT, slots=4, used_slots=1),),
    free_vram_bytes=(2**33,),
)
SEEDS: tuple[bytes, ...] = (
    frames.encode(
        FrameType.HELLO, 0, Hello(protocol=PROTOCOL_VERSION, name="o", instance="a", heartbeat_s=1)
    ),
    frames.encode(
        FrameType.WELCOME,
        0,
        Welcome(protocol=PROTOCOL_VERSION, node=_NODE, instance="b", heartbeat_s=0.5),
    ),
    frames.encode(FrameType.REJECT, 0, Reject(reason="this node already has 4096 peers")),
    frames.encode(FrameType.BYE, 0, Bye(reason="the node has stopped")),
    frames.encode(FrameType.HEARTBEAT, 0, _BEAT),
    frames.encode(FrameType.PING, 0),
    frames.encode(FrameType.CANCEL, 3),
    frames.encode(FrameType.CREDIT, 3, Credit(pieces=256)),
    frames.encode(FrameType.OPEN, 1, _ATTEMPT),
    *(
        frames.encode_event(1, event)
        for event in (
            Accepted(node=_NODE, model=_MODEL),
            Progress(phase="prefilling", done=128, total=1024),
            Tokens(first=2, pieces=_PIECES),
            Vectors(first=0, dimension=2, data=bytes(8)),
            Finished(
                reason=FinishReason.STOP,
                usage=Usage(prompt_tokens=9, completion_tokens=2, cached_tokens=1),
            ),
            Refused(code="overloaded", message="no slot is free", retry_after_s=0.5),
            Failed(code="engine_error", message="it broke"),
        )
    ),
)
EXPECTED: tuple[type[Exception], ...] = (ProtocolError,)


def decode(data: bytes) -> None:
    frames.decode(data)
