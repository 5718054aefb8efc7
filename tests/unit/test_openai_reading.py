"""What events of a chat completion say, and how an answer made of them ends."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import CannotAnswer, EngineFailed, MeshError, Overloaded
from mesh.types import FinishReason
from node.engines.openai.chunks import (
    LONGEST_PIECE,
    UpstreamChunk,
    UpstreamUsage,
    pieces,
    read_chunk,
)
from node.engines.openai.reading import AnswerText, End, Event, Reading, UpstreamRequest


def choice(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
KEYS = st.sampled_from(
    ["choices", "delta", "content", "usage", "error", "index", "finish_reason", "prompt_tokens"]
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)
JSON_EVENTS = JSON.map(lambda value: f"data: {json.dumps(value)}\n\n".encode())


def sse(*events: Any) -> bytes:
    texts = [e if isinstance(e, str) else json.dumps(e) for e in events]
    return "".join(f"data: {text}\n\n" for text in texts).encode()


def whole(reading: Reading, *parts: bytes, framed: bool = True) -> list[Event]:
    found = [event for part in parts for event in reading.read(part)]
    return [*found, *reading.end(framed=framed)]


def answer(*events: Any, **changes: Any) -> list[Event]:
    ask = UpstreamRequest(**({"body": {}, "max_tokens": 100} | changes))
    return whole(Reading(ask), sse(*events))


@pytest.mark.parametrize(
    ("event", "chunk"),
    [
        (choice({"role": "assistant"}), UpstreamChunk()),
        (choice({"role": "assistant", "content": None}), UpstreamChunk()),
        (choice({"content": "hi"}), UpstreamChunk(text="hi")),
        (choice({"content": ""}, "stop"), UpstreamChunk(finish="stop")),
        (
            choice({"content": [{"type": "text", "text": "a"}, {"text": "b"}]}),
            UpstreamChunk(text="ab"),
        ),
        (choice({"reasoning_content": "hm"}), UpstreamChunk(thought="hm")),
        (choice({"reasoning": "hm", "content": None}), UpstreamChunk(thought="hm")),
        (choice({"refusal": "no"}), UpstreamChunk(text="no")),
        (choice({"tool_calls": [{"x": 1}]}, "tool_calls"), UpstreamChunk(finish="tool_calls")),
        (choice(None, "length"), UpstreamChunk(finish="length")),
        (choice({}, "stop", stop_reason="END"), UpstreamChunk(finish="stop", stopped_by="END")),
        (choice({}, "stop", stop_reason=128001), UpstreamChunk(finish="stop")),
        ({"choices": []}, UpstreamChunk()),
        ({"choices": None, "usage": None}, UpstreamChunk()),
        ({"x": {"y": 1}}, UpstreamChunk(odd='{"x": {"y": 1}}')),
        ({"choices": [{"index": 1, "delta": {"content": "only"}}]}, UpstreamChunk(text="only")),
        *(
            ({"choices": [{"index": odd, "delta": {"content": "a"}}]}, UpstreamChunk(text="a"))
            for odd in (float("inf"), float("-inf"), float("nan"), 10**400, "0", [], None)
        ),
        ({"choices": [{"message": {"content": "all"}}]}, UpstreamChunk(text="all")),
        (
            {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}},
            UpstreamChunk(counts=UpstreamUsage(prompt=9, completion=3)),
        ),
        (
            {
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": None,
                    "prompt_tokens_details": {"cached_tokens": 99},
                }
            },
            UpstreamChunk(counts=UpstreamUsage(prompt=9, completion=0, cached=9)),
        ),
        ({**choice({"content": "x"}), "usage": None}, UpstreamChunk(text="x")),
    ],
)
def test_a_chunk_of_any_dialect_is_read(event: Any, chunk: UpstreamChunk) -> None:
    found = read_chunk(json.dumps(event))
    assert replace(found, index=None, whole=False, acts=False) == chunk


@given(st.lists(st.one_of(st.binary(max_size=60), JSON_EVENTS), max_size=8))
def test_whatever_comes_is_events_or_one_of_our_errors(parts: list[bytes]) -> None:
    reading = Reading(UpstreamRequest(body={}, max_tokens=5))
    with suppress(MeshError):
        found = whole(reading, *parts)
        assert isinstance(found[-1], End)
        assert sum(isinstance(e, AnswerText) for e in found) <= 5


@pytest.mark.parametrize("field", ["error", "choices", "x"])
def test_deep_nesting_is_an_error_like_any_other(field: str) -> None:
    for deep in ("[" * 100_000, '{"error":' * 900 + "1" + "}" * 900):
        with suppress(EngineFailed):
            read_chunk(f'{{"{field}": {deep}}}')


def test_counts_that_are_none_are_kept_in_bounds() -> None:
    found = read_chunk(json.dumps({"usage": {"prompt_tokens": 10**30, "completion_tokens": -5}}))
    assert found.counts == UpstreamUsage(prompt=2**31 - 1, completion=0)


@pytest.mark.parametrize("data", ["", "[]", "{", "no json", "7", '"x"', "[1, 2]"])
def test_what_is_no_chunk_is_refused_and_shown(data: str) -> None:
    with pytest.raises(EngineFailed, match="no chat completion chunk"):
        read_chunk(data)


@pytest.mark.parametrize(
    ("event", "error", "words"),
    [
        ({"error": {"message": "it broke", "code": 500}}, EngineFailed, "it broke"),
        ({"error": "it broke"}, EngineFailed, "it broke"),
        ({"error": {"message": "slow down", "code": 429}}, Overloaded, "slow down"),
        ({"error": {"message": "busy", "type": "overloaded_error"}}, Overloaded, "busy"),
        ({"object": "error", "message": "vLLM's way"}, EngineFailed, "vLLM's way"),
    ],
)
def test_an_error_within_the_stream_is_the_upstreams_own(
    event: Any, error: type[MeshError], words: str
) -> None:
    with pytest.raises(error, match=words):
        answer(choice({"content": "a"}), event)


def test_counts_come_before_the_end_and_the_end_comes_last() -> None:
    counts = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    found = answer(choice({"content": "a"}), choice({"content": "b"}, "stop"), counts, "[DONE]")
    assert found == [
        AnswerText("a"),
        AnswerText("b"),
        UpstreamUsage(prompt=9, completion=2),
        End(FinishReason.STOP),
    ]


def test_the_piece_that_reaches_max_tokens_waits_for_the_counts() -> None:
    counts = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    found = answer(
        choice({"content": "a"}),
        choice({"content": "b"}),
        choice({}, "length"),
        counts,
        max_tokens=2,
    )
    assert found[1:] == [
        UpstreamUsage(prompt=9, completion=2),
        AnswerText("b"),
        End(FinishReason.LENGTH),
    ]


def test_an_upstream_that_ignores_max_tokens_is_not_read_further() -> None:
    found = answer(*(choice({"content": "x"}) for _ in range(50)), max_tokens=5)
    assert found == [AnswerText("x")] * 5 + [End(FinishReason.LENGTH)]


def test_pieces_of_a_resume_do_not_count_from_the_first_on() -> None:
    said = [choice({"content": "x"}) for _ in range(5)]
    found = answer(*said, choice({}, "stop"), max_tokens=3, counted=False)
    assert found == [AnswerText("x")] * 5 + [End(FinishReason.STOP)]


@pytest.mark.parametrize(
    ("finish", "more", "made", "reason"),
    [
        ("stop", {}, 1, FinishReason.STOP),
        ("eos", {}, 1, FinishReason.STOP),
        ("length", {}, 1, FinishReason.CONTEXT),
        ("length", {}, 100, FinishReason.LENGTH),
        ("length", {}, 0, FinishReason.LENGTH),  # it does not say how many
        ("stop", {"stop_reason": "END"}, 1, FinishReason.STOP_STRING),
        ("stop", {"matched_stop": "END"}, 1, FinishReason.STOP_STRING),
        ("stop", {"stop_reason": "other"}, 1, FinishReason.STOP),
        ("tool_calls", {}, 1, FinishReason.TOOL_CALLS),
        ("function_call", {}, 1, FinishReason.TOOL_CALLS),
    ],
)
def test_the_end_has_its_reason(
    finish: str, more: dict[str, Any], made: int, reason: FinishReason
) -> None:
    counts = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": made}}
    found = answer(choice({"content": "a"}, finish, **more), counts, stop=("END",))
    assert found[-1] == End(reason)


def test_an_answer_that_was_withheld_is_no_answer() -> None:
    with pytest.raises(CannotAnswer, match="content filter"):
        answer(choice({}, "content_filter"), "[DONE]")
    with pytest.raises(CannotAnswer, match="content filter"):
        answer(choice({"reasoning_content": "hm"}), choice({}, "content_filter"), "[DONE]")


def test_an_answer_that_was_withheld_from_its_middle_on_says_so() -> None:
    found = answer(choice({"content": "a"}), choice({}, "content_filter"), "[DONE]")
    assert found == [AnswerText("a"), End(FinishReason.CONTENT_FILTER)]


def test_an_answer_is_whole_without_done_or_without_a_reason_but_not_without_both() -> None:
    assert answer(choice({"content": "a"}, "stop"))[-1] == End(FinishReason.STOP)
    assert answer(choice({"content": "a"}), "[DONE]")[-1] == End(FinishReason.STOP)
    with pytest.raises(EngineFailed, match="broke off"):
        answer(choice({"content": "a"}))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "nothing at all"),
        (b"<html><body>Hello</body>", "no chat completion: <html>"),
        (b'data: {"choices', "no chat completion"),
        (b": ping\n\n", "no chat completion"),
    ],
)
def test_no_answer_says_what_came_instead(body: bytes, words: str) -> None:
    with pytest.raises(EngineFailed, match=words):
        whole(Reading(UpstreamRequest(body={}, max_tokens=9)), body)


def test_a_last_event_may_lack_its_blank_line() -> None:
    reading = Reading(UpstreamRequest(body={}, max_tokens=9))
    found = whole(reading, sse(choice({"content": "a"})), sse(choice({}, "stop")).rstrip())
    assert found == [AnswerText("a"), End(FinishReason.STOP)]


def test_thoughts_are_progress_and_part_of_the_answer_only_when_asked_for() -> None:
    events = sse(choice({"reasoning_content": "hm "}), choice({"content": "so"}, "stop"))
    silent = Reading(UpstreamRequest(body={}, max_tokens=9))
    assert whole(silent, events)[:-1] == [AnswerText("so")]
    assert silent.progress == 2
    loud = Reading(UpstreamRequest(body={}, max_tokens=9, thoughts=True))
    assert whole(loud, events)[:-1] == [AnswerText("hm "), AnswerText("so")]


def test_a_whole_answer_in_one_object_streams_in_pieces() -> None:
    text = "word " * 200
    reading = Reading(UpstreamRequest(body={}, max_tokens=99))
    body = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})
    *said, end = whole(reading, body.encode())
    assert end == End(FinishReason.STOP)
    assert len(said) > 3
    assert "".join(e.text for e in said if isinstance(e, AnswerText)) == text


@pytest.mark.parametrize("text", ["", "a", "x" * 1000, "ab " * 500, " " * 600, "é" * 257])
def test_pieces_are_short_and_together_the_text(text: str) -> None:
    found = pieces(text)
    assert "".join(found) == text
    assert all(0 < len(piece) <= LONGEST_PIECE for piece in found)
