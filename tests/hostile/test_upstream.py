"""What servers really send where OpenAI's interface is expected, over real sockets.

The rule: text is never lost, an error is never a success, a cut is never whole. Shapes are those of
public reports and of the servers' own sources, in our words; a row's name begins with who sends so.
"""

# ruff: noqa: E501 - a row is a line
from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mesh.errors import (
    CannotAnswer,
    ContextOverflow,
    EngineFailed,
    MeshError,
    NotServed,
    Overloaded,
)
from mesh.types import FinishReason, Sampling
from node.engines.openai import client
from tests.openai_rig import (
    HELLO,
    Patient,
    ask,
    assert_words,
    ended,
    failure,
    loaded,
    said,
    until_over,
)
from tests.openai_upstream import HANG_UP, Behaviour, Connection, Request, Upstream, upstream

STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH
DONE = b"data: [DONE]\n\n"


def delta(text: Any = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": finish}]}


def sse(*events: Any, end: bytes = DONE) -> bytes:
    texts = [e if isinstance(e, str) else json.dumps(e) for e in events]
    return "".join(f"data: {text}\n\n" for text in texts).encode() + end


def thought(text: str, name: str = "reasoning_content", finish: Any = None) -> dict[str, Any]:
    return delta(None, finish, **{name: text})


def usage(prompt: Any = 7, completion: Any = 2, **more: Any) -> dict[str, Any]:
    return {
        "choices": [],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, **more},
    }


@dataclass(frozen=True)
class Body:
    """A response of 200: ``parts`` are sent each by itself. ``framed``: its end is told."""

    parts: tuple[bytes, ...]
    kind: str = "text/event-stream"
    framed: bool = True
    encoding: str = ""

    def __call__(self, connection: Connection, request: Request) -> object:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {self.kind}\r\n"
        head += f"Content-Encoding: {self.encoding}\r\n" if self.encoding else ""
        head += "Transfer-Encoding: chunked\r\n" if self.framed else "Connection: close\r\n"
        connection.send(head + "\r\n")
        for part in self.parts:
            (connection.chunk if self.framed else connection.send)(part)
        if self.framed:
            connection.end()
            return None
        return HANG_UP


def body(*parts: bytes, **changes: Any) -> Body:
    return Body(parts, **changes)


ERROR = {"message": "cuda died", "type": "server_error", "code": 500}
HUGE = 10**400
HI = (delta("hi "), delta("there"))
END = delta("", "stop")

# Name, what is sent, the text that reaches the client, and why it ends.
WHOLE: list[tuple[str, Behaviour, str, FinishReason]] = [
    ("openai role first", body(sse(delta("", role="assistant"), *HI, END)), "hi there", STOP),
    ("openai usage last", body(sse(*HI, END, usage())), "hi there", STOP),
    ("usage then finish", body(sse(*HI, usage(), END)), "hi there", STOP),
    ("usage is a list", body(sse({**delta("hi "), "usage": []}, delta("there"), END)), "hi there", STOP),
    ("usage twice", body(sse(*HI, usage(7, 1), usage(7, 2), END, usage(7, 2))), "hi there", STOP),
    ("usage is words", body(sse(*HI, END, {"choices": [], "usage": "none"})), "hi there", STOP),
    ("usage of strings and NaN", body(sse(*HI, END, '{"choices":[],"usage":{"prompt_tokens":"7","completion_tokens":NaN}}')), "hi there", STOP),
    ("choices of null", body(sse({"choices": [None]}, *HI, {"choices": None}, END)), "hi there", STOP),
    ("choices is an object", body(sse({"choices": HI[0]["choices"][0]}, delta("there"), END)), "hi there", STOP),
    ("litellm index 1 only", body(sse({"choices": [{"index": 1, "delta": {"content": "hi there"}}]}, END | {"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]})), "hi there", STOP),
    ("a second choice nobody asked for", body(sse({"choices": [{"index": 0, "delta": {"content": "hi there"}}, {"index": 1, "delta": {"content": "x"}}]}, {"choices": [{"index": 1, "delta": {"content": "y"}, "finish_reason": "stop"}]}, END)), "hi there", STOP),
    ("open-webui finish on a thought", body(sse(thought("hm", finish="stop"), *HI, END)), "hi there", STOP),
    ("finish on every chunk", body(sse(delta("hi ", "stop"), delta("there", "stop"))), "hi there", STOP),
    ("finish on role and every chunk", body(sse(delta("", "stop", role="assistant"), delta("hi ", "stop"), delta("", "stop"), delta("there", "stop"))), "hi there", STOP),
    ("koboldcpp finish 'null'", body(sse(delta("hi ", "null"), delta("there", "null"), delta("", "stop"))), "hi there", STOP),
    ("ollama and sglang finish ''", body(sse(delta("hi ", ""), delta("there", ""), END)), "hi there", STOP),
    ("finish 'None'", body(sse(delta("hi ", "None"), delta("there", "None"), END)), "hi there", STOP),
    ("finish false and 0", body(sse(delta("hi ", False), delta("there", 0), END)), "hi there", STOP),
    ("finish is an object", body(sse(*HI, delta("", {"type": "length", "length": 2}))), "hi there", LENGTH),
    ("gemini finishReason STOP", body(sse(*HI, {"choices": [{"delta": {}, "finishReason": "STOP"}]})), "hi there", STOP),
    ("mistral model_length", body(sse(*HI, delta("", "model_length"))), "hi there", FinishReason.CONTEXT),
    ("zhipu context window", body(sse(*HI, delta("", "model_context_window_exceeded"))), "hi there", FinishReason.CONTEXT),
    ("finish max_output_tokens", body(sse(*HI, delta("", "max_output_tokens"))), "hi there", LENGTH),
    ("gemini SAFETY behind text", body(sse(*HI, delta("", "SAFETY"))), "hi there", FinishReason.CONTENT_FILTER),
    ("tgi eos_token", body(sse(*HI, delta("", "eos_token"))), "hi there", STOP),
    ("anthropic end_turn", body(sse(*HI, delta("", "end_turn"))), "hi there", STOP),
    ("stop_sequence", body(sse(*HI, delta("", "stop_sequence"))), "hi there", STOP),
    ("a word nobody knows", body(sse(*HI, delta("", "fertig"))), "hi there", STOP),
    ("gemini finish MAX_TOKENS", body(sse(*HI, delta("", "MAX_TOKENS"))), "hi there", LENGTH),
    ("python enum FinishReason.length", body(sse(*HI, delta("", "FinishReason.length"))), "hi there", LENGTH),
    ("two reasons, the limit counts", body(sse(*HI, delta("", "length"), delta("", "stop"))), "hi there", LENGTH),
    ("two reasons, the other way", body(sse(*HI, delta("", "stop"), delta("", "length"))), "hi there", LENGTH),
    ("no reason but DONE", body(sse(*HI)), "hi there", STOP),
    ("no DONE", body(sse(*HI, END, end=b"")), "hi there", STOP),
    ("no DONE, finish with text", body(sse(delta("hi "), delta("there", "stop"), end=b"")), "hi there", STOP),
    ("no DONE, no frame, finish by itself", body(sse(*HI, END, end=b""), framed=False), "hi there", STOP),
    ("DONE without its blank line", body(sse(*HI, END, end=b"data: [DONE]")), "hi there", STOP),
    ("DONE as a JSON string", body(sse(*HI, END, end=b'data: "[DONE]"\n\n')), "hi there", STOP),
    ("sse labelled json", body(sse(*HI, END), kind="application/json"), "hi there", STOP),
    ("sse labelled plain", body(sse(*HI, END), kind="text/plain; charset=utf-8"), "hi there", STOP),
    ("sse without a type", body(sse(*HI, END), kind=""), "hi there", STOP),
    ("a plain answer", body(json.dumps({"object": "chat.completion", "choices": [{"message": {"content": "hi there"}, "finish_reason": "stop"}]}).encode(), kind="application/json"), "hi there", STOP),
    ("a plain answer, pretty", body(json.dumps({"choices": [{"message": {"content": "hi there"}, "finish_reason": "stop"}]}, indent=2).encode(), kind="application/json"), "hi there", STOP),
    ("a plain answer labelled sse", body(b'\n{"choices":[{"message":{"content":"hi there"}}]}\n'), "hi there", STOP),
    ("a plain answer in one event", body(sse({"choices": [{"message": {"content": "hi there"}, "finish_reason": "stop"}]})), "hi there", STOP),
    ("minimax repeats all at last", body(sse(*HI, {"object": "chat.completion", "choices": [{"message": {"content": "hi there"}, "finish_reason": "stop"}]})), "hi there", STOP),
    ("ndjson", body(b"".join(json.dumps(e).encode() + b"\n" for e in (*HI, END)), kind="application/x-ndjson"), "hi there", STOP),
    ("no blank lines", body(sse(*HI, END).replace(b"\n\n", b"\n")), "hi there", STOP),
    ("data over several lines", body(b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"hi there"}}]}\n\n', sse(END)), "hi there", STOP),
    ("crlf", body(sse(*HI, END).replace(b"\n", b"\r\n")), "hi there", STOP),
    ("cr", body(sse(*HI, END).replace(b"\n", b"\r")), "hi there", STOP),
    ("byte order mark", body(b"\xef\xbb\xbf" + sse(*HI, END)), "hi there", STOP),
    ("openrouter comments", body(b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n", sse(*HI, END)), "hi there", STOP),
    ("sse-starlette pings", body(b": ping - 2026-11-30\r\n\r\n", sse(*HI), b"event: ping\ndata: {}\n\n", sse(END)), "hi there", STOP),
    ("data pings", body(b"event: ping\ndata: ok\n\ndata: keep-alive\n\ndata: null\n\ndata: {}\n\ndata:\n\n", sse({"type": "ping"}, *HI, END)), "hi there", STOP),
    ("event, id and retry lines", body(b"retry: 10\nid: 1\nevent: message\n", sse(*HI, END)), "hi there", STOP),
    ("azure filter first", body(sse({"id": "", "choices": [], "model": "", "object": "", "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}]}, *HI, END)), "hi there", STOP),
    ("azure asynchronous filter", body(sse(*HI, {"choices": [{"index": 0, "finish_reason": None, "content_filter_results": {"error": {"code": "content_filter_error", "message": "The contents are not filtered"}}, "content_filter_offsets": {"check_offset": 4}}]}, END)), "hi there", STOP),
    ("logprobs null, extra fields", body(sse({"choices": [{"index": 0, "delta": {"content": "hi there", "tool_calls": None, "role": None}, "logprobs": None, "matched_stop": None}], "usage": None, "timings": {"n": 1}}, END)), "hi there", STOP),
    ("an index that is no number", body(sse('{"choices":[{"index":Infinity,"delta":{"content":"hi "}}]}', '{"choices":[{"index":NaN,"delta":{"content":"there"}}]}', '{"choices":[{"index":1e999}]}', END)), "hi there", STOP),
    ("numbers beyond all numbers", body(sse({"choices": [{"index": HUGE, "delta": {"content": "hi there"}}], "usage": {"prompt_tokens": HUGE}}, {"choices": [{"index": HUGE, "finish_reason": "stop"}]})), "hi there", STOP),
    ("NaN in logprobs", body(sse('{"choices":[{"index":0,"delta":{"content":"hi there"},"logprobs":{"x":-Infinity,"y":NaN}}]}', END)), "hi there", STOP),
    ("raw controls in a string", body(b'data: {"choices":[{"delta":{"content":"hi\tthere"}}]}\n\n', sse(END)), "hi\tthere", STOP),
    ("mistral parts", body(sse(delta([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "hi "}]), delta([{"type": "text", "text": "there"}]), END)), "hi there", STOP),
    ("content is an object", body(sse(delta({"type": "text", "text": "hi there"}), END)), "hi there", STOP),
    ("content is a number", body(sse(delta(42), END)), "42", STOP),
    ("text-generation-webui text", body(sse({"choices": [{"index": 0, "text": "hi there"}]}, END)), "hi there", STOP),
    ("a refusal is text", body(sse(delta(None, refusal="I will not"), END)), "I will not", STOP),
    ("deepseek reasoning_content", body(sse(thought("hm"), *HI, END)), "hi there", STOP),
    ("openrouter reasoning twice", body(sse(delta("", reasoning="hm", reasoning_details=[{"text": "hm"}]), *HI, END)), "hi there", STOP),
    ("finish 'length' with thought only then text", body(sse(thought("hm", finish="length"), *HI, END)), "hi there", STOP),
    ("think tags", body(sse(delta("<think>hm</think>\n\nhi there"), END)), "hi there", STOP),
    ("think tags split", body(sse(*map(delta, ["\n<th", "ink", ">h", "m</", "thi", "nk>", "\n", "\nhi ", "there"]), END)), "hi there", STOP),
    ("think tags by letters", body(sse(*map(delta, "<think>a < b</think>hi there"), END)), "hi there", STOP),
    ("think tags twice", body(sse(delta("<think>a</think>\n<think>b</think>hi there"), END)), "hi there", STOP),
    ("magistral tags", body(sse(delta("[THINK]hm[/THINK]hi there"), END)), "hi there", STOP),
    ("gpt-oss channels", body(sse(delta("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>hi there"), END)), "hi there", STOP),
    ("only the beginning of a tag", body(sse(delta("<thi"), END)), "<thi", STOP),
    ("a tag that is talked about", body(sse(delta("use <think> and </think>"), END)), "use <think> and </think>", STOP),
    ("an emoji in two events, as a pair", body(b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\ndata: {"choices":[{"delta":{"content":"\\ude00b"}}]}\n\n', sse(END)), "a😀b", STOP),
    ("an emoji in two events, as bytes", body(b'data: {"choices":[{"delta":{"content":"a\xf0\x9f"}}]}\n\ndata: {"choices":[{"delta":{"content":"\x98\x80b"}}]}\n\n', sse(END)), "a😀b", STOP),
    ("half an emoji and no more", body(b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n', sse(END)), "a�", STOP),
    ("cut anywhere by the network", body(*(bytes([b]) for b in sse(delta("hé "), delta("thére"), END))), "hé thére", STOP),
    ("gzip although not asked", body(gzip.compress(sse(*HI, END)), encoding="gzip"), "hi there", STOP),
    ("words after DONE", body(sse(*HI, END), sse(delta("more"))), "hi there", STOP),
    ("tool calls nobody asked for", body(sse(delta(None, tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]), delta("", "tool_calls"))), "", FinishReason.TOOL_CALLS),
    ("filtered from the middle on", body(sse(delta("hi there"), delta("", "content_filter"))), "hi there", FinishReason.CONTENT_FILTER),
    ("empty, and says so", body(sse(delta("", role="assistant"), END)), "", STOP),
    ("a huge chunk", body(sse(delta("word " * 2000), END)), "word " * 2000, STOP),
]  # fmt: skip

# Name, what is sent, the text that reaches the client before it, which error, and words of it.
BROKEN: list[tuple[str, Behaviour, str, type[MeshError], str]] = [
    ("error and DONE", body(sse({"error": ERROR})), "", EngineFailed, "cuda died"),
    ("error after text", body(sse(*HI, {"error": ERROR})), "hi there", EngineFailed, "cuda died"),
    ("error as a string", body(sse({"error": "cuda died"})), "", EngineFailed, "cuda died"),
    ("error true", body(sse({"error": True, "message": "cuda died"})), "", EngineFailed, "cuda died"),
    ("message", body(sse({"message": "cuda died"})), "", EngineFailed, "cuda died"),
    ("message and code", body(sse({"code": "InternalError", "message": "cuda died"})), "", EngineFailed, "cuda died"),
    ("detail", body(sse({"detail": "cuda died"})), "", EngineFailed, "cuda died"),
    ("detail of fastapi", body(sse({"detail": [{"loc": [], "msg": "cuda died"}]})), "", EngineFailed, "cuda died"),
    ("code alone", body(sse({"code": 500})), "", EngineFailed, "500"),
    ("status alone", body(sse({"status": 500, "timestamp": 1})), "", EngineFailed, "500"),
    ("success false", body(sse({"success": False, "info": "cuda died"})), "", EngineFailed, "cuda died"),
    ("message beside no choices", body(sse({"choices": [], "message": "cuda died", "code": 500})), "", EngineFailed, "cuda died"),
    ("an unknown object and DONE", body(sse({"oops": "cuda died"})), "", EngineFailed, "cuda died"),
    ("an unknown object behind text", body(sse(*HI, {"oops": "cuda died"})), "hi there", EngineFailed, "cuda died"),
    ("vllm object error", body(sse({"object": "error", "message": "cuda died", "code": 500})), "", EngineFailed, "cuda died"),
    ("anthropic type error", body(sse({"type": "error", "error": {"type": "api_error", "message": "cuda died"}})), "", EngineFailed, "cuda died"),
    ("event: error with JSON", body(b'event: error\ndata: {"info": "cuda died"}\n\n', DONE), "", EngineFailed, "cuda died"),
    ("event: error with words", body(b"event: error\ndata: cuda died\n\n", DONE), "", EngineFailed, "cuda died"),
    ("llama.cpp error field", body(sse(*HI, end=b'error: {"code":500,"message":"cuda died"}\n\n')), "hi there", EngineFailed, "cuda died"),
    ("bare JSON amid the stream", body(sse(*HI, end=b'{"error":{"message":"cuda died"}}\n'), DONE), "hi there", EngineFailed, "cuda died"),
    ("google list of errors", body(sse([{"error": {"code": 500, "message": "cuda died"}}])), "", EngineFailed, "cuda died"),
    ("openrouter choice error", body(sse(*HI, {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "cuda died"}}]})), "hi there", EngineFailed, "cuda died"),
    ("openrouter error beside choices", body(sse({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}], "error": {"code": 502, "message": "cuda died"}})), "", EngineFailed, "cuda died"),
    ("minimax base_resp", body(sse({"choices": None, "base_resp": {"status_code": 1004, "status_msg": "cuda died"}})), "", EngineFailed, "cuda died"),
    ("groq error in x_groq", body(sse(delta("hi there"), {**delta("", "stop"), "x_groq": {"id": "req", "error": "cuda died"}})), "hi there", EngineFailed, "cuda died"),
    ("deepseek out of resources", body(sse(*HI, delta("", "insufficient_system_resource"))), "hi there", EngineFailed, "'insufficient_system_resource'"),
    ("zhipu network error", body(sse(*HI, delta("", "network_error"))), "hi there", EngineFailed, "'network_error'"),
    ("cohere ERROR_LIMIT", body(sse(*HI, delta("", "ERROR_LIMIT"))), "hi there", EngineFailed, "'error_limit'"),
    ("finish failed, on every chunk", body(sse(delta("hi ", "failed"), delta("there", "failed"))), "hi there", EngineFailed, "'failed'"),
    ("finish timeout", body(sse(*HI, delta("", "timeout"))), "hi there", EngineFailed, "'timeout'"),
    ("zhipu sensitive, all of it", body(sse(delta("", "sensitive"))), "", CannotAnswer, "content filter withheld"),
    ("finish error", body(sse(*HI, delta("", "error"))), "hi there", EngineFailed, "ended its answer with 'error'"),
    ("vllm finish abort", body(sse(*HI, delta("", "abort"))), "hi there", EngineFailed, "'abort'"),
    ("finish stop, then abort", body(sse(*HI, END, delta("", "abort"))), "hi there", EngineFailed, "'abort'"),
    ("200 with an error in JSON", body(b'{"error": {"message": "cuda died"}}', kind="application/json"), "", EngineFailed, "cuda died"),
    ("200 with detail in JSON", body(b'{"detail": "cuda died"}', kind="application/json"), "", EngineFailed, "cuda died"),
    ("sglang context in 200", body(sse({"error": {"object": "error", "message": "Requested token count exceeds the model's maximum context length of 9 tokens", "type": "BadRequestError", "code": 400}})), "", ContextOverflow, "maximum context length"),
    ("a bad request in 200", body(sse({"error": {"message": "no such sampler", "type": "invalid_request_error"}})), "", NotServed, "no such sampler"),
    ("overloaded in 200", body(sse({"error": {"message": "busy", "code": "429"}})), "", Overloaded, "busy"),
    ("overloaded in words", body(sse({"error": {"message": "busy", "type": "overloaded_error"}})), "", Overloaded, "busy"),
    ("html", body(b"<!DOCTYPE html>\n<title>Sign in</title>", kind="text/html"), "", EngineFailed, "127.0.0.1.*no chat completion.*DOCTYPE.*check base_url"),
    ("words", body(b"Ollama is running", kind="text/plain"), "", EngineFailed, "Ollama is running.*check base_url"),
    ("nothing", body(), "", EngineFailed, "nothing at all"),
    ("DONE alone", body(DONE), "", EngineFailed, "without a word"),
    ("a role and DONE", body(sse(delta("", role="assistant"))), "", EngineFailed, "without a word"),
    ("usage and DONE", body(sse(usage(7, 0))), "", EngineFailed, "without a word"),
    ("garbage as an event", body(sse("oh no")), "", EngineFailed, "no chat completion chunk: oh no"),
    ("deep JSON", body(sse('{"x":' * 6000 + "1" + "}" * 6000)), "", EngineFailed, "no chat completion chunk"),
    ("controls in an error", body(sse({"error": {"message": "a\x1b[31m\nb\u202e" + "c" * 9000}})), "", EngineFailed, "error: a bccc"),
    ("cut behind text", body(sse(*HI, end=b""), framed=False), "hi there", EngineFailed, "broke off"),
    ("ended behind text", body(sse(*HI, end=b"")), "hi there", EngineFailed, "broke off"),
    ("cut in an event", body(sse(*HI, end=b'data: {"choices": [{"de'), framed=False), "hi there", EngineFailed, "broke off"),
    ("cut in a character", body(sse(delta("hi é"), end=b"")[:-9], framed=False), "", EngineFailed, "no chat completion|broke off"),
    ("cut of finish on every chunk", body(sse(delta("hi ", "stop"), delta("there", "stop"), end=b""), framed=False), "hi there", EngineFailed, "broke off"),
    ("cut behind finish on the first chunk", body(sse(delta("hi there", "stop"), end=b""), framed=False), "hi there", EngineFailed, "broke off"),
    ("cut behind a thought's finish", body(sse(thought("hm", finish="stop"), end=b""), framed=False), "", EngineFailed, "broke off"),
    ("cut amid ndjson", body(json.dumps(HI[0]).encode() + b'\n{"choices"', framed=False), "hi ", EngineFailed, "broke off"),
    ("cut in a plain answer", body(b'{"choices":[{"message":{"content":"hi the', framed=False), "", EngineFailed, "no chat completion"),
    ("a plain-text error amid the stream", body(sse(*HI, end=b"upstream connect error\n")), "hi there", EngineFailed, "broke off.*upstream connect error"),
    ("cut gzip", body(gzip.compress(sse(*HI, END))[:-12], encoding="gzip"), "hi there", EngineFailed, "broke off"),
    ("brotli", body(b"\x0b\x02", encoding="br"), "", EngineFailed, "compresses its answer .br."),
    ("withheld at once", body(sse(delta("", "content_filter"))), "", CannotAnswer, "content filter"),
    ("thoughts alone", body(sse(thought("hm"), delta("", "stop"))), "", CannotAnswer, "thought and gave no answer; option reasoning"),
    ("thoughts to the limit", body(sse(thought("hm"), delta("", "length"))), "", CannotAnswer, "within max_tokens; ask for more"),
    ("think tag never closed", body(sse(delta("<think>hm"), END)), "", CannotAnswer, "thought and gave no answer"),
    ("think tag cut", body(sse(delta("<think>hm"), end=b""), framed=False), "", EngineFailed, "broke off"),
    ("a huge line", body(b"data: " + b"x" * 2_000_000), "", EngineFailed, "more than 1,048,576 bytes"),
    ("a bomb", body(gzip.compress(b"data: " + b"x" * 50_000_000), encoding="gzip"), "", EngineFailed, "more than 1,048,576"),
]  # fmt: skip


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Upstream, Patient]]:
    with upstream() as server, loaded(server) as engine:
        yield server, engine


@pytest.mark.parametrize(
    ("behaviour", "text", "reason"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE]
)
def test_a_whole_answer_is_read_in_any_shape(
    served: tuple[Upstream, Patient], behaviour: Behaviour, text: str, reason: FinishReason
) -> None:
    server, engine = served
    server.answers[:] = [behaviour]
    found = ask(engine, max_tokens=4000)
    assert (said(found), ended(found)) == (text, reason)


@pytest.mark.parametrize(
    ("behaviour", "text", "kind", "words"),
    [row[1:] for row in BROKEN],
    ids=[row[0] for row in BROKEN],
)
def test_what_is_no_whole_answer_is_one_clear_error(
    served: tuple[Upstream, Patient],
    behaviour: Behaviour,
    text: str,
    kind: type[MeshError],
    words: str,
) -> None:
    server, engine = served
    server.answers[:] = [behaviour]
    found = ask(engine, max_tokens=4000)
    error = failure(found)
    assert said(found) == text
    assert type(error) is kind
    assert_words(error, words)
    assert error.message.isprintable()
    assert len(error.message) < 500


@pytest.mark.parametrize(
    "early",
    [
        thought("hm", finish="stop"),
        delta("", "stop", role="assistant"),
        delta("hi ", "stop"),
    ],
    ids=["a thought", "a role", "text"],
)
def test_a_reason_that_came_early_does_not_cut_what_follows_after_a_while(
    served: tuple[Upstream, Patient], monkeypatch: pytest.MonkeyPatch, early: dict[str, Any]
) -> None:
    monkeypatch.setattr(client, "USAGE_WAIT_S", 0.02)
    server, engine = served

    def slow(connection: Connection, request: Request) -> None:
        connection.begin()
        connection.event(early)
        time.sleep(0.2)
        connection.event(delta("there", "stop"))
        connection.event("[DONE]")
        connection.end()

    server.answers[:] = [slow]
    found = ask(engine)
    assert said(found).endswith("there")
    assert ended(found) == STOP


@pytest.mark.parametrize(
    ("code", "said_there", "words"),
    [
        (404, '{"detail":"Not Found"}', "nothing at http://127.*/v1/chat/completions.*check base"),
        (404, "404 page not found", "nothing at http://127.*/v1/chat/completions"),
        (404, "<html><title>404 Not Found</title></html>", "nothing at http://127.*Not Found"),
        (405, "", "nothing at http://127"),
        (404, '{"error":{"message":"model \'tiny\' not found"}}', "has no model 'tiny'"),
    ],
)
def test_a_path_that_is_not_there_is_blamed_on_the_address_and_a_model_on_the_model(
    code: int, said_there: str, words: str
) -> None:
    def answer(connection: Connection, request: Request) -> None:
        connection.reply(code, said_there)

    with upstream(answer) as server, loaded(server) as engine:
        engine.open(0, HELLO, Sampling(), (), "")
        with pytest.raises(EngineFailed, match=words) as caught:
            until_over(engine)
        assert caught.value.message.isprintable()
