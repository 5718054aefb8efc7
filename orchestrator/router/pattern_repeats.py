r"""Counted repeats that make the rules engine compile for minutes, found before it starts.

Every step of a counted repeat is a state of the automaton, and what may follow is tried at each of
them. As long as the repeat takes few kinds of characters that is cheap. A wide class is not: ``.``
is up to four bytes of UTF-8, and it also takes whatever the rest of the pattern begins with.
Measured with Hyperscan 5.4 on one core, flags as rules have them, ``foo`` before and ``bar`` after:

====================  ======= ======= ======= =======
repeat up to          100     150     200     400
====================  ======= ======= ======= =======
``.`` ``[^?]`` ``\D`` 0.10 s  0.31 s  1.7 s   15 s
``[ -~]`` ``[a-z ]``                  0.1 s   0.5 s
``.`` behind ``^``                            0.16 s
====================  ======= ======= ======= =======

``[ -~]{0,1000}`` takes 4 s, ``^.{0,1000}`` 0.7 s, and for ``.{0,1000}`` nobody waits.
A repeat in a repeated group counts as often as the group: ``(.{0,10}){30}`` is one of 300.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_WIDE = 150  # of characters that no class narrows, or a negated one hardly
MOST_NARROW = 512  # of a class within ASCII
MOST_ANCHORED = 1000  # of any, behind the start of the text

_REPEAT = re.compile(r"\{(\d+)(,?)(\d*)\}")
_WIDE_ESCAPES = frozenset("DWSHVN")
_CHEAP_ESCAPES = frozenset("wdshv")
_LEADING_FLAGS = re.compile(r"(?:\(\?[imsx-]+\))*")


@dataclass(slots=True)
class _Atom:
    """What a repeat stands behind: the worst in it, and how often that may come."""

    at: int
    most: int  # the limit that applies to it
    times: int
    shown: str


def long_repeat(pattern: str, *, multiline: bool) -> str:
    """One line on the first counted repeat of a wide class that is too long, "" when there is none.

    ``pattern`` must have passed the other checks. ``multiline``: the rule's flag, with which ``^``
    is no start of the text. Positions count characters from 1.
    """
    anchored = _anchored(pattern, multiline)
    groups: list[list[_Atom]] = [[]]  # the atoms of each group that is open
    last: list[_Atom] = []  # what a quantifier that comes now would repeat
    at = 0
    while at < len(pattern):
        end = at + 1
        match pattern[at]:
            case "\\" if pattern.startswith("\\Q", at):
                stop = pattern.find("\\E", at)
                end = len(pattern) if stop < 0 else stop + 2
                last = []
            case "\\":
                end = _escape_end(pattern, at)
                letter = pattern[at + 1 : at + 2]
                wide = letter in _WIDE_ESCAPES or pattern.startswith("\\P", at)
                last = [_Atom(at, MOST_WIDE, 1, pattern[at:end])] if wide else []
            case "[":
                end = _class_end(pattern, at)
                last = _of_class(pattern[at:end], at)
            case ".":
                last = [_Atom(at, MOST_WIDE, 1, ".")]
            case "(":
                groups.append([])
                last = []
            case ")" if len(groups) > 1:
                last = groups.pop()
                groups[-1].extend(last)
            case "{" if found := _REPEAT.match(pattern, at):
                end = found.end()
                times = max(int(found[1]), int(found[3] or 0))
                for atom in last:
                    atom.times *= max(1, times)
                    most = MOST_ANCHORED if anchored else atom.most
                    if atom.times > most:
                        return _said(atom, found[0], most)
            case "*" | "+" | "?":
                pass  # without a count the engine has one state for it
            case _:
                last = []
        if pattern[at] in ".[\\":
            groups[-1].extend(last)
        at = end
    return ""


def _said(atom: _Atom, repeat: str, most: int) -> str:
    what, place = atom.shown, atom.at + 1
    return (
        f"{what} at position {place}, repeated up to {atom.times:,} times by {repeat}, takes the "
        f"engine seconds to minutes to compile; write at most {most:,}, {what}* for any number, "
        "or a narrower class such as \\w"
    )


def _anchored(pattern: str, multiline: bool) -> bool:
    """Whether a match can only begin where the text does: a leading ``^``, and no alternative to
    it."""
    flags = _LEADING_FLAGS.match(pattern)
    start = flags.end() if flags else 0
    if multiline or "m" in pattern[:start] or not pattern.startswith("^", start):
        return False
    depth, at = 0, start
    while at < len(pattern):
        match pattern[at]:
            case "\\":
                at += 1
            case "[":
                at = _class_end(pattern, at) - 1
            case "(":
                depth += 1
            case ")":
                depth -= 1
            case "|" if depth == 0:
                return False
        at += 1
    return True


def _of_class(text: str, at: int) -> list[_Atom]:
    inner = text[1:-1]
    if inner.startswith("^") or any(f"\\{letter}" in inner for letter in _WIDE_ESCAPES):
        return [_Atom(at, MOST_WIDE, 1, text)]
    if not inner.isascii() or "\\x{" in inner or "\\p" in inner:
        return [_Atom(at, MOST_WIDE, 1, text)]
    if len(inner) == 2 and inner[0] == "\\" and inner[1] in _CHEAP_ESCAPES:
        return []
    return [_Atom(at, MOST_NARROW, 1, text)] if len(inner) > 1 else []


def _escape_end(pattern: str, at: int) -> int:
    """Behind ``\\x{41}``, ``\\p{L}`` and the like, or behind the two characters of others."""
    if pattern[at + 1 : at + 2] in {"x", "p", "P", "o"} and pattern.startswith("{", at + 2):
        stop = pattern.find("}", at)
        return len(pattern) if stop < 0 else stop + 1
    return at + 2


def _class_end(pattern: str, at: int) -> int:
    at += 1
    if pattern.startswith("^", at):
        at += 1
    if pattern.startswith("]", at):  # first in a class, it is an ordinary character
        at += 1
    while at < len(pattern) and pattern[at] != "]":
        if pattern[at] == "\\":
            at += 1
        elif pattern.startswith("[:", at) and (stop := pattern.find(":]", at)) > 0:
            at = stop + 1
        at += 1
    return min(at + 1, len(pattern))
