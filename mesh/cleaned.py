"""Text from strangers, as it may go to a client, a log or a terminal. Pure.

``cleaned`` makes a line of it, ``harmless`` keeps its lines: an answer, a traceback.

Nodes, upstreams, files, records and drivers say what they like: escape sequences that a terminal
obeys, line breaks that forge a line of a log, marks that turn the reading direction, a megabyte.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any
from unicodedata import category

CUT = "…"

_LOOKED_AT = 16  # times the limit, so that much that is not shown may stand before what is

# ECMA-48: control sequences, strings with their terminator, then any other escape.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
_REPLACED = "�"
# All but a tab and a line's end that a terminal could obey or turn around.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# The same within JSON, beyond what JSON has to escape itself.
_IN_JSON = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_PICTURES = 0x2400  # U+2400 on: a sign for each control character


def cleaned(text: str | bytes, limit: int = 200) -> str:
    """``text`` as one line of at most ``limit`` printable characters, whose last is ``…`` when
    something of it was cut. Bytes are read as UTF-8.

    Escape sequences and marks without a shape (of direction, of width zero) go, blanks and other
    controls become one blank, and what is no character becomes ``�``. Only the beginning of a long
    text is looked at, so a huge one costs no more.
    """
    most = _LOOKED_AT * limit
    if isinstance(text, bytes):
        cut = len(text) > 4 * most
        text = getincrementaldecoder("utf-8")("replace").decode(text[: 4 * most], final=not cut)
    else:
        cut = False
    cut = cut or len(text) > most
    text = text[:most]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _shown(c) for c in _ESCAPES.sub("", text))
    line = " ".join(text.split())
    if len(line) > limit or cut:
        return line[: limit - 1].rstrip() + CUT
    return line


def harmless(text: str) -> str:
    """``text`` with its lines, tabs and length, where whatever a terminal would obey is a sign that
    stands for it: ``␛`` for an escape, ``�`` for marks of direction and what has no sign."""
    return _OBEYED.sub(_sign, text.replace("\r\n", "\n"))


def with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A record (dataclasses, tuples and what is in them) with each text of it changed, however deep
    it is. Enums are names and not texts."""
    match value:
        case Enum():
            return value
        case str():
            return change(value)
        case tuple():
            return tuple(with_texts(each, change) for each in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changed = {each.name: with_texts(getattr(value, each.name), change) for each in fields(value)}
    return replace(value, **changed)


def json_shown(text: str) -> str:
    """JSON as it may go to a terminal: the same value, with more of it escaped."""
    return _IN_JSON.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _sign(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(_PICTURES + code)
    return "␡" if code == 0x7F else _REPLACED


def _shown(character: str) -> str:
    """What stands for one that is not printable."""
    match category(character):
        case "Cf":
            return ""
        case "Cs" | "Co" | "Cn":
            return _REPLACED
    return " "
