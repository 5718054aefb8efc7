"""What the rules engine cannot do, found in a pattern before it is compiled, with the way out.

Hyperscan is an automaton: it reads the text once, in linear time, whatever the pattern. Constructs
that need to look back or to try again do not exist in it. Its own messages name the construct but
seldom the place and never the remedy. Source of the list: Hyperscan developer reference, "Pattern
Support: Unsupported Constructs".
"""

from __future__ import annotations

import re

_USE_COMPANIONS = "write a second rule and name it in 'requires' or 'excludes'"
_PLAIN_QUANTIFIER = "drop the '+': the engine never backtracks, so there is nothing to gain"

# Longest first: what stands after "(" decides.
_GROUPS: tuple[tuple[str, str, str], ...] = (
    ("(?<=", "look-behind (?<=...)", f"match the text before as well, or {_USE_COMPANIONS}"),
    ("(?<!", "look-behind (?<!...)", f"match the text before as well, or {_USE_COMPANIONS}"),
    ("(?=", "look-ahead (?=...)", f"match the text after as well, or {_USE_COMPANIONS}"),
    ("(?!", "look-ahead (?!...)", _USE_COMPANIONS + " (excludes)"),
    ("(?>", "an atomic group (?>...)", "write (?:...): the engine never backtracks"),
    ("(?P=", "a back-reference (?P=...)", "write out the alternatives"),
    ("(?P>", "a subpattern call (?P>...)", "repeat the subpattern"),
    ("(?&", "a subpattern call (?&...)", "repeat the subpattern"),
    ("(?R", "recursion (?R)", "write out the depths that matter"),
    ("(?(", "a conditional (?(...)...)", "write both branches as alternatives"),
    ("(?|", "a branch reset (?|...)", "write (?:...): groups capture nothing here"),
    ("(?C", "a callout (?C)", "drop it"),
    ("(*", "a verb (*...)", "drop it; set flags with caseless, multiline, dotall, unicode"),
)
_CALL_BY_NUMBER = re.compile(r"\(\?[+-]?\d")
_BACK_REFERENCE = re.compile(r"\\(?:[1-9]|g\{?-?\w|k[<{'])")
_ESCAPES: dict[str, tuple[str, str]] = {
    "K": (r"\K", "drop it: only whether a rule fires counts, not where its match starts"),
    "G": (r"\G", "drop it: each text is scanned once, from its start"),
    "X": (r"\X", "write '.'"),
    "C": (r"\C", "write '.': the text is scanned as UTF-8"),
    "R": (r"\R", r"write (?:\r\n|\n|\r)"),
    "N": (r"\N", r"write [^\n]"),
    "u": (r"\u", r"write \x{...} with the hexadecimal code point, or the character itself"),
}
_POSSESSIVE = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\+")


def check_pattern(pattern: str, *, unicode: bool, limit: int) -> str:
    """One line on the first thing in ``pattern`` that cannot be used, "" when there is none.

    ``limit``: bytes of UTF-8 that a pattern may have. Positions count characters from 1.
    """
    if not pattern.strip():
        return "the pattern is empty; write what it shall find"
    if "\0" in pattern:
        return f"a NUL character at position {pattern.index(chr(0)) + 1}; write \\x00"
    size = len(pattern.encode("utf-8", "replace"))
    if size > limit:
        return f"a pattern of {size:,} bytes; at most {limit:,}, so split it into 'patterns'"
    return _scan(pattern, unicode)


def _scan(pattern: str, unicode: bool) -> str:
    at = 0
    while at < len(pattern):
        match pattern[at]:
            case "\\":
                if problem := _escape(pattern, at, unicode):
                    return problem
                if pattern.startswith("\\Q", at):  # literal text, to \E or the end
                    end = pattern.find("\\E", at)
                    at = len(pattern) if end < 0 else end
                at += 2
                continue
            case "[":
                at = _class_end(pattern, at)
                continue
            case "(":
                if problem := _group(pattern, at):
                    return problem
            case "*" | "+" | "?" | "{":
                if found := _POSSESSIVE.match(pattern, at):
                    return _refused(f"a possessive quantifier {found[0]}", at, _PLAIN_QUANTIFIER)
        at += 1
    return ""


def _escape(pattern: str, at: int, unicode: bool) -> str:
    if found := _BACK_REFERENCE.match(pattern, at):
        return _refused(f"a back-reference {found[0]}", at, "write out the alternatives")
    letter = pattern[at + 1 : at + 2]
    if letter in _ESCAPES:
        return _refused(_ESCAPES[letter][0], at, _ESCAPES[letter][1])
    if unicode and letter in {"b", "B"}:
        return _refused(f"\\{letter} with unicode = true", at, r"write (?:^|\W) or (?:\W|$)")
    return ""


def _group(pattern: str, at: int) -> str:
    for opening, what, remedy in _GROUPS:
        if pattern.startswith(opening, at):
            return _refused(what, at, remedy)
    if _CALL_BY_NUMBER.match(pattern, at):
        return _refused("a subpattern call (?n)", at, "repeat the subpattern")
    return ""


def _class_end(pattern: str, at: int) -> int:
    """The position after the class that opens at ``at``; the pattern's end if it never closes,
    which the engine then reports."""
    at += 1
    if pattern.startswith("^", at):
        at += 1
    if pattern.startswith("]", at):  # first in a class, it is an ordinary character
        at += 1
    while at < len(pattern) and pattern[at] != "]":
        if pattern.startswith("[:", at) and (end := pattern.find(":]", at)) > 0:
            at = end + 1
        at += 2 if pattern[at] == "\\" else 1
    return at + 1


def _refused(what: str, at: int, remedy: str) -> str:
    return f"{what} at position {at + 1} is not supported; {remedy}"
