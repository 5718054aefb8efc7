"""Where an answer may be taken apart while it grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.chat.blocks import whole_blocks


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", ""),
        ("one\n", ""),
        ("one\n\n", ""),
        ("one\n\ntwo", "one\n\n"),
        ("one\n\ntwo\n\nthree", "one\n\ntwo\n\n"),
        ("one\n\n    code", ""),
        ("```\na\n\nb\n", ""),
        ("```\na\n\nb\n```\n\nc", "```\na\n\nb\n```\n\n"),
        ("````\n```\n\nb\n````\n\nc", "````\n```\n\nb\n````\n\n"),
        ("~~~\n```\n\nb\n~~~\n\nc", "~~~\n```\n\nb\n~~~\n\n"),
        ("1. a\n\n2. b\n", ""),
        ("- a\n\n  more\n\n- b\n\ntext", "- a\n\n  more\n\n- b\n\n"),
        ("text\n\n- a\n\n- b", "text\n\n"),
        ("- a\n\ntext\n\n- b", "- a\n\ntext\n\n"),
        ("  text\n\n- a", "  text\n\n"),
        ("\n- a", "\n"),
    ],
)
def test_a_text_comes_apart_between_blocks_that_are_complete(text: str, whole: str) -> None:
    assert text[: whole_blocks(text)] == whole


@given(st.text(alphabet="a`~\n -1.*", max_size=80))
def test_it_comes_apart_at_the_beginning_of_a_line(text: str) -> None:
    at = whole_blocks(text)
    assert at == 0 or text[:at].endswith("\n")
