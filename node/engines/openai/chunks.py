"""What one event of a chat completion says, for all the dialects of servers. Pure.

Nothing is expected and everything is looked at: a field of another type than OpenAI's counts as
absent, one that is known by other names is read by these. Two things are held on to. Text is never
lost: whatever a choice says is text, a thought or the end. An error is never a chunk: one with a
choice that says nothing, or without any, is an error when it has the words or the number of one,
and ``odd`` when nobody knows what it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

import msgspec

from mesh.cleaned import cleaned
from mesh.errors import EngineFailed
from node.engines.openai.words import code_of, message_of, reported

MOST_COUNTED = 2**31 - 1  # what is more is no count of tokens
LONGEST_PIECE = 256  # characters; a token has a handful, so more than this is several

_NO_END = frozenset({"", "null", "none", "nil", "undefined", "unspecified"})
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought", "reasoning_details")
_DEEPEST = 4  # parts within parts
# An event without a choice that has one of these is about an answer, and no answer by itself.
_ABOUT = frozenset(
    {"usage", "x_groq", "timings", "prompt_filter_results", "prompt_annotations", "citations"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamUsage:
    """Tokens as the upstream counts them. ``cached`` of the prompt's were not computed anew."""

    prompt: int
    completion: int
    cached: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamChunk:
    """``finish``: the upstream's own word for why the answer ends here, "" when it does not.
    ``stopped_by``: the stop string that ended it, where the server says so. ``index``: of the
    choice, None where there is none. ``whole``: ``text`` is all of the answer, what was said before
    included. ``acts``: it tells of a tool's call. ``odd``: what came, where nobody knows what it
    is."""

    text: str = ""
    thought: str = ""
    finish: str = ""
    stopped_by: str = ""
    counts: UpstreamUsage | None = None
    index: int | None = None
    whole: bool = False
    acts: bool = False
    odd: str = ""


def read_chunk(data: str, index: int | None = None) -> UpstreamChunk:
    """``index``: of the choice that is read, None for the first one that there is. Raises
    ``EngineFailed`` for what is no JSON, and the error that the upstream reports, see
    ``words.reported``."""
    event = decoded(data)
    if isinstance(event, list) and len(event) == 1:  # Google's way with errors
        event = event[0]
    if event is None or event == {}:
        return UpstreamChunk()
    if not isinstance(event, dict):
        raise EngineFailed(f"the upstream sent what is no chat completion chunk: {cleaned(data)}")
    choices = event.get("choices")
    choices = [choices] if isinstance(choices, dict) else choices
    found = [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []
    choice = next((c for c in found if index is None or _index(c) == index), None)
    groq = event.get("x_groq")
    for at in (event, choice or {}, groq if isinstance(groq, dict) else {}):
        if at.get("error"):
            raise reported(at)
    counts = _counts(event, choice)
    if choice is not None:
        return _said(event, choice, counts)
    if not found and (error := _error(event)):
        raise reported(error)
    known = (
        counts is not None
        or isinstance(choices, list)
        or not _ABOUT.isdisjoint(event)
        or str(event.get("object", "")).startswith("chat.completion")
        or event.get("type") == "ping"
    )
    return UpstreamChunk(counts=counts, odd="" if known else cleaned(data))


def pieces(text: str) -> list[str]:
    """``text`` as pieces of at most ``LONGEST_PIECE`` characters, cut behind blanks where it can: a
    whole answer in one event streams, and its length counts."""
    found = []
    while len(text) > LONGEST_PIECE:
        cut = text.rfind(" ", 0, LONGEST_PIECE) + 1 or LONGEST_PIECE
        found.append(text[:cut])
        text = text[cut:]
    return [*found, text] if text else found


def is_json(data: str) -> bool:
    try:
        decoded(data)
    except EngineFailed:
        return False
    return True


def decoded(data: str) -> Any:
    """Raises ``EngineFailed`` for what is no JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        # NaN, control characters within strings, half a surrogate pair.
        return json.loads(data, strict=False)
    except (ValueError, RecursionError):
        raise EngineFailed(
            f"the upstream sent what is no chat completion chunk: {cleaned(data)}"
        ) from None


def _said(
    event: dict[str, Any], choice: dict[str, Any], counts: UpstreamUsage | None
) -> UpstreamChunk:
    delta, message = choice.get("delta"), choice.get("message")
    by_message = not delta and bool(message)
    part = message if by_message else delta
    if not isinstance(part, dict):
        part = {"content": part}
    content = part.get("content")
    # ``text``: of the older completions.
    text = _text(content) or _text(part.get("refusal")) or _text(choice.get("text"))
    thought = "".join(_thinking(content)) if isinstance(content, list) else ""
    for name in _THOUGHTS:
        if not thought and part.get(name):
            thought = "".join(_texts(part[name], thinking=True))
    stopped_by = choice.get("stop_reason") or choice.get("matched_stop")
    return UpstreamChunk(
        text=text,
        thought=thought,
        finish=_finish(choice),
        stopped_by=stopped_by if isinstance(stopped_by, str) else "",
        counts=counts,
        index=_index(choice),
        whole=by_message and event.get("object") != "chat.completion.chunk",
        acts=bool(part.get("tool_calls") or part.get("function_call")),
    )


def _finish(choice: dict[str, Any]) -> str:
    word = choice.get("finish_reason") or choice.get("finishReason")
    if isinstance(word, dict):
        word = word.get("type")
    if not isinstance(word, str):
        return ""
    word = word.strip().lower().rpartition(".")[2].removeprefix("finish_reason_")
    return "" if word in _NO_END else word


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    if isinstance(index, float):
        return int(index) if isfinite(index) else 0
    return index if isinstance(index, int) else 0


def _error(event: dict[str, Any]) -> Any:
    """What an event in which no choice says anything tells of an error, None when it does not."""
    base = event.get("base_resp")  # MiniMax
    if isinstance(base, dict) and base.get("status_code"):
        return base
    if "error" in (event.get("object"), event.get("type")) or event.get("success") is False:
        return event
    return event if code_of(event) or message_of(event) else None


def _counts(event: dict[str, Any], choice: dict[str, Any] | None) -> UpstreamUsage | None:
    groq = event.get("x_groq")
    places = (event, choice or {}, groq if isinstance(groq, dict) else {})
    usage = next((u for at in places if isinstance(u := at.get("usage"), dict) and u), None)
    if usage is None:
        return None
    details = usage.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    prompt = count_of(usage.get("prompt_tokens") or usage.get("input_tokens"))
    completion = count_of(usage.get("completion_tokens") or usage.get("output_tokens"))
    cached = count_of(
        details.get("cached_tokens")
        or usage.get("cached_tokens")  # Moonshot
        or usage.get("prompt_cache_hit_tokens")  # DeepSeek
    )
    return UpstreamUsage(prompt=prompt, completion=completion, cached=min(cached, prompt))


def count_of(number: Any) -> int:
    """A count of tokens, whatever it came as; 0 for what is none."""
    if isinstance(number, str):
        number = int(number) if number.isdecimal() and len(number) < 16 else 0
    if not isinstance(number, int | float) or number != number:
        return 0
    return int(max(0, min(number, MOST_COUNTED)))


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):  # almost always
        return content or ""
    return "".join(_texts(content))


def _texts(content: Any, deep: int = _DEEPEST, *, thinking: bool = False) -> Iterator[str]:
    """A string, or parts of which some are text. ``thinking``: parts that are thoughts too."""
    match content:
        case str():
            yield content
        case bool() | None:
            pass
        case int() | float():
            yield str(content)
        case list() if deep:
            for each in content:
                yield from _texts(each, deep - 1, thinking=thinking)
        case {"text": text}:
            yield from _texts(text, deep - 1, thinking=thinking) if deep else ()
        case {"content": text}:
            yield from _texts(text, deep - 1, thinking=thinking) if deep else ()
        case {"thinking": text} | {"summary": text} if thinking and deep:
            yield from _texts(text, deep - 1, thinking=thinking)


def _thinking(content: list[Any]) -> Iterator[str]:
    """The thoughts among the parts of an answer (Mistral)."""
    for part in content:
        if isinstance(part, dict) and "thinking" in part:
            yield from _texts(part["thinking"], thinking=True)
