"""Calls and results reach chat templates in the shape that each wants, and stay text in them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import llama_cpp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import CannotAnswer, ContextOverflow, InvalidRequest
from mesh.types import Message, Role, Text, ToolCall, ToolResult
from node.engines.base import ModelSpec
from node.engines.chat_template import ChatTemplate, PromptBuilder, ToolSupport
from node.engines.llama_cpp import loading as llama_loading
from node.engines.llama_cpp.vocabulary import Vocabulary
from node.engines.turns import turns
from node.models.catalogue import CHATML
from tests.conversations import ASKED, CALL, RESULT, SEEN, TOOLS
from tests.gguf import tokens, write_random
from training.rigs.gguf_bytes import CONTROL

pytestmark = pytest.mark.engine

IDS = {text: number for number, text in enumerate(tokens())}
CONTROL_IDS = {IDS[text] for text in CONTROL}

_TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content %}{{ m.content }}\n{% endif %}"
    "{% for c in m.tool_calls %}{% set call = c.function %}CALL{% endfor %}<|im_end|>\n"
    "{% endfor %}<|im_start|>assistant"
)
# Ways in which models are trained to call: an object of name and arguments, the model's own text,
# and each argument by itself.
OBJECT = _TURNS.replace(
    "CALL", '<tool_call>{"name": "{{ call.name }}", "arguments": {{ call.arguments | tojson }}}'
)
ASCII = _TURNS.replace("CALL", "{{ call | tojson(ensure_ascii=True, separators=(',', ':')) }}")
NESTED = _TURNS.replace("CALL", "[TOOL_CALLS]{{ call | tojson }}")
TEXT = _TURNS.replace("CALL", "{{ call.name + ':' + call.arguments }}")
ITEMS = _TURNS.replace(
    "CALL",
    "<function={{ call.name }}>{% for k, v in call.arguments | items %}<{{ k }}>"
    "{% if v is string %}{{ v }}{% else %}{{ v | tojson(ensure_ascii=False) }}{% endif %}</{{ k }}>"
    "{% endfor %}",
)
ALL = {"object": OBJECT, "ascii": ASCII, "nested": NESTED, "text": TEXT, "items": ITEMS}
SPACED = '{"zone": "north", "city": "Zürich", "days": [1, 2]}'  # CALL.arguments, written anew


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    path = write_random(tmp_path_factory.mktemp("prompt") / "tiny.gguf")
    spec = ModelSpec(id="tiny", source=str(path), slots=1, context_length=64, threads=1)
    model: Any = llama_loading.open_model(spec, lambda _: None)
    yield Vocabulary(model)
    llama_cpp.llama_model_free(model)


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, bos="", eos="")


def built(
    vocabulary: Vocabulary, source: str, messages: tuple[Message, ...], context: int = 4096
) -> list[int]:
    return PromptBuilder(template(source), vocabulary, context).build(messages)


def controls(prompt: list[int]) -> list[int]:
    return [token for token in prompt if token in CONTROL_IDS]


def spelled(vocabulary: Vocabulary, prompt: list[int]) -> str:
    return b"".join(map(vocabulary.piece, prompt)).decode()


def called(arguments: str, result: str) -> tuple[Message, ...]:
    call = ToolCall("call_1", "weather", arguments)
    return (
        ASKED,
        Message(role=Role.ASSISTANT, parts=(call,)),
        Message(role=Role.TOOL, parts=(ToolResult("call_1", result),)),
    )


@pytest.mark.parametrize(
    ("source", "reading"),
    [
        (OBJECT, ToolSupport(calls=True, results=True, as_text=False)),
        (NESTED, ToolSupport(calls=True, results=True, as_text=False)),
        (TEXT, ToolSupport(calls=True, results=True, as_text=True)),
        (ITEMS, ToolSupport(calls=True, results=True, as_text=False)),
        (_TURNS.replace("CALL", "{{ call.name }}{{ call.arguments }}"),
         ToolSupport(calls=True, results=True, as_text=True)),
        (CHATML, ToolSupport(calls=False, results=True, as_text=True)),
        ("{{ messages[0].content }}", ToolSupport(calls=False, results=False, as_text=True)),
        ("{{ raise_exception('none') }}", ToolSupport(calls=False, results=False, as_text=True)),
    ],
)  # fmt: skip
def test_what_a_template_writes_of_calls_is_found_out(source: str, reading: ToolSupport) -> None:
    assert template(source).reading == reading


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("object", f'<tool_call>{{"name": "weather", "arguments": {SPACED}}}'),
        ("nested", f'[TOOL_CALLS]{{"name": "weather", "arguments": {SPACED}}}'),
        (
            "ascii",
            '{"name":"weather","arguments":{"zone":"north","city":"Z\\u00fcrich","days":[1,2]}}',
        ),
        ("text", f"weather:{CALL.arguments}"),
        ("items", "<function=weather><zone>north</zone><city>Zürich</city><days>[1, 2]</days>"),
    ],
)
def test_a_call_is_written_with_its_keys_in_their_order(
    vocabulary: Vocabulary, name: str, written: str
) -> None:
    prompt = built(vocabulary, ALL[name], TOOLS)
    whole = (
        "<|im_start|>user\nWhat is the weather?\n<|im_end|>\n"
        f"<|im_start|>assistant\n{written}<|im_end|>\n"
        "<|im_start|>tool\nrain, 7 °C\n<|im_end|>\n<|im_start|>assistant"
    )
    assert prompt == vocabulary.with_control(whole)


def test_a_template_is_told_ids_names_and_each_result_by_itself() -> None:
    results = (RESULT, ToolResult("call_2", "noon"))
    both = (
        ASKED,
        Message(
            role=Role.ASSISTANT, parts=(Text("I look."), CALL, ToolCall("call_2", "time", "{}"))
        ),
        Message(role=Role.TOOL, parts=results),
    )
    found = turns(both)
    assert found[1]["content"] == "I look."
    assert [c["id"] for c in found[1]["tool_calls"]] == ["call_1", "call_2"]
    assert found[1]["tool_calls"][0]["type"] == "function"
    assert found[2:] == [
        {"role": "tool", "tool_call_id": "call_1", "name": "weather", "content": "rain, 7 °C"},
        {"role": "tool", "tool_call_id": "call_2", "name": "time", "content": "noon"},
    ]
    assert turns([ASKED]) == [{"role": "user", "content": "What is the weather?"}]


FRAGMENTS = ("<|im_end|>", "<|im_start|>", "<|", "im_", "end", "|>", '"', "\\", "\n", "}", "é")
ATTACK = st.lists(
    st.sampled_from((*FRAGMENTS, "\ue000", "0-", "1", "j", "\ue001", "{{", " ")), max_size=8
).map("".join)


@settings(deadline=None, max_examples=200)
@given(key=ATTACK, value=ATTACK, result=ATTACK, name=st.sampled_from(sorted(ALL)))
def test_no_argument_and_no_result_adds_removes_or_moves_a_control_token(
    vocabulary: Vocabulary, key: str, value: str, result: str, name: str
) -> None:
    arguments = json.dumps({key: value, "list": [value]}, ensure_ascii=False)
    hostile = built(vocabulary, ALL[name], called(arguments, result))
    innocent = built(vocabulary, ALL[name], called('{"a": "b", "list": ["b"]}', "c"))
    assert controls(hostile) == controls(innocent)


@pytest.mark.parametrize("name", ["object", "ascii", "nested", "text"])
def test_what_spells_a_control_token_in_a_call_is_still_written_as_json(
    vocabulary: Vocabulary, name: str
) -> None:
    value = 'say "<|im_end|>"\n\\'
    arguments = json.dumps({"<|im_start|>": value})
    said = spelled(vocabulary, built(vocabulary, ALL[name], called(arguments, "<|im_end|>")))
    start = said.index('{"<|im_start|>')
    assert json.JSONDecoder().raw_decode(said[start:])[0] == {"<|im_start|>": value}
    assert said.count("<|im_end|>") == 2


@pytest.mark.parametrize("value", ["", "a", "<|im_end|>"])
def test_arguments_of_very_many_texts_cost_little(vocabulary: Vocabulary, value: str) -> None:
    arguments = json.dumps({"a": [value] * (250_000 // (len(value) + 4))})
    begun = time.process_time()
    with suppress(ContextOverflow):
        built(vocabulary, ITEMS.replace("| items", ".items()"), called(arguments, "ok"), 10**6)
    # It takes one second of a slow processor; cut one text at a time it took minutes.
    assert time.process_time() - begun < 30


@pytest.mark.parametrize(
    ("source", "messages", "names"),
    [
        (CHATML, TOOLS, r"^messages\[1\]\.parts\[0\] is a tool call, and .* chat template"),
        (OBJECT.replace("m.content", "m.nothing"), TOOLS,
         r"^messages\[2\]\.parts\[0\] is a tool's result"),
        (OBJECT, SEEN, r"^messages\[0\]\.parts\[1\] is an image"),
    ],
)  # fmt: skip
def test_what_a_model_has_no_place_for_is_refused_by_its_place(
    vocabulary: Vocabulary, source: str, messages: tuple[Message, ...], names: str
) -> None:
    with pytest.raises(CannotAnswer, match=names):
        built(vocabulary, source, messages)


def test_a_name_that_is_a_control_token_is_refused(vocabulary: Vocabulary) -> None:
    call = ToolCall("call_1", "<|im_end|>", "{}")  # no border lets it in
    with pytest.raises(InvalidRequest, match=r"messages\[1\]\.parts\[0\]: .* control token"):
        built(vocabulary, OBJECT, (ASKED, Message(role=Role.ASSISTANT, parts=(call,)), ASKED))
