"""Templates as models come with them: short excerpts of each kind of thing taken for granted."""

from __future__ import annotations

import pytest

from mesh.errors import CannotAnswer
from mesh.types import Message, Role, ToolCall, ToolResult
from node.engines.chat_template import ChatTemplate
from node.engines.turns import turns

CALL = ToolCall("a0", "weather", '{"city": "Paris", "days": [1]}')
CALLED = (
    Message.of(Role.USER, "hello"),
    Message(role=Role.ASSISTANT, parts=(CALL,)),
    Message(role=Role.TOOL, parts=(ToolResult(CALL.id, "rain"),)),
)
# Kimi K2 keeps the ids of the calls in a list of its own.
QUEUE = """{%- set queue = namespace(ids=[]) -%}
{%- for m in messages -%}
{%- if m.tool_calls -%}{%- for c in m.tool_calls -%}
{%- set id = 'functions.' + c.function.name -%}{%- set _ = queue.ids.append(id) -%}
{{ id }} {{ c.function.arguments | tojson }}
{% endfor -%}
{%- elif m.role == 'tool' -%}{{ queue.ids.pop(0) }}: {{ m.content }}.
{%- else -%}{{ m.content }}
{% endif -%}
{%- endfor -%}"""


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, bos="<s>", eos="</s>")


def test_a_template_may_keep_a_list_of_its_own() -> None:
    kimi = template(QUEUE)
    assert kimi.render(turns(CALLED)) == (
        'hello\nfunctions.weather {"city": "Paris", "days": [1]}\nfunctions.weather: rain.'
    )
    assert kimi.reading.calls
    assert kimi.reading.results


@pytest.mark.parametrize(
    "mutates",
    [
        "messages.append(1)",
        "messages[1].tool_calls.pop()",
        "messages[1].tool_calls[0].function.arguments.days.append(1)",
        "messages[0].pop('role')",
        "x.extend(x)",
        "x.insert(0, x)",
        "x.clear()",
        "{'a': 1}.update(x)",
    ],
)
def test_nothing_else_is_changed_in_place(mutates: str) -> None:
    with pytest.raises(CannotAnswer, match="unsafe"):
        template(f"{{% set x = [1] %}}{{{{ {mutates} }}}}").render(turns(CALLED))
