"""Text from strangers becomes one bounded line that no terminal obeys."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.cleaned import CUT, cleaned, harmless, json_shown

WILD = st.text(
    st.one_of(
        st.characters(),
        st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Zs", "Co"]),
        st.sampled_from("\x1b[]m;0\x07\x9b\\ab "),
    ),
    max_size=400,
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("plain", "plain"),
        ("  two\t\tblanks \r\n", "two blanks"),
        ("two\nlines\u2028three\x0bfour\x85five", "two lines three four five"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice\x1b\\after", "after"),
        ("\x1bcreset", "reset"),
        ("a\x1b[", "a"),
        ("\x1b]0;never ended", "0;never ended"),
        ("\x1b\x1b[0m[31mtwice", "[31mtwice"),
        ("abc\u202etxt.exe\u202c \u2066x\u2069\u200f", "abctxt.exe x"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("half \ud800 of one", "half � of one"),
        ("private \ue000", "private �"),
        (b"caf\xc3\xa9 \xff\xfe", "café ��"),
        (b"cut \xe2\x82", "cut �"),
        ("name\x00with\x7fcontrols", "name with controls"),
        ("Grüße, 你好, שלום", "Grüße, 你好, שלום"),
    ],
)
def test_what_is_shown(text: str | bytes, line: str) -> None:
    assert cleaned(text) == line


@given(text=WILD | st.binary(max_size=400), limit=st.integers(1, 60))
def test_it_is_one_bounded_line_of_printable_characters_whatever_comes(
    text: str | bytes, limit: int
) -> None:
    line = cleaned(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    line.encode("utf-8")
    assert line == " ".join(line.split())
    assert cleaned(line, limit) == line


@given(text=st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=100))
def test_printable_text_is_left_alone_up_to_the_limit_and_marked_beyond(text: str) -> None:
    assert cleaned(text, 100) == text
    if len(text) > 1:
        assert cleaned(text, len(text) - 1) == text[: len(text) - 2] + CUT
        assert cleaned(text.encode(), len(text) - 1) == text[: len(text) - 2] + CUT


@pytest.mark.parametrize(
    "unit",
    ["a", "\n", "\x1b[", "\x1b[0", "\x1b]a", "\x9d", "\u202e", "é", b"a", b"\xff", "你".encode()],
)
def test_a_huge_text_is_cut_before_it_is_worked_on(unit: str | bytes) -> None:
    text = unit * 20_000_000
    began = time.process_time()
    line = cleaned(text)
    assert time.process_time() - began < 0.05
    assert line.endswith(CUT)
    assert len(line) <= 200


def test_what_follows_much_that_is_not_shown_is_not_passed_over_in_silence() -> None:
    assert cleaned(" " * 100 + "words", 20) == "words"
    assert cleaned(" " * 1000 + "words", 20) == CUT


def test_a_character_cut_between_its_bytes_is_no_odd_byte() -> None:
    text = b"a" + "é".encode() * 10_000
    assert cleaned(text, 10) == "aéééééééé" + CUT


@given(WILD)
def test_text_of_several_lines_keeps_them_and_nothing_that_is_obeyed(text: str) -> None:
    shown = harmless(text)
    assert len(shown) == len(text.replace("\r\n", "\n"))
    assert harmless(shown) == shown
    assert not set(shown) & set(map(chr, (*range(9), *range(11, 32), *range(127, 160))))
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    shown.encode()
    if text.isprintable():
        assert shown == text


@given(st.text(st.characters(codec="utf-8")))
def test_json_that_is_shown_is_the_same_value(text: str) -> None:
    shown = json_shown(json.dumps(text, ensure_ascii=False))
    assert json.loads(shown) == text
    assert harmless(shown) == shown
