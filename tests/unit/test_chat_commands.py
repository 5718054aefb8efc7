"""How a line typed in a chat is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.chat.commands import (
    COMMANDS,
    Called,
    Mistaken,
    Nothing,
    Prompted,
    Read,
    continued,
    goes_on,
    read,
)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("", Nothing()),
        ("  \n ", Nothing()),
        ("hello there", Prompted("hello there")),
        ("  two\nlines ", Prompted("two\nlines")),
        ("//etc/hosts is what?", Prompted("/etc/hosts is what?")),
        ('"""\n/not a command\n"""', Prompted("/not a command")),
        ('"""  """', Nothing()),
        ("/help", Called("help", "")),
        ("/HELP ", Called("help", "")),
        ("/quit", Called("exit", "")),
        ("/system be brief\nand kind", Called("system", "be brief\nand kind")),
        ('/system """\nbe\nbrief\n"""', Called("system", "be\nbrief")),
        ("/file ~/a b.txt", Called("file", "~/a b.txt")),
        ("/model\tx", Called("model", "x")),
        ('/load """x"""', Called("load", '"""x"""')),
    ],
)
def test_a_line_is_a_prompt_or_a_command(line: str, meant: Read) -> None:
    assert read(line) == meant


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("/sistem x", "did you mean /system?"),
        ("/quti", "did you mean /exit?"),
        ("/etc/passwd has what?", "// sends a line with a slash"),
        ("/", "/help lists"),
        ("/" + "x" * 10_000, "…; /help lists"),
        ("/retry now", "/retry takes nothing after it"),
    ],
)
def test_what_is_no_command_says_what_to_do(line: str, remedy: str) -> None:
    found = read(line)
    assert isinstance(found, Mistaken)
    assert remedy in found.why
    assert len(found.why) < 200


@pytest.mark.parametrize(
    ("word", "shown"), [("x" * 30, "x" * 30), ("x" * 31, "x" * 29 + "…"), ("sistem", "sistem")]
)
def test_what_is_no_command_is_shown_as_far_as_it_has_room(word: str, shown: str) -> None:
    found = read(f"/{word}")
    assert isinstance(found, Mistaken)
    assert found.why.startswith(f"there is no /{shown}; ")


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("hello", False),
        ("hello \\", True),
        ("a path \\\\", False),
        ('"""', True),
        ('  """a', True),
        ('"""a"""  ', False),
        ('/system   """a', True),
        ('"""a\nb', True),
        ('"""a\nb"""', False),
        ('/system """a', True),
        ('/system """a"""', False),
        ('say """', False),
        ("/system a\\", True),
    ],
)
def test_enter_goes_on_with_a_line_that_says_so(text: str, more: bool) -> None:
    assert goes_on(text) is more


def test_a_backslash_goes_and_a_block_stays_as_it_is() -> None:
    assert continued("one \\") == "one \n"
    assert continued('"""a\\') == '"""a\\\n'


def test_every_command_is_read_by_its_name() -> None:
    for name in COMMANDS:
        assert read(f"/{name}") == Called(name, "")


@given(st.text(max_size=60))
def test_any_line_is_read(line: str) -> None:
    read(line)
    goes_on(line)
    continued(line)
