"""The words of an upstream's errors, in any of the shapes that servers give them. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.cleaned import cleaned
from mesh.errors import ContextOverflow, EngineFailed, MeshError, NotServed, Overloaded

OVERLOADED = (429, 503, 529)  # 529: Anthropic's and its imitators'

_DEEPEST = 4  # an error within an error within one
_WORDS = ("message", "detail", "msg", "error_message", "error_msg", "errorMessage", "status_msg")
_CODES = ("code", "status", "status_code", "statusCode", "error_code", "http_status")
_CONTEXT = (
    "context length",
    "context_length_exceeded",
    "maximum context",
    "context size",
    "context window",
    "prompt is too long",
    "exceed_context_size",
)
_OVERLOAD = ("rate_limit", "rate limit", "overload", "too many requests")


def message_of(error: Any) -> str:
    """The words of an error, "" for none."""
    for _ in range(_DEEPEST):
        match error:
            case str():
                return error
            case {"error": str() | dict() | list() as inner} if inner:
                error = inner
            case {"errors": [inner, *_]} | [inner]:
                error = inner
            case {"detail": [{"msg": str(text)}, *_]}:  # FastAPI's validation
                return text
            case dict():
                found = [error[name] for name in _WORDS if error.get(name)]
                if not found:
                    break
                error = next((each for each in found if isinstance(each, str)), found[0])
            case _:
                break
    return ""


def code_of(error: Any) -> int:
    """The number of an error, as HTTP has them; 0 for none."""
    for _ in range(_DEEPEST):
        if not isinstance(error, dict):
            break
        for name in _CODES:
            code = error.get(name)
            if isinstance(code, str) and code.isdecimal() and len(code) == 3:
                code = int(code)
            if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
                return code
        error = error.get("error")
    return 0


def tells_of_context(text: str) -> bool:
    text = text.lower()
    return any(word in text for word in _CONTEXT)


def reported(error: Any) -> MeshError:
    """An error that came with a status of 200: what the request is to blame for, or too many of
    them, is a refusal, as it is where the status says so."""
    said = message_of(error)
    shown = cleaned(said) or cleaned(str(error))
    kind = _kind(error)
    code = code_of(error)
    if code in OVERLOADED or any(word in kind for word in _OVERLOAD):
        return Overloaded(f"the upstream is overloaded: {shown}")
    if tells_of_context(kind) or tells_of_context(said):
        return ContextOverflow(f"the upstream's context is too short: {shown}")
    if code in (400, 422) or "invalid_request" in kind:
        return NotServed(f"the upstream refuses the request: {shown}")
    return EngineFailed(f"the upstream broke off with an error: {shown}")


def body_text(body: bytes) -> str:
    """The words of an error's body: the message in JSON, the title of a page, or the text."""
    text = body.decode("utf-8", "replace").strip()
    try:
        return message_of(msgspec.json.decode(body)) or text
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass
    begin = text.lower().find("<title>")
    if begin >= 0:
        end = text.lower().find("</title>", begin)
        return text[begin + len("<title>") : end if end >= 0 else None]
    return "a page of HTML" if text[:1] == "<" else text


def _kind(error: Any) -> str:
    """What names the error, in lower case."""
    found: list[str] = []
    for _ in range(_DEEPEST):
        if not isinstance(error, dict):
            break
        found += [str(error.get(name) or "")[:100] for name in ("code", "type")]
        error = error.get("error")
    return " ".join(found).lower()
