"""An answer on a terminal: raw while it comes, rendered in its place when it is whole."""

from __future__ import annotations

import io

import pyte
import pytest

from mesh.cli.chat.rendering import rendered
from mesh.cli.chat.screen import AnswerScreen

MARKDOWN = """# Sums

They are `sum` and **more**:

- one
- two

```python
print(sum([1, 2]))
```
"""
SHOWN = [
    "Sums",
    "",
    "They are sum and more:",
    "",
    " • one",
    " • two",
    "",
    "  print(sum([1, 2]))",
]


class Terminal(io.StringIO):
    """What a person sees, of so many columns and rows."""

    def __init__(self, columns: int = 40, rows: int = 24) -> None:
        super().__init__()
        self.screen = pyte.HistoryScreen(columns, rows, history=1000)
        self.screen.set_mode(pyte.modes.LNM)
        self._stream = pyte.Stream(self.screen)
        self.sent: list[str] = []

    def write(self, text: str) -> int:
        self.sent.append(text)
        self._stream.feed(text)
        return len(text)

    def size(self) -> tuple[int, int]:
        return self.screen.columns, self.screen.lines

    @property
    def lines(self) -> list[str]:
        shown = [line.rstrip() for line in self.screen.display]
        while shown and not shown[-1]:
            shown.pop()
        return shown


def answer(terminal: Terminal, **options: bool) -> AnswerScreen:
    return AnswerScreen(
        terminal, terminal.size, ansi=options.get("ansi", True), colour=options.get("colour", True)
    )


def stream(screen: AnswerScreen, text: str, size: int = 5) -> None:
    for n in range(0, len(text), size):
        screen.text(text[n : n + size])


def test_markdown_is_raw_while_it_comes_and_rendered_in_the_end() -> None:
    terminal = Terminal()
    terminal.write("> what are sums?\n")
    screen = answer(terminal)
    stream(screen, MARKDOWN)
    assert "```python" in terminal.lines
    assert screen.end()
    assert terminal.lines == ["> what are sums?", *SHOWN]
    assert terminal.screen.cursor.x == 0
    assert terminal.screen.cursor.y == len(SHOWN) + 1


def test_the_raw_text_is_replaced_in_one_piece() -> None:
    terminal = Terminal()
    screen = answer(terminal)
    stream(screen, MARKDOWN)
    before = len(terminal.sent)
    screen.end()
    (replaced,) = [text for text in terminal.sent[before:] if text != "\n"]
    assert replaced.startswith("\x1b[?2026h\r\x1b[")
    assert replaced.endswith("\x1b[?2026l")


def test_at_the_end_of_the_screen_it_stays_where_it_is() -> None:
    terminal = Terminal(rows=16)
    for number in range(30):
        terminal.write(f"line {number}\n")
    screen = answer(terminal)
    stream(screen, MARKDOWN)
    assert screen.end()
    lines = terminal.lines
    assert lines[-len(SHOWN) :] == SHOWN
    assert lines[-len(SHOWN) - 1] == "line 29"


def test_a_block_that_has_left_the_screen_stays_raw() -> None:
    terminal = Terminal(rows=8)
    screen = answer(terminal)
    stream(screen, "```\n" + "x = 1\n" * 20 + "```\n")
    assert not screen.end()
    assert terminal.lines[-1] == "```"


@pytest.mark.parametrize("size", [1, 4, 30])
def test_an_answer_longer_than_the_screen_is_rendered_before_it_leaves_it(size: int) -> None:
    terminal = Terminal(rows=14)
    terminal.write("> all of it\n")
    screen = answer(terminal)
    parts = [f"Part **{n}** says `more`.\n\n```python\nx = {n}\n```\n\n" for n in range(9)]
    parts += ["1. one\n\n2. two\n\n   and\n\n3. three\n"]
    stream(screen, "".join(parts), size=size)
    assert screen.end()
    gone = ["".join(row[x].data for x in range(40)) for row in terminal.screen.history.top]
    seen = [line.rstrip() for line in (*gone, *terminal.lines) if line.strip()]
    wanted = ["> all of it"]
    for n in range(9):
        wanted += [f"Part {n} says more.", f"  x = {n}"]
    assert seen == [*wanted, " 1 one", " 2 two", "   and", " 3 three"]


def test_after_a_block_that_stayed_raw_the_next_ones_are_rendered() -> None:
    terminal = Terminal(rows=10)
    screen = answer(terminal)
    stream(screen, "```\n" + "x = 1\n" * 20 + "```\n\nSome **words**\n\nand `more`.\n")
    assert screen.end()
    assert terminal.lines[-5:] == ["```", "", "Some words", "", "and more."]


def test_where_a_note_stands_amid_what_cannot_be_replaced_nothing_is() -> None:
    terminal = Terminal(rows=10)
    screen = answer(terminal)
    stream(screen, "```\n" + "x = 1\n" * 20 + "```\n\n")
    screen.text("Some **words**")
    screen.note("waiting")
    screen.text("and more\n")
    assert not screen.end()
    assert terminal.lines[-3:] == ["Some **words**", "[waiting]", "and more"]


def test_after_a_change_of_size_it_stays_raw_and_goes_on_in_the_new_width() -> None:
    terminal = Terminal(columns=80)
    screen = answer(terminal)
    screen.text("**some** words ")
    terminal.screen.resize(columns=20)
    screen.text("and quite a few words behind")
    assert not screen.end()
    assert "**some**" in terminal.lines[0]
    assert all(len(line) < 20 for line in terminal.lines)


def test_a_dumb_terminal_gets_no_sequences() -> None:
    terminal = Terminal()
    screen = answer(terminal, ansi=False, colour=False)
    stream(screen, MARKDOWN)
    screen.note("waiting")
    screen.end()
    assert "\x1b" not in "".join(terminal.sent)
    assert terminal.lines[0] == "# Sums"
    assert terminal.lines[-1] == "[waiting]"


def test_where_it_went_on_elsewhere_stands_a_mark() -> None:
    terminal = Terminal()
    screen = answer(terminal)
    screen.text("It went")
    screen.mark()
    screen.note("the node is lost; waiting up to 30 s")
    screen.text(" on.")
    assert terminal.lines[:2] == ["It went↻", "[the node is lost; waiting up to 30 s]"]
    screen.end()
    assert terminal.lines == ["It went↻ on."]


def test_a_mark_before_the_first_word_is_none() -> None:
    terminal = Terminal()
    screen = answer(terminal)
    screen.mark()
    screen.text("Begun")
    screen.end()
    assert terminal.lines == ["Begun"]


@pytest.mark.parametrize("colour", [True, False])
def test_nothing_in_an_answer_is_obeyed(colour: bool) -> None:
    evil = "a\x1b[2Jb\x1b]52;c;eA==\x07c\x9b31md\u202ee &#27;[2J `\x1b[1m`\n\n```\n\x1b[3m\n```\n"
    terminal = Terminal()
    terminal.write("> here\n")
    screen = answer(terminal, colour=colour)
    stream(screen, evil, size=1)
    screen.end()
    assert terminal.lines[0] == "> here"
    assert "\x1b]52" not in "".join(terminal.sent)
    assert "a␛[2Jb␛]52;c;eA==␇c" in " ".join(terminal.lines)


@pytest.mark.parametrize("width", [8, 20, 40, 80, 200])
def test_a_rendering_keeps_to_its_width(width: int) -> None:
    table = "\n| a | b |\n|---|---|\n| one two three | four five six |\n"
    lines = rendered(MARKDOWN + table + "word " * 100, width, colour=False).split("\n")
    assert max(map(len, lines)) <= width
    assert lines[-1] == ""


def test_verses_keep_their_lines_and_links_show_where_they_lead() -> None:
    text = rendered("Roses\nare [red](http://evil.example)", 60, colour=False)
    assert text == "Roses\nare red (http://evil.example)\n"


def test_an_empty_answer_leaves_nothing() -> None:
    terminal = Terminal()
    screen = answer(terminal)
    screen.text(" \n")
    assert screen.end()
    assert terminal.lines == []
