"""Words that come in pieces are broken into lines between them, whatever the pieces."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.cli.chat.wrap import Wrapper

TEXT = "The quick brown fox jumps over the lazy dog again and again"


def shown(width: int, *pieces: str, ansi: bool = True) -> tuple[list[str], Wrapper]:
    """The lines of a terminal of that width, and who filled them."""
    screen = pyte.Screen(width, 200)
    screen.set_mode(pyte.modes.LNM)
    stream = pyte.Stream(screen)
    wrap = Wrapper(width, ansi=ansi)
    for piece in pieces:
        stream.feed(wrap.feed(piece))
    stream.feed(wrap.rest())
    assert (screen.cursor.y, screen.cursor.x) == (wrap.rows, wrap.column)
    return [line.rstrip() for line in screen.display[: wrap.rows + 1]], wrap


@pytest.mark.parametrize("ansi", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_words_stay_whole_however_they_come(size: int, ansi: bool) -> None:
    pieces = [TEXT[n : n + size] for n in range(0, len(TEXT), size)]
    lines, _ = shown(20, *pieces, ansi=ansi)
    assert lines == ["The quick brown fox", "jumps over the lazy", "dog again and again"]


def test_a_word_longer_than_a_line_goes_on_at_the_edge() -> None:
    assert shown(10, "a ", "b" * 20, " c")[0] == ["a bbbbbbb", "bbbbbbbbb", "bbbb c"]


def test_indentation_and_empty_lines_stay() -> None:
    assert shown(20, "def f():\n    return 1\n\n\tx")[0] == [
        "def f():",
        "    return 1",
        "",
        "    x",
    ]


def test_wide_characters_count_twice() -> None:
    _, wrap = shown(9, "ab 日本語")
    assert (wrap.rows, wrap.column) == (1, 6)
    _, wrap = shown(9, "日本語日本語")
    assert (wrap.rows, wrap.column) == (1, 4)


def test_without_sequences_nothing_is_taken_back() -> None:
    wrap = Wrapper(12, ansi=False)
    assert wrap.feed("hello wor") == "hello "
    assert wrap.feed("ldly ") == "\nworldly "
    assert wrap.rest() == ""


def test_a_terminal_made_narrower_goes_on_within_it() -> None:
    wrap = Wrapper(80)
    wrap.feed("x" * 50)
    wrap.resize(20)
    assert wrap.column < 20
    wrap.feed(" more words than fit here")
    assert wrap.column < 20


def test_on_a_terminal_half_a_word_is_shown_at_once() -> None:
    assert Wrapper(12).feed("hel") == "hel"


@pytest.mark.parametrize("width", [0, 1, 2])
def test_the_narrowest_terminal_has_room_for_a_character(width: int) -> None:
    assert Wrapper(width).feed("ab c") == "a\nb\nc"


@pytest.mark.parametrize(
    ("column", "width", "after"), [(50, 20, 10), (39, 20, 0), (10, 11, 10), (10, 80, 10)]
)
def test_where_a_resized_terminal_has_the_cursor(column: int, width: int, after: int) -> None:
    wrap = Wrapper(80)
    wrap.feed("x" * column)
    wrap.resize(width)
    assert wrap.column == after


def test_a_word_that_the_terminal_has_broken_is_not_taken_back() -> None:
    wrap = Wrapper(80)
    wrap.feed("x" * 25)
    wrap.resize(20)
    assert wrap.feed("y" * 15) == "\n" + "y" * 15


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(alphabet="ab \n\t日x-", max_size=12), max_size=12),
    st.integers(5, 30),
    st.booleans(),
)
def test_nothing_is_lost_and_no_line_is_too_long(pieces: list[str], width: int, ansi: bool) -> None:
    lines, _ = shown(width, *pieces, ansi=ansi)
    whole = "".join(pieces)
    wanted = "".join(whole.split())
    assert "".join("".join(lines).split()) == wanted
