"""GBNF taken apart, and where in it something is wrong."""

from __future__ import annotations

import pytest

from mesh.errors import InvalidRequest
from node.engines.llama_cpp.gbnf import Token, check_escapes, signs, tokens

TWO_LINES = 'root ::= "a\n\\"" # one\r\n  | [^\\]b]{1,2}'


def test_every_token_knows_its_kind_its_line_and_its_place() -> None:
    found = list(tokens(TWO_LINES))
    assert found == [
        Token("name", "root", 1, 0, 4),
        Token("define", "::=", 1, 5, 8),
        Token("literal", '"a\n\\""', 1, 9, 15),
        Token("newline", "\r\n", 2, 21, 23),
        Token("bar", "|", 3, 25, 26),
        Token("chars", "[^\\]b]", 3, 27, 33),
        Token("repeat", "{1,2}", 3, 33, 38),
    ]
    assert all(TWO_LINES[each.begin : each.end] == each.text for each in found)


@pytest.mark.parametrize(
    ("grammar", "line", "rest"),
    [
        ("root ::= $", 1, "'$'"),
        ("root ::= .\n\nx ::= 'abcdefghijklmnopqrstuvwxyz'", 3, '"\'abcdefghijklmnopqrs"'),
        ('root ::= "open', 1, "'\"open'"),
    ],
)
def test_what_cannot_be_read_is_shown_from_there_on(grammar: str, line: int, rest: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        list(tokens(grammar))
    assert raised.value.message == f"grammar, line {line}: cannot be read from {rest} on"


def test_an_escape_that_is_none_is_named_with_its_line() -> None:
    check_escapes(r'"\n\r\t\\\"\[\]\x41\u00e9\U0001F600"', 1)
    for bad in (r"\d", r"\x4", r"\u00e"):
        with pytest.raises(InvalidRequest, match=r"grammar, line 7: '\\\\[dxu]' is no escape"):
            check_escapes(f'"a{bad}"', 7)


def test_an_escape_is_one_sign() -> None:
    assert signs(r'"a\n\x41é\\"') == ["a", r"\n", r"\x41", "é", r"\\"]
    assert signs('""') == []
