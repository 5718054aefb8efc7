"""What the rules engine cannot do, found in a pattern before it is compiled, with the way out.

Hyperscan is an automaton: it reads the text once, in linear time, whatever the pattern. Constructs
that need to look back or to try again do not exist in it. Its own messages name the construct but
seldom the place and never the remedy. Source of the list: Hyperscan developer reference, "Pattern
Support: Unsupported Constructs", and the constructs of PCRE, Python, Java and Oniguruma, tried.

Also refused is what the engine takes without a word but reads otherwise than its writer meant:
``{,3}`` and ``[a&&b]``, which are plain text to it, and escapes that it does not know. And counted
repeats that it would compile for minutes (``pattern_repeats``). And ``\\W`` and its like: to the
engine ``\\w`` is ASCII, so that all other letters are blanks to them.
"""

from __future__ import annotations

import re

from orchestrator.router.pattern_repeats import long_repeat

_USE_COMPANIONS = "write a second rule and name it in 'requires' or 'excludes'"
# What is no letter, digit or underscore in any script, near enough.
_NO_LETTER = r"[^\w\x{c0}-\x{1fff}\x{2c00}-\x{ffff}]"
_NAME_BLANKS = f"write [\\s[:punct:]], or {_NO_LETTER}, or set unicode = true"
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
    ("(?{", "embedded code (?{...})", "drop it: a rule is a pattern, not a program"),
    ("(??{", "embedded code (??{...})", "drop it: a rule is a pattern, not a program"),
    ("(?~", "an absent operator (?~...)", _USE_COMPANIONS + " (excludes)"),
    ("(?*", "a look-around (?*...)", _USE_COMPANIONS),
    ("(?^", "a flag reset (?^...)", "name the flags, as in (?-i)"),
    ("(*", "a verb (*...)", "drop it; set flags with caseless, multiline, dotall, unicode"),
)
_CALL_BY_NUMBER = re.compile(r"\(\?[+-]?\d")
_BACK_REFERENCE = re.compile(r"\\(?:[1-9]|g\{?-?\w|k[<{'])")
_CALL_BY_NAME = re.compile(r"\\g[<']")
_FLAGS = re.compile(r"\(\?([A-Za-z]*)(-?)([A-Za-z]*)[:)]")
_KNOWN_FLAGS = frozenset("imsx")
_ESCAPES: dict[str, tuple[str, str]] = {
    "K": (r"\K", "drop it: only whether a rule fires counts, not where its match starts"),
    "G": (r"\G", "drop it: each text is scanned once, from its start"),
    "X": (r"\X", "write '.'"),
    "C": (r"\C", "write '.': the text is scanned as UTF-8"),
    "R": (r"\R", r"write (?:\r\n|\n|\r)"),
    "N": (r"\N", r"write [^\n]"),
    "u": (r"\u", r"write \x{...} with the hexadecimal code point, or the character itself"),
    "l": (r"\l", "write the letter itself; rules are caseless unless caseless = false"),
    "L": (r"\L", "write the letters themselves; rules are caseless unless caseless = false"),
    "U": (r"\U", r"write \x{...} with the hexadecimal code point, or the character itself"),
    **{c: (f"\\{c}", r"write \b, the border of a word") for c in "mMyY"},
    **{c: (f"\\{c}", "the engine knows no such escape; write the letter itself") for c in "ijqTIO"},
}
# In a class these mean something else than outside, or what they always mean.
_NOT_IN_A_CLASS = frozenset("BRXNKGlLUu")
_POSSESSIVE = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\+")
_NO_LOWER_BOUND = re.compile(r"\{,\s*(\d+)\}")
_POSIX = re.compile(r"\[([:.=])([^\]]*?)\1\]")
_POSIX_CLASSES = {
    *("alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph"),
    *("lower", "print", "punct", "space", "upper", "word", "xdigit"),
}
_LETTERS = frozenset({"alnum", "alpha", "word"})  # of ASCII, unless unicode = true


def check_pattern(pattern: str, *, unicode: bool, limit: int, multiline: bool = False) -> str:
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
    return _scan(pattern, unicode) or long_repeat(pattern, multiline=multiline)


def _scan(pattern: str, unicode: bool) -> str:
    at = 0
    spaced = False  # (?x): "#" begins a comment
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
                end, problem = _class(pattern, at, unicode)
                if problem:
                    return problem
                at = end
                continue
            case "#" if spaced:
                end = pattern.find("\n", at)
                at = len(pattern) if end < 0 else end
            case "(":
                if pattern.startswith("(?#", at):
                    end = pattern.find(")", at)
                    at = len(pattern) if end < 0 else end + 1
                    continue
                if problem := _group(pattern, at):
                    return problem
                flags = _FLAGS.match(pattern, at)
                spaced = (spaced or "x" in flags[1]) and "x" not in flags[3] if flags else spaced
            case "{" if found := _NO_LOWER_BOUND.match(pattern, at):
                return _refused(f"a repeat {found[0]}", at, f"write {{0,{found[1]}}}")
            case "*" | "+" | "?" | "{":
                if found := _POSSESSIVE.match(pattern, at):
                    return _refused(f"a possessive quantifier {found[0]}", at, _PLAIN_QUANTIFIER)
        at += 1
    return ""


def _escape(pattern: str, at: int, unicode: bool) -> str:
    if _CALL_BY_NAME.match(pattern, at):
        return _refused(f"a subpattern call {pattern[at : at + 3]}", at, "repeat the subpattern")
    if found := _BACK_REFERENCE.match(pattern, at):
        return _refused(f"a back-reference {found[0]}", at, "write out the alternatives")
    letter = pattern[at + 1 : at + 2]
    if letter in _ESCAPES:
        return _refused(_ESCAPES[letter][0], at, _ESCAPES[letter][1])
    if letter == "W" and not unicode:
        return _foreign("\\W", at)
    if unicode and letter in {"b", "B"}:
        return _refused(f"\\{letter} with unicode = true", at, r"write (?:^|\W) or (?:\W|$)")
    return ""


def _group(pattern: str, at: int) -> str:
    for opening, what, remedy in _GROUPS:
        if pattern.startswith(opening, at):
            return _refused(what, at, remedy)
    if _CALL_BY_NUMBER.match(pattern, at):
        return _refused("a subpattern call (?n)", at, "repeat the subpattern")
    if flags := _FLAGS.match(pattern, at):
        for flag in flags[1] + flags[3]:
            if flag not in _KNOWN_FLAGS:
                remedy = "drop it; the engine knows (?i), (?m), (?s) and (?x)"
                return _refused(f"an inline flag (?{flag})", at, remedy)
    return ""


def _class(pattern: str, at: int, unicode: bool) -> tuple[int, str]:
    """The position after the class that opens at ``at``, and what is wrong in it. A class that
    never closes ends with the pattern, and the engine reports it."""
    opened = at
    at += 1
    negated = pattern.startswith("^", at)
    if negated:
        at += 1
    words = beyond = False  # has it ASCII's letters all alone, or others as well
    if pattern.startswith("]", at):  # first in a class, it is an ordinary character
        at += 1
    while at < len(pattern) and pattern[at] != "]":
        if found := _POSIX.match(pattern, at):
            kind, name = found[1], found[2].removeprefix("^")
            if kind != ":":
                return at, _refused(f"a collating element {found[0]}", at, "write the characters")
            if name not in _POSIX_CLASSES:
                known = ", ".join(sorted(_POSIX_CLASSES))
                return at, _refused(f"a class {found[0]}", at, f"the engine knows {known}")
            if name in _LETTERS:
                if found[1] == ":" and found[2].startswith("^") and not unicode:
                    return at, _foreign(found[0], at)
                words = True
            at = found.end()
            continue
        if pattern.startswith("&&", at):
            remedy = "write the characters that both have"
            return at, _refused("a class intersection &&", at, remedy)
        if pattern[at] == "\\":
            if (letter := pattern[at + 1 : at + 2]) in _NOT_IN_A_CLASS:
                remedy = "write out the characters that the class shall have"
                return at, _refused(f"\\{letter} in a class", at, remedy)
            if letter == "W" and not unicode:
                return at, _foreign("\\W in a class", at)
            words = words or letter == "w"
            beyond = beyond or letter in {"p", "P"} or pattern.startswith("x{", at + 1)
            at += 1
        beyond = beyond or pattern[at : at + 1] > "\x7f"
        at += 1
    if negated and words and not beyond and not unicode:
        return at, _foreign(pattern[opened : at + 1], opened)
    return at + 1, ""


def _foreign(what: str, at: int) -> str:
    return (
        f"{what} at position {at + 1} takes every letter beyond ASCII for a blank, so that it "
        f"fires on text in other languages; {_NAME_BLANKS}"
    )


def _refused(what: str, at: int, remedy: str) -> str:
    return f"{what} at position {at + 1} is not supported; {remedy}"
