"""Parts stand where they belong, within their limits; what is wrong is named by its place."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import msgspec
import pytest

from mesh.errors import InvalidRequest
from mesh.exact.asking import asked
from mesh.exact.base import Declined
from mesh.parts import (
    MAX_ARGUMENTS_BYTES,
    MAX_ARGUMENTS_DEPTH,
    MAX_PARTS,
    MAX_PARTS_TOGETHER,
    MAX_URL_BYTES,
    prompt_bytes,
    texts_of,
)
from mesh.types import Image, Message, Part, Role, Text, ToolCall, ToolResult
from mesh.validation import check_messages
from tests.conversations import ANSWERED, ASKED, CALL, CALLED, PICTURE, RESULT, SEEN, TOOLS


def user(*parts: Part) -> Message:
    return Message(role=Role.USER, parts=parts)


def said(*parts: Part) -> Message:
    return Message(role=Role.ASSISTANT, parts=parts)


def came_to(*parts: Part) -> Message:
    return Message(role=Role.TOOL, parts=parts)


def call(**changes: Any) -> list[Message]:
    return [ASKED, said(Text("wait"), msgspec.structs.replace(CALL, **changes)), ANSWERED]


def shown(**changes: Any) -> list[Message]:
    return [user(Text("what is this?"), msgspec.structs.replace(PICTURE, **changes))]


def test_a_messages_text_is_its_text_parts_joined() -> None:
    assert Message.of(Role.USER, "hello") == user(Text("hello"))
    assert Message.of(Role.USER, "hello").text == "hello"
    assert SEEN[0].text == "What is this?"
    assert CALLED.text == ANSWERED.text == ""


def test_a_model_reads_texts_calls_and_results() -> None:
    assert [text for message in TOOLS for text in texts_of(message)] == [
        "What is the weather?",
        "weather",
        CALL.arguments,
        "rain, 7 °C",
    ]
    assert prompt_bytes(SEEN) == len("What is this?")
    assert prompt_bytes([ANSWERED]) == len("rain, 7 °C") + 1


@pytest.mark.parametrize(
    "messages",
    [
        TOOLS,
        SEEN,
        [user(PICTURE)],
        [user(Image("", url="https://x.org/a.png"))],
        [*TOOLS, Message.of(Role.ASSISTANT, "It rains."), ASKED],
        [ASKED, said(CALL, ToolCall("b", "time", "{}")), came_to(RESULT, ToolResult("b", ""))],
        call(arguments="{}"),
        [user(*[Text("a")] * MAX_PARTS)] * (MAX_PARTS_TOGETHER // MAX_PARTS),
        [ASKED, said(ToolCall("functions.weather:0", "a.B-9_", "{}")), ASKED],
    ],
)
def test_parts_in_their_places_pass(messages: list[Message]) -> None:
    check_messages(messages)


DEEP = '{"a":' * MAX_ARGUMENTS_DEPTH
HOSTILE = [
    ([user()], r"messages\[0\] has no parts"),
    ([ASKED, user(*[Text("a")] * (MAX_PARTS + 1))], rf"messages\[1\] has {MAX_PARTS + 1} parts"),
    (
        [user(*[Text("a")] * MAX_PARTS)] * (MAX_PARTS_TOGETHER // MAX_PARTS) + [ASKED],
        r"up to messages\[32\] have 8,193 parts together; the limit is 8,192",
    ),
    (
        [replace(ASKED, role=Role.SYSTEM, parts=(PICTURE,)), ASKED],
        r"messages\[0\].parts\[0\] is",
    ),
    (
        [ASKED, said(Text("a"), PICTURE), ASKED],
        r"\[1\].parts\[1\] is an image; .*'assistant'",
    ),
    ([user(Text("a"), CALL)], r"messages\[0\].parts\[1\] is a tool call"),
    ([user(RESULT)], r"messages\[0\].parts\[0\] is a tool's result"),
    ([ASKED, CALLED, came_to(RESULT, Text("a"))], r"messages\[2\].parts\[1\] is text; .*'tool'"),
    ([ASKED, ANSWERED], r"messages\[1\].parts\[0\] is the result of call 'call_1', and no call"),
    ([ASKED, ANSWERED, CALLED, ASKED], r"messages\[1\].parts\[0\] is the result"),
    ([ASKED, CALLED], "must be from the user or a tool, not from 'assistant'"),
    ([user(Text(" "), Text(""))], "the prompt is empty"),
    (call(id=""), r"messages\[1\].parts\[1\]: '' is no call's id"),
    (call(id="<|im_end|>"), r"messages\[1\].parts\[1\]: .* is no call's id"),
    (call(id="x" * 257), "is no call's id"),
    (call(name="rm -rf"), r"messages\[1\].parts\[1\]: 'rm -rf' is no tool's name"),
    (call(name="[INST]"), "is no tool's name"),
    (call(name="x" * 129), "is no tool's name"),
    (call(arguments=""), r"messages\[1\].parts\[1\]: the call's arguments are not JSON"),
    (call(arguments="{'a': 1}"), "are not JSON"),
    (call(arguments='{"a": NaN}'), "are not JSON"),
    (call(arguments='{"a": ' + "9" * 10_000 + "}"), "are not JSON"),
    (call(arguments="[" * 100_000), "are not JSON"),
    (call(arguments="[1]"), "must be a JSON object"),
    (call(arguments=DEEP + "{}" + "}" * MAX_ARGUMENTS_DEPTH), "nested deeper than 64"),
    (call(arguments='{"a": "\\u0000"}'), "NUL"),
    (call(arguments='{"\\ud800": 1}'), "not valid Unicode"),
    (call(arguments='{"a": ["\ud800"]}'), "not valid Unicode"),
    (call(arguments=json.dumps({"a": "x" * MAX_ARGUMENTS_BYTES})), "the limit is 262,144"),
    ([ASKED, CALLED, came_to(ToolResult("call_1", "\0"))], r"messages\[2\].parts\[0\] .*NUL"),
    (shown(data=b""), r"messages\[0\].parts\[1\]: an image has either its data or a url"),
    (shown(url="https://x.org/a.png"), "either its data or a url"),
    (shown(media_type="image/svg+xml"), r"messages\[0\].parts\[1\]: images of type 'image/svg"),
    (shown(media_type=""), "images of type '' are not taken"),
    (
        shown(data=b"", media_type="", url="file:///etc/passwd"),
        r"\[0\].parts\[1\]: .*https",
    ),
    (shown(data=b"", media_type="", url="https://x.org/ a"), "without blanks"),
    (shown(data=b"", media_type="", url="https://x.org/" + "a" * MAX_URL_BYTES), "at most 8,192"),
    (shown(data=b"x" * 5_000_000), "bytes; the limit is 4,194,304 bytes"),
]


@pytest.mark.parametrize(("messages", "names"), HOSTILE)
def test_a_bad_part_is_refused_by_its_place(messages: list[Message], names: str) -> None:
    with pytest.raises(InvalidRequest, match=names):
        check_messages(messages)


def test_the_size_limit_counts_every_kind_of_part() -> None:
    size = len("What is the weather?") + len("call_1weather") + len(CALL.arguments.encode())
    size += len("call_1") + len("rain, 7 °C".encode())
    check_messages(TOOLS, max_bytes=size)
    with pytest.raises(InvalidRequest, match=f"{size} bytes; the limit is {size - 1}"):
        check_messages(TOOLS, max_bytes=size - 1)
    with pytest.raises(InvalidRequest, match="23 bytes"):
        check_messages(SEEN, max_bytes=len(PICTURE.data))


@pytest.mark.parametrize(
    "messages",
    [
        (user(Text("2 + 2"), PICTURE),),
        (*TOOLS, Message.of(Role.USER, "2 + 2")),
    ],
)
def test_a_question_beside_what_is_no_text_is_for_no_tool(messages: tuple[Message, ...]) -> None:
    assert isinstance(asked(messages, date(2026, 1, 15)), Declined)
