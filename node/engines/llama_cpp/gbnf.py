"""GBNF as tokens, and what is wrong with one. Pure. Described in llama.cpp's
``grammars/README.md``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from mesh.errors import InvalidRequest

_TOKEN = re.compile(
    r"""(?P<blank>[ \t]+|\#[^\r\n]*) | (?P<newline>\r\n|\n) | (?P<define>::=)
    | (?P<literal>"(?:\\.|[^"\\])*") | (?P<chars>\[(?:\\.|[^\]\\])*\])
    | (?P<repeat>\{[ ]*\d+[ ]*(?:,[ ]*(?:\d+[ ]*)?)?\}|[*+?])
    | (?P<any>\.) | (?P<bar>\|) | (?P<open>\() | (?P<close>\)) | (?P<name>[a-zA-Z0-9-]+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(
    r"""\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[trn\\"\[\]]|(?P<bad>.))""", re.DOTALL
)
_SIGN = re.compile(rf"(?:{_ESCAPE.pattern})|.".replace("(?P<bad>.)", "."), re.DOTALL)


class Token(NamedTuple):
    """``kind``: the group's name above; ``line``: from 1; ``begin``, ``end``: in the grammar."""

    kind: str
    text: str
    line: int
    begin: int
    end: int


def tokens(text: str) -> Iterator[Token]:
    """Without blanks. Raises ``InvalidRequest``."""
    place, line = 0, 1
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            raise wrong(line, f"cannot be read from {text[place : place + 20]!r} on")
        if found.lastgroup != "blank":
            yield Token(found.lastgroup, found[0], line, place, found.end())
        line += found[0].count("\n")
        place = found.end()


def check_escapes(token: str, line: int) -> None:
    """Raises ``InvalidRequest``."""
    for escape in _ESCAPE.finditer(token):
        if escape["bad"]:
            raise wrong(
                line, f'{escape[0]!r} is no escape; one of \\n \\r \\t \\\\ \\" \\[ \\] \\x'
            )


def signs(literal: str) -> list[str]:
    """What a literal's characters are written as, between its quotation marks."""
    return [found[0] for found in _SIGN.finditer(literal[1:-1])]


def wrong(line: int, what: str) -> InvalidRequest:
    return InvalidRequest(f"grammar, line {line}: {what}")
