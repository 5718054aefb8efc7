"""The request in the upstream's own dialect, and what its refusals teach."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from mesh.errors import NotServed
from mesh.types import Image, Message, Role, Sampling, Text, ToolResult
from node.engines.openai.options import OpenAiOptions
from node.engines.openai.request import DIALECTS, Quirks, body, finished
from node.engines.openai.turns import turns_of
from tests.conversations import CALL, PICTURE, SEEN, TOOLS

ASKED = (
    Message.of(Role.SYSTEM, "be brief"),
    Message.of(Role.USER, "hello"),
)


def make(
    server: str = "openai", sampling: Sampling | None = None, text: str = "", **options: Any
) -> dict[str, Any]:
    given = OpenAiOptions(base_url="http://x/v1", **options)
    return body("tiny", server, given, ASKED, sampling or Sampling(), text)


def test_the_common_part_is_the_same_for_all() -> None:
    for server in DIALECTS:
        found = make(server, Sampling(temperature=0.5, top_p=0.9, seed=7))
        assert found["model"] == "tiny"
        assert found["stream"] is True
        assert (found["temperature"], found["top_p"], found["seed"]) == (0.5, 0.9, 7)
        assert found["messages"] == [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hello"},
        ]
    assert "seed" not in make()
    assert "top_k" not in make()


@pytest.mark.parametrize(
    ("server", "extensions"),
    [
        ("vllm", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}),
        ("sglang", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}),
        ("llama_server", {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}),
        ("tabbyapi", {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}),
    ],
)
def test_off_is_said_where_the_server_has_a_default_of_its_own(
    server: str, extensions: dict[str, float]
) -> None:
    assert make(server).items() >= extensions.items()
    found = make(server, Sampling(top_k=5, min_p=0.1, repetition_penalty=1.2))
    assert [found[name] for name in extensions] == [5, 0.1, 1.2]


@pytest.mark.parametrize(
    "sampling", [Sampling(top_k=5), Sampling(min_p=0.1), Sampling(repetition_penalty=1.1)]
)
@pytest.mark.parametrize("server", ["openai", "ollama"])
def test_what_the_server_cannot_be_told_is_refused_or_dropped_as_configured(
    server: str, sampling: Sampling
) -> None:
    with pytest.raises(NotServed, match="unsupported=drop"):
        make(server, sampling)
    assert make(server, sampling, unsupported="drop") == make(server)


def test_an_assistants_turn_is_continued_in_each_servers_way() -> None:
    turn = {"role": "assistant", "content": "so far"}
    for server in ("vllm", "sglang"):
        found = make(server, text="so far")
        assert found["messages"][-1] == turn
        assert found["continue_final_message"] is True
        assert found["add_generation_prompt"] is False
    found = make("llama_server", text="so far")
    assert found["messages"][-1] == turn
    assert "continue_final_message" not in found
    for server in ("openai", "ollama", "tabbyapi"):
        with pytest.raises(NotServed, match="cannot continue"):
            make(server, text="so far")
    assert make("openai", text="so far", continues="prefill")["messages"][-1] == turn
    with pytest.raises(NotServed, match="cannot continue"):
        make("vllm", text="so far", continues="no")


def test_stop_strings_go_upstream_only_when_told_and_when_there_are_not_too_many() -> None:
    sampling = Sampling(stop=("a", "b"))
    assert "stop" not in make("vllm", sampling)
    assert make("vllm", sampling, stop="upstream")["stop"] == ["a", "b"]
    assert "stop" not in make("vllm", Sampling(stop=tuple("abcde")), stop="upstream")


def test_further_fields_of_the_body_are_added() -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    assert make("vllm", body=extra)["chat_template_kwargs"] == {"enable_thinking": False}


def test_what_an_upstream_does_not_take_is_learnt_once() -> None:
    quirks = Quirks()
    assert finished({}, quirks, 5) == {
        "max_tokens": 5,
        "stream_options": {"include_usage": True},
    }
    text = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    assert quirks.learn(400, text, fixed=False)
    assert not quirks.learn(400, text, fixed=False), "it is said already"
    assert quirks.learn(422, "stream_options: extra inputs are not permitted", fixed=False)
    assert finished({}, quirks, 5) == {"max_completion_tokens": 5}
    assert not Quirks().learn(500, text, fixed=False)
    assert not Quirks().learn(400, text, fixed=True)
    assert not Quirks().learn(400, "you ask too much", fixed=False)


def test_calls_results_and_images_are_said_in_openais_shapes() -> None:
    picture = {"url": "data:image/png;base64," + b64encode(PICTURE.data).decode()}
    options = OpenAiOptions(base_url="http://x/v1")
    found = body("tiny", "openai", options, (*SEEN, *TOOLS), Sampling(), "")["messages"]
    assert found == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is "},
                {"type": "image_url", "image_url": picture},
                {"type": "text", "text": "this?"},
            ],
        },
        {"role": "user", "content": "What is the weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": CALL.arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "rain, 7 °C"},
    ]


def test_every_result_is_a_message_of_its_own_and_an_images_url_goes_as_it_is() -> None:
    both = Message(role=Role.TOOL, parts=(ToolResult("a", "1"), ToolResult("b", "2")))
    assert [turn["tool_call_id"] for turn in turns_of(both)] == ["a", "b"]
    shown = Message(role=Role.USER, parts=(Image("", url="https://x.org/a"),))
    (turn,) = turns_of(shown)
    assert turn["content"][0]["image_url"] == {"url": "https://x.org/a"}
    spoken = Message(role=Role.ASSISTANT, parts=(Text("wait"), CALL))
    assert turns_of(spoken)[0]["content"] == "wait"
