"""Parts cross every wire as they are, and what is none of them does not come in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from mesh.errors import InvalidRequest, ProtocolError
from mesh.protobuf.messages import messages_from_wire, messages_to_wire
from mesh.transport import frames
from mesh.transport.frames import FrameType
from mesh.types import Message, Role, Sampling
from mesh.v1 import mesh_pb2 as pb
from node.runner import messages as runner
from tests.conversations import ANY_MESSAGES, CALLED
from tests.transport_rig import attempt


@settings(deadline=None)
@given(ANY_MESSAGES)
def test_any_parts_survive_protobuf(messages: tuple[Message, ...]) -> None:
    sent = pb.GenerateRequest(messages=messages_to_wire(messages)).SerializeToString()
    assert messages_from_wire(pb.GenerateRequest.FromString(sent).messages) == messages


@settings(deadline=None)
@given(ANY_MESSAGES)
def test_any_parts_survive_a_frame(messages: tuple[Message, ...]) -> None:
    sent = attempt(messages=messages)
    assert frames.decode(frames.encode(FrameType.OPEN, 7, sent)).body == sent


@settings(deadline=None)
@given(ANY_MESSAGES)
def test_any_parts_survive_the_way_to_a_runner(messages: tuple[Message, ...]) -> None:
    opening = runner.Opening(messages=messages, sampling=Sampling(), credit=5)
    sent = runner.Open(sequence=1, opening=opening)
    assert runner.at_runner().read(runner.encode(sent)) == [sent]


def test_plain_text_is_what_older_orchestrators_read_and_older_clients_write() -> None:
    (plain,) = messages_to_wire([Message.of(Role.USER, "hello")])
    assert plain == pb.Message(role="user", content="hello")
    assert messages_from_wire([plain, pb.Message(role="system")]) == (
        Message.of(Role.USER, "hello"),
        Message.of(Role.SYSTEM, ""),
    )


@pytest.mark.parametrize(
    ("wire", "names"),
    [
        (pb.Message(role="user", content="a", parts=[pb.Part(text="b")]), "content and parts"),
        (
            pb.Message(role="user", parts=[pb.Part(text="b"), pb.Part()]),
            r"parts\[1\] is of no kind",
        ),
    ],
)
def test_what_is_no_part_is_named(wire: pb.Message, names: str) -> None:
    with pytest.raises(InvalidRequest, match=r"messages\[1\]" + ".*" + names):
        messages_from_wire([pb.Message(role="user", content="x"), wire])


BAD_PARTS: list[Any] = [
    {"part": "video", "text": "a"},
    {"text": "a"},
    {"part": "text"},
    {"part": "text", "text": b"a"},
    {"part": "image", "media_type": "image/png", "data": "no bytes"},
    {"part": "tool_call", "id": "a", "name": "b"},
    {"part": "tool_call", "id": "a", "name": "b", "arguments": {"c": 1}},
    {"part": "tool_result", "call_id": 3, "text": "a"},
    "text",
    None,
]


@pytest.mark.parametrize("part", BAD_PARTS, ids=repr)
def test_a_frame_or_runners_message_with_what_is_no_part_is_refused(part: Any) -> None:
    body = msgspec.to_builtins(attempt(messages=(CALLED,)), builtin_types=(bytes,))
    body["messages"][0]["parts"] = [part]
    frame = frames.encode(FrameType.PING, 7)[1:]
    with pytest.raises(ProtocolError, match="bad OPEN"):
        frames.decode(bytes([FrameType.OPEN]) + frame + msgspec.msgpack.encode(body))
    opening = runner.Opening(messages=(CALLED,), sampling=Sampling(), credit=5)
    sent = runner.Open(sequence=1, opening=opening)
    message = msgspec.to_builtins(sent, builtin_types=(bytes,))
    message["opening"]["messages"][0]["parts"] = [part]
    data = msgspec.msgpack.encode(message)
    with pytest.raises(ProtocolError, match="bad message"):
        runner.at_runner().read(len(data).to_bytes(4) + data)
