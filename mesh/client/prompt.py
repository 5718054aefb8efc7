"""What a call asks: a text, or messages; the error names the one that is wrong by its number. Pure.

What a caller's type checker did not see is seen here, so that it shows where the call is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mesh.client.options import check_known, is_text, shown
from mesh.errors import InvalidRequest
from mesh.parts import place
from mesh.types import Image, Message, Part, Role, Text, ToolCall, ToolResult
from mesh.validation import unknown_role

Prompt = str | Sequence[Message | Mapping[str, str]]

_ROLES = frozenset(Role)
_SHAPE = 'a Message or {"role": "user", "content": "…"}'


def messages_of(prompt: Prompt) -> tuple[Message, ...]:
    """Raises ``InvalidRequest``."""
    if isinstance(prompt, str):
        return (Message.of(Role.USER, prompt),)
    given: Any = prompt
    if not isinstance(given, Sequence) or isinstance(given, bytes | bytearray):
        raise InvalidRequest(
            f"the prompt must be a str, or a list of messages, not {type(given).__name__}"
        )
    return tuple(_message(item, number) for number, item in enumerate(given, 1))


def prompts_of(given: Iterable[Prompt]) -> Iterable[Prompt]:
    """Several; a single text is one. Raises ``InvalidRequest``."""
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable) or isinstance(given, bytes | bytearray | Mapping):
        raise InvalidRequest(
            f"the prompts must be a list, or come one after another, not {type(given).__name__}"
        )
    return given


def _message(item: Any, number: int) -> Message:
    """``number``: from 1."""
    if isinstance(item, Message):
        return _checked(item, number)
    if not isinstance(item, Mapping) or not isinstance(item.get("content"), str):
        raise InvalidRequest(f"message {number} must be {_SHAPE}")
    check_known(item, ("role", "content"), f"key in message {number}:")
    return Message.of(_role(item.get("role", Role.USER), number), item["content"])


def _role(given: Any, number: int) -> Role:
    if isinstance(given, str) and given in _ROLES:
        return Role(given)
    raise unknown_role(shown(given), number)


def _checked(message: Message, number: int) -> Message:
    role = _role(message.role, number)
    parts: Any = message.parts
    if isinstance(parts, str):
        raise InvalidRequest(
            f"messages[{number - 1}].parts must be parts, not a str; Message.of makes a message "
            "of a text"
        )
    if not isinstance(parts, Sequence):
        raise InvalidRequest(
            f"messages[{number - 1}].parts must be a tuple of parts, not {type(parts).__name__}"
        )
    for index, part in enumerate(parts):
        if not _is_part(part):
            raise InvalidRequest(
                f"{place(number - 1, index)} must be a Text, an Image, a ToolCall or a ToolResult "
                f"with fields of their types, not {type(part).__name__}"
            )
    if role is message.role and isinstance(parts, tuple):
        return message
    return Message(role=role, parts=tuple(parts))


def _is_part(given: Any) -> bool:
    part: Part = given
    match part:
        case Text(text=text):
            texts = [text]
        case Image(media_type=media_type, data=data, url=url):
            return isinstance(data, bytes) and is_text(media_type) and is_text(url)
        case ToolCall(id=call, name=name, arguments=arguments):
            texts = [call, name, arguments]
        case ToolResult(call_id=call, text=text):
            texts = [call, text]
        case _:
            return False
    return all(map(is_text, texts))
