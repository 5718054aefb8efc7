"""Words on the screen as they come: piece by piece, with the mark set off."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from mesh.cli.tour import words as module
from mesh.cli.tour.story import Seam
from mesh.cli.tour.words import Unseen, Words, mark, on_screen

SEAM = Seam(from_node="robin", to_node="wren", at_token=6, gap_s=0.048, in_word=False)
LOUD, FAINT, PLAIN = "\x1b[1;33m", "\x1b[2m", "\x1b[0m"


class Out(io.StringIO):
    """``seen``: what was there at each flush."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def flush(self) -> None:
        self.seen.append(self.getvalue())


def shown(do: Callable[[Words], None], *, width: int = 80, ansi: bool = True) -> Out:
    out = Out()
    do(Words(out, width, ansi=ansi, colour=ansi))
    return out


def test_each_piece_is_seen_as_it_comes_behind_one_indent() -> None:
    def told(words: Words) -> None:
        words.text("")
        words.text("  ")
        words.text(" Light")
        words.text(" is")
        words.end()

    assert shown(told).seen == ["  Light", "  Light is", "  Light is\n"]


def test_only_the_blanks_before_the_first_word_go() -> None:
    def told(words: Words) -> None:
        for text in (" a", " b", "\n", " c"):
            words.text(text)
        words.end()
        words.text(" d")
        words.end()

    assert shown(told).getvalue() == "  a b\n   c\n  d\n"


def test_an_end_of_nothing_writes_nothing() -> None:
    def told(words: Words) -> None:
        words.end()
        words.text("")
        words.end()

    assert shown(told).seen == []


def test_a_word_that_was_held_stands_before_the_mark_and_at_the_end() -> None:
    def told(words: Words) -> None:
        words.text("half")
        words.seam(SEAM)
        words.text(" whole")
        words.waiting("nobody\x1b[2J")
        words.text(" last")
        words.end()

    pipe = shown(told, width=200, ansi=False).getvalue()
    assert pipe.startswith(f"  half{mark(SEAM)} whole [nobody")
    assert pipe.endswith("] last\n")
    assert "\x1b" not in pipe


def test_a_word_that_was_held_is_no_part_of_what_is_said_of_it() -> None:
    for say, style in (
        (lambda words: words.seam(SEAM), LOUD),
        (lambda words: words.waiting("x"), FAINT),
    ):
        out = Out()
        words = Words(out, 80, ansi=False, colour=True)
        words.text("half")
        say(words)
        assert out.getvalue().startswith(f"  half{style} [")


def test_what_is_waited_for_is_faint_and_a_kill_is_loud() -> None:
    def told(words: Words) -> None:
        words.text("a")
        words.waiting("w" * 300)
        words.seam(SEAM)

    screen = shown(told, width=600).getvalue()
    assert screen.startswith(f"  a{FAINT} [www")
    assert f"]{PLAIN}{LOUD}{mark(SEAM)}{PLAIN}" in screen
    assert screen.count("w") <= 200 + mark(SEAM).count("w")


def test_lines_are_broken_within_the_indent() -> None:
    for width, lines in ((9, ["  aaa", "  bbb"]), (10, ["  aaa bbb"]), (1, ["  a"] * 3)):
        out = shown(lambda words: words.text("aaa bbb" if width > 1 else "aaa"), width=width)  # noqa: B023
        assert [line.rstrip() for line in out.getvalue().splitlines()] == lines


def test_what_a_model_says_does_nothing_to_the_terminal() -> None:
    assert "\x1b[2J" not in shown(lambda words: words.text("a\x1b[2J")).getvalue()


@pytest.mark.parametrize("inner", [True, False])
def test_a_mark_names_both_in_one_line(inner: bool) -> None:
    long = Seam(from_node="r" * 99, to_node="w" * 99, at_token=1, gap_s=2.5, in_word=inner)
    found = mark(long)
    assert found.strip().startswith("[⟂ rrr")
    assert found.endswith(" after 2.5 s]")
    assert 30 < found.count("r") <= 40 + len("after")
    assert 30 < found.count("w") <= 40


@pytest.mark.parametrize(
    ("term", "terminal", "no_color", "ansi", "colour"),
    [
        ("xterm", True, False, True, True),
        ("xterm", True, True, True, False),
        ("dumb", True, False, False, False),
        ("", True, False, True, True),
        ("xterm", False, False, False, False),
    ],
)
def test_on_the_screen_it_is_as_wide_and_as_colourful_as_that(
    term: str,
    terminal: bool,
    no_color: bool,
    ansi: bool,
    colour: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Console(
        file=io.StringIO(), width=33, force_terminal=terminal, no_color=no_color, _environ={}
    )
    monkeypatch.setattr(module, "console", lambda: screen)
    monkeypatch.setenv("TERM", term)
    out = Out()
    monkeypatch.setattr("sys.stdout", out)
    words = on_screen()
    words.text("a" * 33)
    words.seam(SEAM)
    words.end()
    lines = out.getvalue().splitlines()
    assert lines[0].rstrip() == "  " + "a" * 30, "the last column stays free"
    assert (LOUD in out.getvalue()) is colour
    held = Out()
    monkeypatch.setattr("sys.stdout", held)
    on_screen().text("a")
    assert bool(held.getvalue()) is ansi, "without a cursor a word is shown when it is whole"


def test_nobody_sees_what_a_program_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    view = Unseen()
    view.text("a")
    view.seam(SEAM)
    view.waiting("b")
    view.end()
    assert capsys.readouterr().out == ""
