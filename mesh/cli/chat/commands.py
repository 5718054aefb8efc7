"""What may be typed at a chat's prompt: the commands, and how a line is read. Pure."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import Enum, auto

OFF = "off"  # as an argument: no longer
_QUOTES = '"""'


class Argument(Enum):
    """What a command takes, for its completion."""

    NONE = auto()
    TEXT = auto()
    MODEL = auto()
    SPECIALTY = auto()
    CONVERSATION = auto()
    FILE = auto()
    PART = auto()


@dataclass(frozen=True, slots=True)
class Command:
    """``form``: its argument, as it is shown to people."""

    name: str
    help: str
    argument: Argument = Argument.NONE
    form: str = ""


COMMANDS = {
    each.name: each
    for each in (
        Command("help", "this list"),
        Command("system", "a system text, from now on", Argument.TEXT, "[TEXT|off]"),
        Command("model", "ask this model, past the router", Argument.MODEL, "[ID|off]"),
        Command(
            "specialty", "ask this specialty, past the router", Argument.SPECIALTY, "[NAME|off]"
        ),
        Command("file", "a text file goes with the next prompt", Argument.FILE, "[PATH|off]"),
        Command("retry", "the last prompt again; its new answer replaces the old one"),
        Command("copy", "the last answer, or its last code block", Argument.PART, "[code]"),
        Command("why", "who decided the last answer, and why"),
        Command("stats", "tokens, times and nodes of this conversation"),
        Command("save", "keep this conversation, under this name", Argument.TEXT, "[NAME]"),
        Command("load", "go on with a kept conversation", Argument.CONVERSATION, "[NAME]"),
        Command("new", "begin a new conversation"),
        Command("exit", "leave; Ctrl-D, too"),
    )
}
_ALSO = {"quit": "exit", "bye": "exit", "q": "exit", "?": "help", "clear": "new", "h": "help"}


@dataclass(frozen=True, slots=True)
class Nothing:
    """An empty line."""


@dataclass(frozen=True, slots=True)
class Prompted:
    """A prompt, as it goes to the mesh."""

    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """``name``: of ``COMMANDS``. ``argument``: "" for none."""

    name: str
    argument: str


@dataclass(frozen=True, slots=True)
class Mistaken:
    """Looks like a command and is none. ``why``: one line for a person."""

    why: str


Read = Nothing | Prompted | Called | Mistaken


def read(line: str) -> Read:
    """What was meant by a line, which may be several. ``//`` at its start is a prompt with one
    slash, ``\"\"\"`` around it takes it as it is."""
    text = line.strip()
    if not text:
        return Nothing()
    if text.startswith(_QUOTES):
        inner = text.removeprefix(_QUOTES).removesuffix(_QUOTES).strip("\n")
        return Prompted(inner) if inner.strip() else Nothing()
    if text.startswith("//"):
        return Prompted(text[1:])
    if not text.startswith("/"):
        return Prompted(text)
    word, _, argument = _split(text[1:])
    name = _ALSO.get(word.lower(), word.lower())
    if (command := COMMANDS.get(name)) is None:
        return _unknown(word, text)
    argument = argument.strip()
    if argument and command.argument is Argument.NONE:
        return Mistaken(f"/{name} takes nothing after it")
    if command.argument is Argument.TEXT and argument.startswith(_QUOTES):
        argument = argument.removeprefix(_QUOTES).removesuffix(_QUOTES).strip()
    return Called(name, argument)


def goes_on(text: str) -> bool:
    """Whether Enter begins another line of ``text`` instead of sending it: a block of ``\"\"\"``
    that is not closed, a line that ends with a backslash."""
    opened = text.lstrip()
    if (block := _block(opened)) is not None:
        return not (block.rstrip().endswith(_QUOTES))
    return text.endswith("\\") and not text.endswith("\\\\")


def continued(text: str) -> str:
    """``text`` with the line that comes next begun."""
    return (text if _block(text.lstrip()) is not None else text.removesuffix("\\")) + "\n"


def _block(text: str) -> str | None:
    """What follows the opening quotes of a block, None where there is none."""
    if text.startswith("/"):
        _, _, text = _split(text)
    return text.removeprefix(_QUOTES) if text.startswith(_QUOTES) else None


def _split(text: str) -> tuple[str, str, str]:
    """The first word, the white space after it, the rest."""
    found = re.match(r"(\S*)(\s*)", text)
    return (found[1], found[2], text[found.end() :]) if found else ("", "", text)


def _unknown(word: str, text: str) -> Mistaken:
    near = difflib.get_close_matches(word.lower(), [*COMMANDS, *_ALSO], n=1, cutoff=0.6)
    shown = word if len(word) <= 30 else f"{word[:29]}…"
    if near:
        return Mistaken(f"there is no /{shown}; did you mean /{_ALSO.get(near[0], near[0])}?")
    return Mistaken(
        f"there is no /{shown}; /help lists what there is, // sends a line with a slash"
    )
