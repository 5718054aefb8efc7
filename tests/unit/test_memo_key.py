"""Which requests find each other's answers, and which never may."""

from __future__ import annotations

import unicodedata
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.types import (
    Image,
    Message,
    ModelId,
    Part,
    Role,
    Sampling,
    Specialty,
    Text,
    ToolCall,
    ToolResult,
)
from orchestrator.memo.key import MAX_CHARACTERS, NFC_CHARACTERS, memo_key
from orchestrator.router.base import Features
from tests.conversations import CALL, PICTURE, RESULT, TOOLS

USER, SYSTEM, ASSISTANT = Role.USER, Role.SYSTEM, Role.ASSISTANT


def asked(*turns: tuple[Role, str], **fields: Any) -> Features:
    messages = tuple(Message.of(role, text) for role, text in turns)
    return replace(Features.of(messages), **fields)


def prompt(text: str) -> Features:
    return asked((USER, text))


GOLDEN = "a433ecd726541a75a52ae72d722050f44a1df139388a73e58ed6bf47ff2e528d"
BASE = asked((SYSTEM, "Be brief."), (USER, "What is 2 + 2?"))


def sampled(**changes: Any) -> Features:
    return replace(BASE, sampling=replace(BASE.sampling, **changes))


def test_a_key_is_32_bytes_and_always_the_same() -> None:
    key = memo_key(sampled(max_tokens=256), "rules-1")
    assert key is not None
    assert len(key) == 32
    assert key == memo_key(sampled(max_tokens=256), "rules-1")
    # Orchestrators of one mesh share keys: a change of the encoding needs a new version in it.
    assert key.hex() == GOLDEN


@pytest.mark.parametrize(
    "other",
    [
        prompt("What is 2 + 2?"),
        asked((SYSTEM, "Be long."), (USER, "What is 2 + 2?")),
        asked((USER, "Be brief."), (USER, "What is 2 + 2?")),
        asked((SYSTEM, "Be brief."), (USER, "What is 2 + 2?"), (ASSISTANT, "")),
        asked((SYSTEM, "Be brief.What"), (USER, " is 2 + 2?")),
        asked((SYSTEM, "Be brief."), (USER, "what is 2 + 2?")),
        asked((SYSTEM, "Be brief."), (USER, "What is  2 + 2?")),
        asked((SYSTEM, "Be brief."), (USER, " What is 2 + 2?")),
        replace(BASE, tenant="someone"),
        replace(BASE, model=ModelId("toy")),
        replace(BASE, specialty=Specialty("math")),
        replace(BASE, prior=Specialty("math")),
        sampled(max_tokens=255),
        sampled(temperature=5e-324),
        sampled(top_p=0.9999999999999999),
        sampled(top_k=1),
        sampled(min_p=0.1),
        sampled(repetition_penalty=1.0000000000000002),
        sampled(seed=0),
        sampled(stop=("a",)),
        sampled(stop=("a", "b")),
        sampled(stop=("a', 'b",)),
        sampled(grammar='root ::= "a"'),
        sampled(grammar='root ::= "b"'),
        sampled(json_schema="{}"),
    ],
)
def test_whatever_can_change_the_answer_changes_the_key(other: Features) -> None:
    assert memo_key(other, "rules-1") != memo_key(BASE, "rules-1")


def test_other_rules_have_other_keys() -> None:
    assert memo_key(BASE, "rules-2") != memo_key(BASE, "rules-1")


def test_fields_never_run_into_one_another() -> None:
    first = replace(BASE, tenant="ab", model=ModelId("c"))
    second = replace(BASE, tenant="a", model=ModelId("bc"))
    assert memo_key(first, "") != memo_key(second, "")
    assert memo_key(replace(BASE, tenant="a"), "") != memo_key(BASE, "a")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("if x:\r\n  y", "if x:\n  y"),
        ("if x:\r  y", "if x:\n  y"),
        ("hello \t\n", "hello"),
        ("\u212b", "\u00c5"),  # Angstrom sign
        ("un caf\u00e9 " * 200, "un cafe\u0301 " * 200),  # past a piece's border many times
    ],
)
def test_spellings_of_the_same_text_have_one_key(one: str, other: str) -> None:
    assert memo_key(prompt(one), "") == memo_key(prompt(other), "")


def test_numbers_that_are_equal_have_one_key() -> None:
    assert memo_key(sampled(temperature=0), "") == memo_key(sampled(temperature=-0.0), "")


def test_compatibility_forms_stay_apart() -> None:
    """NFKC would make these equal, and in code or formulas they are not."""
    assert memo_key(prompt("x²"), "") != memo_key(prompt("x2"), "")
    assert memo_key(prompt("\uff41"), "") != memo_key(prompt("a"), "")


def test_a_conversation_too_long_has_no_key() -> None:
    half = "a" * (MAX_CHARACTERS // 2)
    assert memo_key(asked((USER, half), (USER, half)), "") is not None
    assert memo_key(asked((USER, half), (USER, half + "a")), "") is None


def test_text_beyond_the_limit_of_normalising_still_has_its_own_key() -> None:
    long = "e\u0301" * NFC_CHARACTERS
    assert memo_key(prompt(long), "") == memo_key(prompt(long), "")
    assert memo_key(prompt(long), "") != memo_key(prompt(long + "x"), "")
    # The newest turn is normalised although an older one is too long.
    one, other = ((USER, long), (USER, "caf\u00e9")), ((USER, long), (USER, "cafe\u0301"))
    assert memo_key(asked(*one), "") == memo_key(asked(*other), "")


@pytest.mark.parametrize("text", ["\ud800", "a\ud800b", "\0", "\u0301" * 5000, "\ufdfa" * 5000])
def test_hostile_text_has_a_key(text: str) -> None:
    assert memo_key(prompt(text), "") is not None
    assert memo_key(prompt(text), "") != memo_key(prompt(text + "x"), "")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_texts_share_a_key_only_when_they_are_canonically_equal(one: str, other: str) -> None:
    def plain(text: str) -> str:
        text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip()
        return unicodedata.normalize("NFC", text)

    if memo_key(prompt(one), "") == memo_key(prompt(other), ""):
        assert plain(one) == plain(other)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ae \u0301\u0323\u00e9\u1ea1\n", max_size=60))
def test_short_texts_find_their_decomposed_spelling(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    decomposed = unicodedata.normalize("NFD", text)
    if len(decomposed) <= 60:
        assert memo_key(prompt(composed), "") == memo_key(prompt(decomposed), "")


def test_every_sampling_parameter_has_its_place_in_the_key() -> None:
    other = {int: 7, float: 0.123, str: "x", type(None): "x", tuple: ("x",)}
    said = {field.name: other[type(getattr(Sampling(), field.name))] for field in fields(Sampling)}
    said["max_tokens"] = 7
    for field in fields(Sampling):
        changed = sampled(**{field.name: said[field.name]})
        assert memo_key(changed, "rules-1") != memo_key(BASE, "rules-1"), field.name


def _with(*parts: Part, role: Role = Role.USER) -> Features:
    return Features.of((Message(role=role, parts=parts),))


PARTS = [
    _with(Text("ab")),
    _with(Text("ab"), PICTURE),
    _with(PICTURE, Text("ab")),
    _with(Text("a"), PICTURE, Text("b")),
    _with(Text("ab"), Image("image/png", PICTURE.data + b"\0")),
    _with(Text("ab"), Image("image/gif", PICTURE.data)),
    _with(Text("ab"), Image("image/png", url="https://x.org/a")),
    _with(Text("ab"), PICTURE, PICTURE),
    _with(CALL, role=ASSISTANT),
    _with(Text("ab"), CALL, role=ASSISTANT),
    _with(ToolCall("call_2", CALL.name, CALL.arguments), role=ASSISTANT),
    _with(ToolCall("call_1", "other", CALL.arguments), role=ASSISTANT),
    _with(ToolCall("call_1", CALL.name, CALL.arguments.replace("  ", " ")), role=ASSISTANT),
    _with(RESULT, role=Role.TOOL),
    _with(ToolResult("call_1", "sun"), role=Role.TOOL),
    _with(ToolResult("call_2", RESULT.text), role=Role.TOOL),
    Features.of((*TOOLS[:2], Message(role=Role.TOOL, parts=(RESULT,)))),
    Features.of((*TOOLS[:2], Message(role=Role.TOOL, parts=(RESULT, RESULT)))),
    Features.of((*TOOLS, TOOLS[2])),
]


def test_parts_that_are_no_text_never_find_each_others_answers() -> None:
    keys = {memo_key(features, "") for features in PARTS}
    assert None not in keys
    assert len(keys) == len(PARTS)


def test_texts_in_parts_are_the_text_that_they_make() -> None:
    assert memo_key(_with(Text("a"), Text("b")), "") == memo_key(prompt("ab"), "")


def test_a_large_image_has_no_key() -> None:
    assert memo_key(_with(Image("image/png", b"x" * MAX_CHARACTERS)), "") is None
