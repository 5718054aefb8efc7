"""A conversation's messages and their parts, to protobuf and back."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.errors import InvalidRequest
from mesh.parts import place
from mesh.types import Image, Message, Part, Role, Text, ToolCall, ToolResult
from mesh.v1 import mesh_pb2 as pb
from mesh.validation import unknown_role


def messages_from_wire(wire: Sequence[pb.Message]) -> tuple[Message, ...]:
    """Raises ``InvalidRequest`` for a role or a part that is none; the rest is for
    ``mesh/validation.py``."""
    messages = []
    for number, message in enumerate(wire):
        try:
            role = Role(message.role)
        except ValueError:
            raise unknown_role(message.role, number + 1) from None
        if message.parts and message.content:
            raise InvalidRequest(f"messages[{number}] has content and parts; give one of them")
        if message.parts:
            parts = tuple(_part(part, place(number, n)) for n, part in enumerate(message.parts))
            messages.append(Message(role=role, parts=parts))
        else:
            messages.append(Message.of(role, message.content))
    return tuple(messages)


def messages_to_wire(messages: Sequence[Message]) -> list[pb.Message]:
    return [_message(message) for message in messages]


def _message(message: Message) -> pb.Message:
    match message.parts:
        case (Text(text=text),):  # what every orchestrator understands, older ones too
            return pb.Message(role=message.role, content=text)
    return pb.Message(role=message.role, parts=[_to_wire(part) for part in message.parts])


def _part(wire: pb.Part, where: str) -> Part:
    match wire.WhichOneof("part"):
        case "text":
            return Text(wire.text)
        case "image":
            image = wire.image
            return Image(image.media_type, image.data, image.url)
        case "tool_call":
            call = wire.tool_call
            return ToolCall(call.id, call.name, call.arguments)
        case "tool_result":
            return ToolResult(wire.tool_result.call_id, wire.tool_result.text)
    raise InvalidRequest(f"{where} is of no kind that is known here")


def _to_wire(part: Part) -> pb.Part:
    match part:
        case Text(text=text):
            return pb.Part(text=text)
        case Image():
            image = pb.Image(media_type=part.media_type, data=part.data, url=part.url)
            return pb.Part(image=image)
        case ToolCall():
            call = pb.ToolCall(id=part.id, name=part.name, arguments=part.arguments)
            return pb.Part(tool_call=call)
        case ToolResult():
            return pb.Part(tool_result=pb.ToolResult(call_id=part.call_id, text=part.text))
