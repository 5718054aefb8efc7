"""The tour at 40, 80 and 200 columns, as text.

A picture is held as text; what a terminal adds (colour, taking a word back) is held beside it.
"""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mesh.cli.tour import page
from mesh.cli.tour.story import Seam
from mesh.cli.tour.words import Words, mark

SEAM = Seam(from_node="robin", to_node="wren", at_token=6, gap_s=0.048, in_word=False)
BEFORE = (" A", " network", " is", " a", " system", " of")
AFTER = (" inter", "connected", " devices", ".")

PICTURES = {
    40: (
        "  A network is a system of [⟂ robin",
        "  killed · goes on at wren after 48 ms]",
        "  interconnected devices.",
    ),
    80: (
        "  A network is a system of [⟂ robin killed · goes on at wren after 48 ms]",
        "  interconnected devices.",
    ),
    200: (
        "  A network is a system of [⟂ robin killed · goes on at wren after 48 ms] "
        "interconnected devices.",
    ),
}
NEXT = {
    40: (
        "  # a conversation",
        "  mesh chat",
        "  # kill a node again",
        "  mesh demo failover --endpoint HOST:PORT",
    ),
    80: (
        "  mesh chat                                # a conversation",
        "  mesh demo failover --endpoint HOST:PORT  # kill a node again",
    ),
}


def streamed(width: int, *, ansi: bool, colour: bool) -> str:
    out = io.StringIO()
    words = Words(out, width, ansi=ansi, colour=colour)
    for text in BEFORE:
        words.text(text)
    words.seam(SEAM)
    for text in AFTER:
        words.text(text)
    words.end()
    return out.getvalue()


def printed(width: int, content: object, *, soft_wrap: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    console.print(content, soft_wrap=soft_wrap)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", PICTURES)
def test_the_mark_stands_in_the_sentence_and_words_stay_whole(width: int) -> None:
    lines = streamed(width, ansi=False, colour=False).splitlines()

    assert tuple(line.rstrip() for line in lines) == PICTURES[width]


def test_a_pipe_gets_neither_colour_nor_cursor() -> None:
    assert "\x1b" not in streamed(40, ansi=False, colour=False)


def test_on_a_terminal_the_mark_is_coloured_and_the_words_are_not() -> None:
    shown = streamed(200, ansi=True, colour=True)

    assert f"\x1b[1;33m{mark(SEAM)}\x1b[0m" in shown
    assert shown.count("\x1b") == 2
    assert "\x1b[1;33m" not in streamed(200, ansi=True, colour=False)


def test_a_mark_within_a_word_stands_right_there() -> None:
    within = Seam(from_node="a", to_node="b", at_token=6, gap_s=0.048, in_word=True)

    assert mark(within).startswith("[⟂")
    assert mark(SEAM).startswith(" [⟂")


def test_names_of_strangers_do_nothing_to_a_terminal() -> None:
    hostile = Seam(from_node="a\x1b[2J", to_node="b\nc", at_token=6, gap_s=1.0, in_word=False)

    assert "\x1b" not in mark(hostile)
    assert "\n" not in mark(hostile)


@pytest.mark.parametrize("width", NEXT)
def test_commands_stay_whole_and_may_be_copied(width: int) -> None:
    lines = (
        ("mesh chat", "a conversation"),
        ("mesh demo failover --endpoint HOST:PORT", "kill a node again"),
    )

    assert tuple(printed(width, page.what_next(lines), soft_wrap=True).splitlines()) == NEXT[width]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_line_of_words_leaves_no_blanks_and_breaks_no_word(width: int) -> None:
    text = "robin (pid 12) was killed; wren goes on at token 20 after 48 ms. Checked: all of it."

    lines = printed(width, page.aside(text)).splitlines()

    assert " ".join(line.strip() for line in lines) == text
    assert all(line == line.rstrip() and line.startswith("  ") for line in lines)
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_no_number_loses_its_unit_where_a_line_ends(width: int) -> None:
    text = "knowledge via classifier (0.42) · node robin · first token 160 ms · 62 tokens/s"

    lines = printed(width, page.aside(text)).splitlines()

    assert " ".join(lines).replace("·", "").split() == text.replace("·", "").split()
    assert not any(line.strip() == "·" for line in lines)
    assert any("62 tokens/s" in line for line in lines)
    assert any("token 160 ms" in line for line in lines)
    assert all(len(line) <= width for line in lines)
