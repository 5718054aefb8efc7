"""What one event of a chat completion says, for all the dialects of servers. Pure.

``content`` may be null, absent, a string or a list of parts; a reasoning model's thoughts come as
``reasoning_content`` or ``reasoning``; usage comes in an event of its own, with or without an empty
``choices``. A whole ``chat.completion`` (a server that does not stream) reads as one event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from mesh.cleaned import cleaned
from mesh.errors import EngineFailed, MeshError, Overloaded

MOST_COUNTED = 2**31 - 1  # what is more is no count of tokens
LONGEST_PIECE = 256  # characters; a token has a handful, so more than this is several

_DEEPEST = 4  # an error within an error within one


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamUsage:
    """Tokens as the upstream counts them. ``cached`` of the prompt's were not computed anew."""

    prompt: int
    completion: int
    cached: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamChunk:
    """``finish``: the upstream's own word for why the answer ends here, "" when it does not.
    ``stopped_by``: the stop string that ended it, where the server says so."""

    text: str = ""
    thought: str = ""
    finish: str = ""
    stopped_by: str = ""
    counts: UpstreamUsage | None = None


class _Part(msgspec.Struct):
    content: Any = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: _Part | None = None
    message: _Part | None = None
    finish_reason: str | None = None
    stop_reason: Any = None  # vLLM
    matched_stop: Any = None  # SGLang


class _Details(msgspec.Struct):
    cached_tokens: int | None = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: _Details | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    object: str | None = None
    message: Any = None


_DECODER = msgspec.json.Decoder(_Event, strict=False)


def read_chunk(data: str) -> UpstreamChunk:
    """Raises ``EngineFailed`` for what is no chunk, and the error that the upstream reports:
    ``Overloaded`` when it says that it is, else ``EngineFailed``."""
    try:
        event = _DECODER.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise EngineFailed(
            f"the upstream sent what is no chat completion chunk: {cleaned(data)}"
        ) from None
    if event.error:
        raise reported(event.error)
    if event.object == "error":
        raise reported(event.message)
    choice = next((c for c in event.choices or () if not c.index), None)
    counts = _counts(event.usage)
    if choice is None:
        return UpstreamChunk(counts=counts)
    part = choice.delta or choice.message or _Part()
    stopped_by = choice.stop_reason or choice.matched_stop
    return UpstreamChunk(
        text=_text(part.content) or part.refusal or "",
        thought=part.reasoning_content or _text(part.reasoning),
        finish=choice.finish_reason or "",
        stopped_by=stopped_by if isinstance(stopped_by, str) else "",
        counts=counts,
    )


def pieces(text: str) -> list[str]:
    """``text`` as pieces of at most ``LONGEST_PIECE`` characters, cut behind blanks where it can: a
    whole answer in one event streams, and its length counts."""
    found = []
    while len(text) > LONGEST_PIECE:
        cut = text.rfind(" ", 0, LONGEST_PIECE) + 1 or LONGEST_PIECE
        found.append(text[:cut])
        text = text[cut:]
    return [*found, text] if text else found


def reported(error: Any) -> MeshError:
    """An error that came within a stream, after a status of 200."""
    text, kind = cleaned(message_of(error) or str(error)), ""
    if isinstance(error, dict):
        kind = f"{error.get('code', '')} {error.get('type', '')}".lower()
    if "429" in kind or "rate_limit" in kind or "overload" in kind or "503" in kind:
        return Overloaded(f"the upstream is overloaded: {text}")
    return EngineFailed(f"the upstream broke off with an error: {text}")


def message_of(error: Any) -> str:
    """The words in any of the shapes that servers give their errors, "" for none."""
    for _ in range(_DEEPEST):
        match error:
            case str():
                return error
            case {"error": inner} if inner:
                error = inner
            case {"message": str(text)} | {"detail": str(text)}:
                return text
            case {"detail": [{"msg": str(text)}, *_]}:  # FastAPI's validation
                return text
            case _:
                break
    return ""


def _counts(usage: _Usage | None) -> UpstreamUsage | None:
    if usage is None:
        return None
    details = usage.prompt_tokens_details
    prompt = _count(usage.prompt_tokens)
    cached = _count(details.cached_tokens) if details is not None else 0
    return UpstreamUsage(
        prompt=prompt, completion=_count(usage.completion_tokens), cached=min(cached, prompt)
    )


def _count(number: int | None) -> int:
    return max(0, min(number or 0, MOST_COUNTED))


def _text(content: Any) -> str:
    """A string, or parts of which some are text."""
    parts = content if isinstance(content, list) else [content]
    return "".join(map(_part, parts))


def _part(part: Any) -> str:
    match part:
        case str():
            return part
        case {"text": str(text)}:
            return text
    return ""
