"""A paste is one key press with all of it, however it is cut into reads."""

from __future__ import annotations

from typing import Any

import pytest
from prompt_toolkit.input import DummyInput
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.keys import Keys

from mesh.cli.chat import paste_parser
from mesh.cli.chat.paste_parser import _Parser, quick_pastes

BEGIN, END = "\x1b[200~", "\x1b[201~"


def pressed(parser: type[Vt100Parser], *reads: str) -> list[tuple[Any, str]]:
    found: list[tuple[Any, str]] = []
    reader = parser(lambda key: found.append((key.key, key.data)))
    for each in reads:
        reader.feed(each)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 11, 1_000])
def test_it_reads_what_the_librarys_own_reads_wherever_it_is_cut(size: int) -> None:
    whole = f"a{BEGIN}one\ntwo \x1b[201 three{END}b{BEGIN}{END}{BEGIN}four{END}"
    reads = [whole[at : at + size] for at in range(0, len(whole), size)]
    wanted = [
        ("a", "a"),
        (Keys.BracketedPaste, "one\ntwo \x1b[201 three"),
        ("b", "b"),
        (Keys.BracketedPaste, ""),
        (Keys.BracketedPaste, "four"),
    ]
    assert pressed(_Parser, *reads) == wanted
    assert pressed(Vt100Parser, *reads) == wanted, "what this stands in for reads the same"


def test_of_a_paste_beyond_all_measure_no_more_is_kept_than_tells_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paste_parser, "MOST_PASTED", 10)
    reads = ["a" * 10, "b" * 15, *["c" * 10] * 100]
    ((_, text), after) = pressed(_Parser, BEGIN, *reads, END, "x")
    assert text.startswith("a" * 10 + "b")
    assert 10 < len(text) <= 40
    assert after == ("x", "x")


def test_a_paste_of_exactly_the_most_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paste_parser, "MOST_PASTED", 10)
    for reads in (["a" * 10], ["a"] * 10, ["a" * 5, "a" * 5]):
        assert pressed(_Parser, BEGIN, *reads, END) == [(Keys.BracketedPaste, "a" * 10)]


def test_a_paste_of_one_more_than_the_most_shows_that_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paste_parser, "MOST_PASTED", 10)
    twice = [BEGIN, *["a"] * 16, END, BEGIN, *["b"] * 1_000, END]
    (_, one), (_, two) = pressed(_Parser, *twice)
    assert one == "a" * 11
    assert two == "b" * 11


def test_only_a_terminal_is_given_another_parser() -> None:
    found: list[str] = []
    terminal = Vt100Input.__new__(Vt100Input)
    terminal.vt100_parser = Vt100Parser(lambda key: found.append(key.data))
    quick_pastes(terminal)
    terminal.vt100_parser.feed(f"{BEGIN}hi{END}")
    assert isinstance(terminal.vt100_parser, _Parser)
    assert found == ["hi"]
    quick_pastes(DummyInput())
