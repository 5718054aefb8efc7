"""A message in the shapes of OpenAI's chat completions. Pure."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from mesh.types import Image, Message, Part, Role, Text, ToolCall, ToolResult


def turns_of(message: Message) -> list[dict[str, Any]]:
    """One, but for a tool's message, which is one for each result. Texts alone are a string, as all
    servers take it; ``content`` is null where there are only calls."""
    role = message.role.value
    if message.role is Role.TOOL:
        return [
            {"role": role, "tool_call_id": part.call_id, "content": part.text}
            for part in message.parts
            if isinstance(part, ToolResult)
        ]
    if any(isinstance(part, Image) for part in message.parts):
        return [{"role": role, "content": [_shown(part) for part in message.parts]}]
    calls = [_call(part) for part in message.parts if isinstance(part, ToolCall)]
    if calls:
        return [{"role": role, "content": message.text or None, "tool_calls": calls}]
    return [{"role": role, "content": message.text}]


def _shown(part: Part) -> dict[str, Any]:
    match part:
        case Image(media_type=media_type, data=data, url=url):
            where = url or f"data:{media_type};base64,{b64encode(data).decode()}"
            return {"type": "image_url", "image_url": {"url": where}}
        case Text(text=text):
            return {"type": "text", "text": text}
    raise TypeError(f"{type(part).__name__} does not stand beside an image")


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
