"""The front door of the exact tools: ``read`` a text, then ``answer`` what is quick.

problem = read(text, today)
if problem is None:        # not ours
elif problem.slow:         # await SolverProcess.solve(problem, timeout_s)
else:                      # answer(problem)
"""

from __future__ import annotations

import re
from datetime import date

from mesh.exact.base import QUICK_CHARACTERS, SLOW_CHARACTERS, Declined, Exact, Problem
from mesh.exact.plain import MOST_OTHER, ambiguous_numbers, plain, written_out
from mesh.exact.quick import calculator, dates, sums, unit_forms, units
from mesh.exact.quick.calculator import Sum
from mesh.exact.quick.dates import Dated
from mesh.exact.quick.numerals import spelt
from mesh.exact.quick.units import Conversion
from mesh.exact.quick.wrapping import POLITE_WORDS, unwrap
from mesh.exact.solver import kinds
from mesh.exact.solver.words import MAX_PROMPT_CHARACTERS

_WORD = re.compile("[a-z]+")
# Letters, but for the sign in 4x4 and 0x10.
_LETTERS = re.compile(r"(?<![0-9])x|x(?![0-9])|[a-wyz]")
# Several lines, and symbols by whose capitals a megagram is no milligram, a kibibit no kibibyte.
_UNSURE = re.compile(r"(?<![A-Za-z])(?:M[glms]|[KMGT]ib)(?![A-Za-z])|\n")
_LATEX = re.compile(r"[$\\]")
_OPERATORS = str.maketrans({"×": "*", "÷": "/"})
# What `plain` takes away is beyond ASCII; so a longer text is longer than any kind reads after it.
_MOST_CHARACTERS = max(QUICK_CHARACTERS, MAX_PROMPT_CHARACTERS) + MOST_OTHER
# Of answers, ours and others', to what is read here.
ANSWER_WORDS = sums.WORDS | unit_forms.WORDS | dates.WORDS | frozenset(("equals", "about", "yes"))
_KNOWN = sums.WORDS | unit_forms.WORDS | dates.WORDS | POLITE_WORDS


def read(text: str, today: date) -> Problem | None:
    """The problem that ``text`` is, whole, or None. Pure; never raises for any text.

    Costs a few microseconds where the text has a word that no quick kind knows, and is linear in
    its length. Words that no kind knows end it, so nothing is ever read out of the middle of a
    longer question.
    """
    if len(text) > SLOW_CHARACTERS:
        return None
    text = text.strip()
    if len(text) > _MOST_CHARACTERS:
        return None
    line = plain(text)
    if not line or ambiguous_numbers(line):
        return None
    if len(line) <= QUICK_CHARACTERS:
        lower = written_out(line.lower())
        if _KNOWN.issuperset(_WORD.findall(lower)) and not _UNSURE.search(line):
            asked = unwrap(lower)
            if (figures := spelt(asked.text)) is not None:
                problem = (
                    sums.recognise(asked, figures)
                    or unit_forms.recognise(asked, figures)
                    or dates.recognise(asked, figures, today)
                )
                if problem is not None:
                    return problem
            if not _LETTERS.search(asked.text) and not _LATEX.search(line):
                return None  # figures that were not read: 24/7, 2^3^2; no other kind knows better
    return kinds.recognise(line.translate(_OPERATORS))


def answer(problem: Problem) -> Exact | Declined | None:
    """The answer to a quick problem, at once; None for one that needs the solver's process.

    Bounded: microseconds for all kinds, but for the first of ``units``, which loads its
    definitions; see ``units.load``.
    """
    match problem:
        case Sum():
            return calculator.solve(problem)
        case Conversion():
            return units.solve(problem)
        case Dated(answer=answered):
            return answered
    return None
