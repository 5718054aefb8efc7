"""Prompts without what is private in them: the phrase stays, who and what it is about goes.

A piece of text between two spaces is kept when it is one of the listed words (``words.py``), or two
of them joined by a hyphen, with ordinary punctuation around it. Anything else is masked by shape:
letters become ``x`` and ``X``, digits ``0``; so are names, numbers, e-mail addresses, URLs, paths
and keys. A piece is masked whole, listed words within it too: a password may be made of them. So is
a capitalised word right behind a masked one: "King" is listed, and Stephen King is somebody. Masks
are of at most twelve letters or six digits, and punctuation of at most three characters in a row,
so that lengths say little.

    "What is Jane Roe's IBAN, DE89 3704?"  ->  "What is Xxxx Xxx'x XXXX, XX00 0000?"
"""

from __future__ import annotations

import re

from orchestrator.router.folding import shown
from orchestrator.rules.words import KEPT

_PIECE = re.compile(r"\S+")
_EDGES = re.compile(r"([^\w\s]*)(.*?)([^\w\s]*)", re.DOTALL)
_RUN = re.compile(r"(?P<letters>[^\W\d_]+)|(?P<digits>\d+)|(?P<signs>[\W_]+)")
_LETTERS = 12
_DIGITS = 6
_SIGNS = 3


def redact(text: str) -> str:
    """``text`` in what it shows (``folding``), with every piece masked that is not listed. Linear
    time. No four characters in a row of a masked piece are left, except that were masks already."""
    after_name = False

    def replaced(found: re.Match[str]) -> str:
        nonlocal after_name
        piece = found[0]
        capital = piece[:1].isupper()
        kept = not (after_name and capital) and _is_kept(piece)
        after_name = capital and not kept and piece[-1].isalpha()
        return piece if kept else _mask(piece)

    return _PIECE.sub(replaced, shown(text))


def _is_kept(piece: str) -> bool:
    parts = _EDGES.fullmatch(piece)
    if parts is None:
        return False
    before, core, after = parts.groups()
    return len(before) <= _SIGNS and len(after) <= _SIGNS and _is_listed(core.lower())


def _is_listed(core: str) -> bool:
    if core in KEPT:
        return True
    first, hyphen, second = core.partition("-")
    return hyphen != "" and first in KEPT and second in KEPT


def _mask(piece: str) -> str:
    return _RUN.sub(_masked_run, piece)


def _masked_run(found: re.Match[str]) -> str:
    run = found[0]
    if found["digits"] is not None:
        return "0" * min(len(run), _DIGITS)
    if found["letters"] is None:
        return run[:_SIGNS]
    # Scripts without cases, and what letters such as U+2160 are, count as small.
    return "".join("X" if letter.isupper() else "x" for letter in run[:_LETTERS])
