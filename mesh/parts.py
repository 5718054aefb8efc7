"""What the parts of a message must be before any work is done for them. Pure.

A part is named by where it stands, both numbers from 0: ``messages[2].parts[1]``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from mesh.errors import InvalidRequest
from mesh.types import Image, Message, Part, Role, Text, ToolCall, ToolResult

MAX_PARTS = 256  # of one message
# Of all messages: calls of a few bytes each would else keep whoever checks them busy for a second.
MAX_PARTS_TOGETHER = 8_192
MAX_URL_BYTES = 8 * 1024
MAX_ARGUMENTS_BYTES = 256 * 1024  # of one call
MAX_ARGUMENTS_DEPTH = 64
MEDIA_TYPES = ("image/gif", "image/jpeg", "image/png", "image/webp")

_KINDS: dict[type, str] = {
    Text: "text",
    Image: "an image",
    ToolCall: "a tool call",
    ToolResult: "a tool's result",
}
_BELONG: dict[Role, tuple[type, ...]] = {
    Role.SYSTEM: (Text,),
    Role.USER: (Text, Image),
    Role.ASSISTANT: (Text, ToolCall),
    Role.TOOL: (ToolResult,),
}
# Of a kind that spells no control token of any model, nor a part of one.
_CALL_ID = re.compile(r"[A-Za-z0-9_.:-]{1,256}")
_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_URL = re.compile(r"https?://[!-~]+")


def place(message: int, part: int) -> str:
    return f"messages[{message}].parts[{part}]"


def kind(part: Part) -> str:
    return _KINDS[type(part)]


def beyond_text(messages: Sequence[Message]) -> Iterator[tuple[str, Part]]:
    """The parts that are no text, each with its place."""
    for number, message in enumerate(messages):
        if not message.plain:
            for index, part in enumerate(message.parts):
                if not isinstance(part, Text):
                    yield place(number, index), part


def texts_of(message: Message) -> list[str]:
    """All that a model reads of it as text, calls and results included."""
    texts: list[str] = []
    for part in message.parts:
        match part:
            case Text(text=text) | ToolResult(text=text):
                texts.append(text)
            case ToolCall(name=name, arguments=arguments):
                texts += (name, arguments)
            case Image():
                pass
    return texts


def prompt_bytes(messages: Sequence[Message]) -> int:
    """UTF-8 size of what a model reads of them as text."""
    return sum(len(t.encode("utf-8", "replace")) for m in messages for t in texts_of(m))


def check_parts(messages: Sequence[Message]) -> int:
    """Bytes of all parts together. Raises ``InvalidRequest`` that names the part."""
    size = count = 0
    called: set[str] = set()
    for number, message in enumerate(messages):
        if not message.parts:
            raise InvalidRequest(f"messages[{number}] has no parts; give it a text")
        if len(message.parts) > MAX_PARTS:
            raise InvalidRequest(
                f"messages[{number}] has {len(message.parts)} parts; the limit is {MAX_PARTS}"
            )
        count += len(message.parts)
        if count > MAX_PARTS_TOGETHER:
            raise InvalidRequest(
                f"the messages up to messages[{number}] have {count:,} parts together; the limit "
                f"is {MAX_PARTS_TOGETHER:,}: send fewer"
            )
        if message.plain and message.role is not Role.TOOL:
            size += text_bytes(message.text, f"message {number + 1}")
            continue
        belong = _BELONG[message.role]
        for index, part in enumerate(message.parts):
            if not isinstance(part, belong):
                raise InvalidRequest(
                    f"{place(number, index)} is {kind(part)}; a message of role '{message.role}' "
                    f"holds only {' and '.join(_KINDS[each] for each in belong)}"
                )
            size += _check_part(part, place(number, index), called)
    return size


def _check_part(part: Part, where: str, called: set[str]) -> int:
    match part:
        case Text():
            return text_bytes(part.text, where)
        case Image():
            return _check_image(part, where)
        case ToolCall():
            called.add(part.id)
            return _check_call(part, where)
        case ToolResult():
            if part.call_id not in called:
                raise InvalidRequest(
                    f"{where} is the result of call {part.call_id[:40]!r}, and no call before it "
                    "has that id"
                )
            return len(part.call_id) + text_bytes(part.text, where)


def _check_image(image: Image, where: str) -> int:
    if bool(image.data) == bool(image.url):
        raise InvalidRequest(f"{where}: an image has either its data or a url")
    if image.media_type not in MEDIA_TYPES and (image.data or image.media_type):
        raise InvalidRequest(
            f"{where}: images of type {image.media_type[:40]!r} are not taken; one of "
            f"{', '.join(MEDIA_TYPES)}"
        )
    if image.url and (len(image.url) > MAX_URL_BYTES or not _URL.fullmatch(image.url)):
        raise InvalidRequest(
            f"{where}: an image's url begins with https:// or http://, is ASCII without blanks and "
            f"has at most {MAX_URL_BYTES:,} bytes; send other images as data"
        )
    return len(image.data) + len(image.url)


def _check_call(call: ToolCall, where: str) -> int:
    if not _CALL_ID.fullmatch(call.id):
        raise InvalidRequest(
            f"{where}: {call.id[:40]!r} is no call's id: 1 to 256 letters, digits, '_', '-', '.' "
            "and ':'"
        )
    if not _TOOL_NAME.fullmatch(call.name):
        raise InvalidRequest(
            f"{where}: {call.name[:40]!r} is no tool's name: 1 to 128 letters, digits, '_', '-' "
            "and '.'"
        )
    what = f"{where}: the call's arguments"
    size = text_bytes(call.arguments, what)
    if size > MAX_ARGUMENTS_BYTES:
        raise InvalidRequest(f"{what} are {size:,} bytes; the limit is {MAX_ARGUMENTS_BYTES:,}")
    try:
        arguments = json.loads(call.arguments, parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{what} are not JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise InvalidRequest(f"{what} must be a JSON object; {{}} where there are none")
    _check_value(arguments, what, MAX_ARGUMENTS_DEPTH)
    return len(call.id) + len(call.name) + size


def _check_value(value: Any, what: str, depth: int) -> None:
    """Escapes can write what the text itself may not hold: it reaches engines unescaped."""
    if not depth:
        raise InvalidRequest(f"{what} are nested deeper than {MAX_ARGUMENTS_DEPTH}")
    match value:
        case str():
            text_bytes(value, what)
        case dict():
            for key, inner in value.items():
                text_bytes(key, what)
                _check_value(inner, what, depth - 1)
        case list():
            for inner in value:
                _check_value(inner, what, depth - 1)
        case _:
            pass


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def text_bytes(text: str, what: str) -> int:
    """UTF-8 size. Engines take C strings, and a lone surrogate has no UTF-8 form. Raises
    ``InvalidRequest`` that begins with ``what``."""
    if "\0" in text:
        raise InvalidRequest(f"{what} contains a NUL character; remove it")
    try:
        return len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidRequest(f"{what} is not valid Unicode text (a lone surrogate)") from None
