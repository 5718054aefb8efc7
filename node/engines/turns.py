"""A conversation as chat templates expect it: maps in the shapes of Hugging Face's interface. Pure.

Calls are ``tool_calls`` of an assistant's map, and each result is a map of its own with role
``tool`` and the name of the tool that was called.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from mesh.types import Message, Role, ToolCall, ToolResult

Turn = dict[str, Any]
Said = Callable[[str], str]  # what stands for a text: itself, or a placeholder


class Given(list[Any]):
    """A list that a template may not change, unlike one of its own."""


def turns(messages: Sequence[Message], *, said: Said = str, as_text: bool = False) -> list[Turn]:
    """``said`` is asked for every text of somebody's, always in the same order; names of tools and
    ids of calls are no such texts. ``as_text``: the template wants a call's arguments as the JSON
    text that the model wrote, not as the object that it means."""
    found: list[Turn] = Given()
    names: dict[str, str] = {}
    for message in messages:
        if message.role is Role.TOOL:
            found += [
                {
                    "role": message.role.value,
                    "tool_call_id": part.call_id,
                    "name": names.get(part.call_id, ""),
                    "content": said(part.text),
                }
                for part in message.parts
                if isinstance(part, ToolResult)
            ]
            continue
        turn: Turn = {"role": message.role.value, "content": said(message.text)}
        calls = [part for part in message.parts if isinstance(part, ToolCall)]
        if calls:
            names |= {call.id: call.name for call in calls}
            turn["tool_calls"] = Given(_call(call, said, as_text) for call in calls)
        found.append(turn)
    return found


def _call(call: ToolCall, said: Said, as_text: bool) -> Turn:
    arguments = said(call.arguments) if as_text else _spelled(json.loads(call.arguments), said)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _spelled(value: Any, said: Said) -> Any:
    match value:
        case str():
            return said(value)
        case dict():
            return {said(key): _spelled(inner, said) for key, inner in value.items()}
        case list():
            return Given(_spelled(inner, said) for inner in value)
    return value
