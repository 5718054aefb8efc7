"""A chat template is a program of a stranger's: it has limits, and breaks at load with a reason."""

from __future__ import annotations

import json
import time

import pytest

from mesh.errors import CannotAnswer, ModelFileError
from mesh.types import Message, Role, ToolCall
from node.engines import template_sandbox
from node.engines.chat_template import ChatTemplate
from node.engines.template_sandbox import LONGEST_RENDER_S, LimitedSandbox, render_s
from node.engines.template_trial import tried
from node.engines.turns import turns
from node.models.catalogue import CHATML

HELLO = turns((Message.of(Role.USER, "hello"),))
ROUND = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3
DOUBLED = "{% set n = namespace(x='ab') %}{% for i in range(60) %}"

EXPLODING = {
    "a big power": "{{ 2 ** (10 ** 9) }}",
    "a power of a number that is not known before": "{{ (messages | length + 1) ** (10 ** 9) }}",
    "powers of powers": "{% set n = namespace(x=9) %}{% for i in range(60) %}"
    "{% set n.x = n.x * n.x %}{% endfor %}{{ n.x }}",
    "a repetition": "{{ 'a' * 10 ** 9 }}",
    "a repetition the other way round": "{{ (10 ** 9) * messages[0].content }}",
    "a list that is repeated": "{{ [0] * 10 ** 9 }}",
    "loops within loops": ROUND,
    "loops that write": "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}"
    "{% endfor %}",
    "a range without end": "{% for a in range(10 ** 12) %}x{% endfor %}",
    "a text that doubles": f"{DOUBLED}{{% set n.x = n.x ~ n.x %}}{{% endfor %}}{{{{ n.x }}}}",
    "a sum that doubles": f"{DOUBLED}{{% set n.x = n.x + n.x %}}{{% endfor %}}{{{{ n.x }}}}",
    "a list that doubles": "{% set n = namespace(x=[1]) %}{% for i in range(60) %}"
    "{% set n.x = n.x + n.x %}{% endfor %}{{ n.x | length }}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a wide filter": "{{ 'a' | center(10 ** 9) }}",
    "a wide method": "{{ 'a'.ljust(10 ** 9) }}",
    "a wide format": "{{ '%01000000000d' % 1 }}",
    "brackets without end": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "a replacement of everything": "{% set t = 'a' * 10 ** 6 %}{{ t.replace('a', t) }}",
}
# What only the process that tries it is the limit of.
BLUNT = {"a replacement of everything"}
BROKEN = {
    "what does not parse": ("{% for %}", "does not parse"),
    "what is not there": ("{{ nobody.name.first }}", "'nobody' is undefined"),
    "its own refusal": ("{{ raise_exception('not for you') }}", "not for you"),
    "escapes to a terminal": ("{{ raise_exception('a\x1b[2Jb') }}", "ab"),
}


@pytest.mark.parametrize("name", sorted(set(EXPLODING) - BLUNT))
def test_what_explodes_meets_a_limit(name: str) -> None:
    began = time.process_time()
    with pytest.raises((CannotAnswer, ModelFileError)) as met:
        ChatTemplate(EXPLODING[name], bos="", eos="").render(HELLO)
    assert time.process_time() - began < 3.5
    assert len(met.value.message) < 600


@pytest.mark.processes
@pytest.mark.parametrize("name", ["a big power", "a macro that calls itself", *BLUNT])
def test_it_fails_the_model_before_it_is_loaded(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(ModelFileError, match=r"^the model's chat template does not work: "):
        tried(EXPLODING[name])
    assert time.monotonic() - began < 20.0


@pytest.mark.processes
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_what_breaks_says_why(name: str) -> None:
    source, why = BROKEN[name]
    with pytest.raises(ModelFileError, match=why):
        tried(source)


@pytest.mark.processes
@pytest.mark.parametrize(
    "source",
    [
        CHATML,
        CHATML + "\n",
        "{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}x",
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ raise_exception('once') }}"
        "{% endif %}{{ m.content }}{% endfor %}",
        "{{ '%-10s' % messages[0].content }}{{ 2 ** 10 }}{{ 'ab' * 3 }}{{ range(5) | join }}"
        "{{ messages[0].content | indent(4) }}{{ 1 + 2 }}{{ [1] + [2] }}",
    ],
)
def test_what_works_is_left_as_it_is(source: str) -> None:
    assert tried(source) == source


@pytest.mark.parametrize("number", [1_700_000_000, -200_000, 2**60])
@pytest.mark.parametrize(
    "source",
    [
        "{{ value | string }}",
        "{{ value | abs }}{{ value | default(0) }}{{ [value] | map('string') | join }}",
        "{% macro shown(v) %}{{ v }}{% endmacro %}{{ shown(value) }}{{ shown(v=value) }}",
        "{% set n = namespace(x=value) %}{{ n.x }}{{ dict(x=value).x }}",
    ],
)
def test_a_number_that_a_call_of_a_tool_has_is_no_count(source: str, number: int) -> None:
    call = ToolCall("a", "f", json.dumps({"value": number}))
    asked = (Message.of(Role.USER, "hello"), Message(role=Role.ASSISTANT, parts=(call,)))
    value = "{% set value = messages[1].tool_calls[0].function.arguments.value %}"
    written = ChatTemplate(value + source, bos="", eos="").render(turns(asked))
    assert str(abs(number)) in written


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' | center(10 ** 9) }}",
        "{{ 'a' | indent(width=10 ** 9) }}",
        "{{ 'a b' | truncate(10 ** 9) }}",
        "{{ 'a b' | wordwrap(10 ** 9) }}",
        "{{ ['a'] | map('center', 10 ** 9) | join }}",
        "{{ 'a'.zfill(10 ** 9) }}",
        "{{ lipsum(n=10 ** 9) }}",
    ],
)
def test_a_count_that_a_filter_or_a_method_is_given_has_a_limit(source: str) -> None:
    with pytest.raises(CannotAnswer, match="a number beyond 100,000"):
        ChatTemplate(source, bos="", eos="").render(HELLO)


@pytest.mark.parametrize(
    "source",
    [
        # As Hermes 2 and 3, Command R+ and Firefunction do in their templates for tools.
        "{% for tool in tools %}{{ tool.function.name }}{% endfor %}{{ messages[-1].content }}",
        "{% for document in documents %}{{ document }}{% endfor %}{{ tools | length }}"
        "{{ messages[-1].content }}",
        "{% set suffix = 'Functions: ' + functions + ' on ' + datetime %}{{ suffix }}"
        "{{ messages[-1].content }}",
        "{% if messages[0].role != 'system' %}{{ raise_exception('system first') }}{% endif %}"
        "{% for tool in tools %}{% endfor %}{{ messages[-1].content }}",
    ],
)
def test_a_template_for_tools_answers_without_any(source: str) -> None:
    assert tried(source) == source
    asked = (Message.of(Role.SYSTEM, "be brief"), Message.of(Role.USER, "hello"))
    assert "hello" in ChatTemplate(source, bos="", eos="").render(turns(asked))


def test_a_template_that_asks_whether_there_are_tools_hears_no() -> None:
    source = "{% if tools is not none %}tools!{% endif %}{{ messages[0].content }}"
    assert ChatTemplate(source, bos="", eos="").render(HELLO) == "hello"


def test_a_long_conversation_may_take_longer_and_never_for_ever() -> None:
    assert render_s(1) < 1.01
    assert render_s(1001) > 5.0
    assert render_s(10**9) == LONGEST_RENDER_S


def test_calls_of_tools_count_as_length(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(template_sandbox, "render_s", lambda n: counted.append(n) or 1.0)
    calls = tuple(ToolCall(f"a{i}", "f", "{}") for i in range(7))
    asked = (Message.of(Role.USER, "hello"), Message(role=Role.ASSISTANT, parts=calls))
    LimitedSandbox().written(LimitedSandbox().from_string("x"), {"messages": turns(asked)})
    assert counted == [2 + 7]
