"""Small puzzles of a fixed shape: two numbers, consecutive numbers, sums of words.

``task`` and its ``texts``: ``difference`` or ``product`` (the sum, then that), ``consecutive`` (the
sum, how many, the step, remainder), ``cryptarithm`` (the addends, and last the total). ``about``:
which numbers are asked for: ``both``, ``larger`` or ``smaller``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import ClassVar

from mesh.exact.base import LOGIC, MATH, Exact
from mesh.exact.solver.problem import SolverProblem, answer
from mesh.exact.solver.words import folded, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class PuzzleProblem(SolverProblem):
    kind: ClassVar[str] = "puzzle"


_MAX_CHARACTERS = 250
_N = r"(-?\d{1,12}(?:\.\d{1,6})?)"
_NUMBERS = r"(?:positive |whole |natural )?(?:numbers?|integers?)"
_ASKED = (
    r"(?:[.,;?]| and|:)* (?:what are|what is|find|determine|which are)(?: the)?(?: values? of)?"
    rf"(?: the)? ?(?P<asked>(?:two |both )?{_NUMBERS}|they|them|(?:larger|greater|bigger"
    rf"|smaller|lesser)"
    r"(?: one| number| integer| of the two(?: numbers)?)?)"
)
_SUM = r"(?:add up to|sum (?:up )?to|add to|total|have a sum of|sum is|sum of|sum to)"
_DIFFERENCE = r"(?:differ by|have a difference of|difference is|difference of|with a difference of)"
_PRODUCT = r"(?:multiply to|have a product of|product is|product of)"
_JOIN = r"(?:,? (?:and|but|while))? ?,? ?(?:their |the |whose |have a |a |with a )?"
_TWO = (
    (
        re.compile(
            rf"(?:the )?sum of two {_NUMBERS} is {_N}{_JOIN}(?P<what>{_DIFFERENCE}"
            rf"|{_PRODUCT}) {_N}{_ASKED}",
            re.IGNORECASE,
        ),
        False,
    ),
    (
        re.compile(
            rf"two {_NUMBERS} {_SUM} {_N}{_JOIN}(?P<what>{_DIFFERENCE}|{_PRODUCT}) {_N}{_ASKED}",
            re.IGNORECASE,
        ),
        False,
    ),
    (
        re.compile(
            rf"(?:find|what are|which) two {_NUMBERS} (?:that |which |whose |with a |with "
            rf"|have a )*{_SUM} {_N}"
            rf"{_JOIN}(?P<what>{_DIFFERENCE}|{_PRODUCT}) {_N}(?P<asked>)",
            re.IGNORECASE,
        ),
        False,
    ),
    (
        re.compile(
            rf"(?:find|what are|which) two {_NUMBERS} (?:that |which |whose |with a |with "
            rf"|have a )*"
            rf"(?P<what>{_DIFFERENCE}|{_PRODUCT}) {_N}{_JOIN}{_SUM} {_N}(?P<asked>)",
            re.IGNORECASE,
        ),
        True,
    ),
)
_HOW_MANY = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
_CONSECUTIVE = re.compile(
    rf"(?:the )?sum of (?P<count>two|three|four|five|six|seven|[2-7]) consecutive "
    rf"(?P<parity>even |odd )?"
    rf"(?:positive )?{_NUMBERS} is (?P<sum>-?\d{{1,12}})(?:[.,;?]| and)* (?:what are|what is"
    rf"|find|determine)"
    rf"(?: the)?(?: value of)?(?: the)? ?(?P<asked>(?:\w+ )?{_NUMBERS}|they|them|(?:largest"
    rf"|smallest|greatest|least)"
    r"(?: one| (?:of the )?(?:\w+ )?(?:numbers?|integers?))?)",
    re.IGNORECASE,
)
_LETTERS = re.compile(
    r"(?:solve(?: the| this)?(?: (?:cryptarithm|alphametic|cryptarithmetic|verbal arithmetic"
    r"|puzzle|following))*"
    r"(?: (?:puzzle|problem))?:? )?(?P<sum>[A-Z]{2,8}(?: ?\+ ?[A-Z]{2,8}){1,3} ?= ?[A-Z]{2,9})"
    r"(?:[.,;]? (?:where )?each letter (?:stands for|represents|is) a (?:different|distinct"
    r"|unique) digit)?"
)


def recognise(text: str) -> PuzzleProblem | None:
    line, lower = plain(text), folded(text)
    if not line or len(line) > _MAX_CHARACTERS:
        return None
    if "+" in line and "=" in line:
        return _letters(line)
    if "two " in lower or "consecutive" in lower:
        return _two(line) or _consecutive(line)
    return None


def _letters(line: str) -> PuzzleProblem | None:
    match = _LETTERS.fullmatch(line)
    if match is None:
        return None
    words = tuple(re.split(r" ?[+=] ?", match["sum"]))
    different = set("".join(words))
    if len(different) > 10 or len(words[-1]) < max(map(len, words[:-1])):
        return None
    if max(map(len, words)) < 3:
        return None
    return PuzzleProblem(task="cryptarithm", texts=words)


def _two(line: str) -> PuzzleProblem | None:
    for pattern, swapped in _TWO:
        match = pattern.fullmatch(line)
        if match is None:
            continue
        numbers = [group for group in match.groups() if group and re.fullmatch(_N, group)]
        if len(numbers) != 2:
            return None
        total, other = reversed(numbers) if swapped else numbers
        product = "product" in match["what"].lower() or "multiply" in match["what"].lower()
        asked = (match["asked"] or "").lower()
        which = "both"
        if asked.startswith(("larger", "greater", "bigger")):
            which = "larger"
        elif asked.startswith(("smaller", "lesser")):
            which = "smaller"
        elif asked in ("number", "integer"):
            return None
        whole = re.search(r"integer|whole|natural", line, re.IGNORECASE) is not None
        positive = re.search(r"positive|natural|whole", line, re.IGNORECASE) is not None
        task = "product" if product else "difference"
        sort = ("whole" if whole else "any", "positive" if positive else "any")
        return PuzzleProblem(task=task, texts=(total, other), about=(which, *sort))
    return None


def _consecutive(line: str) -> PuzzleProblem | None:
    match = _CONSECUTIVE.fullmatch(line)
    if match is None:
        return None
    count = _HOW_MANY.get(match["count"].lower()) or int(match["count"])
    parity = (match["parity"] or "").strip().lower()
    asked = match["asked"].lower()
    which = "both"
    if asked.startswith(("largest", "greatest")):
        which = "larger"
    elif asked.startswith(("smallest", "least")):
        which = "smaller"
    elif asked.split()[0] not in ("they", "them", "numbers", "integers", match["count"].lower()):
        return None
    step = "2" if parity else "1"
    texts = (match["sum"], str(count), step, {"": "", "even": "0", "odd": "1"}[parity])
    return PuzzleProblem(task="consecutive", texts=texts, about=(which,))


def solve(problem: SolverProblem) -> Exact | None:
    """In the child."""
    if problem.task == "cryptarithm":
        text = _cryptarithm(problem.texts)
        return None if text is None else answer(problem, text, LOGIC)
    numbers = _run_of(problem.texts) if problem.task == "consecutive" else _pair(problem)
    if numbers is None:
        return None
    shown = [_shown(number) for number in numbers]
    match problem.about[0]:
        case "larger":
            text = shown[-1]
        case "smaller":
            text = shown[0]
        case _ if len(shown) == 2:
            text = f"{shown[0]} and {shown[1]}"
        case _:
            text = f"{', '.join(shown[:-1])} and {shown[-1]}"
    return answer(problem, text, MATH)


def _pair(problem: SolverProblem) -> list[Fraction] | None:
    """The roots of t^2 - sum*t + product, where they are fractions."""
    total, other = map(Fraction, problem.texts)
    _, sort, sign = problem.about
    if problem.task == "difference":
        if other < 0:
            return None
        numbers = [(total - other) / 2, (total + other) / 2]
        holds = sum(numbers) == total and numbers[1] - numbers[0] == other
    else:
        square = total * total - 4 * other
        if square < 0:
            return None
        above, below = isqrt(square.numerator), isqrt(square.denominator)
        if above * above != square.numerator or below * below != square.denominator:
            return None
        root = Fraction(above, below)
        numbers = [(total - root) / 2, (total + root) / 2]
        holds = sum(numbers) == total and numbers[0] * numbers[1] == other
    if sort == "whole" and any(number.denominator != 1 for number in numbers):
        return None
    if sign == "positive" and numbers[0] <= 0:
        return None
    return numbers if holds else None


def _run_of(texts: Sequence[str]) -> list[Fraction] | None:
    total, count, step = int(texts[0]), int(texts[1]), int(texts[2])
    first, rest = divmod(total - step * count * (count - 1) // 2, count)
    if rest:
        return None
    numbers = [Fraction(first + step * index) for index in range(count)]
    if texts[3] and any(number % 2 != int(texts[3]) for number in numbers):
        return None
    return numbers if sum(numbers) == total else None


def _shown(number: Fraction) -> str:
    if number.denominator == 1:
        return str(number.numerator)
    places = next((n for n in range(1, 8) if 10**n % number.denominator == 0), None)
    if places is None:
        return str(number)
    scaled = abs(number) * 10**places
    digits = f"{int(scaled):0{places + 1}d}"
    return f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _cryptarithm(words: Sequence[str]) -> str | None:
    """The one assignment of digits, by columns; z3 must find it too, and no other."""
    found: list[dict[str, int]] = []
    _columns(words, {}, 0, 0, 0, found)
    if not found:
        return "no solution" if _by_z3(words, None) else None
    if len(found) > 1:
        return None
    (digits,) = found
    values = [int("".join(str(digits[letter]) for letter in word)) for word in words]
    if sum(values[:-1]) != values[-1] or not _by_z3(words, digits):
        return None
    letters = ", ".join(f"{letter} = {digits[letter]}" for letter in sorted(digits))
    return f"{' + '.join(map(str, values[:-1]))} = {values[-1]} ({letters})"


def _columns(
    words: Sequence[str],
    digits: dict[str, int],
    column: int,
    row: int,
    carried: int,
    found: list[dict[str, int]],
) -> None:
    """Assigns letters from the last column on, and stops at a second solution. ``carried``: the
    column's sum so far, with the carry of the one before."""
    if len(found) > 1:
        return
    if column == len(words[-1]):
        if carried == 0:
            found.append(dict(digits))
        return
    word = words[row]
    total_row = row == len(words) - 1
    if column >= len(word):
        _columns(words, digits, column, row + 1, carried, found)
        return
    letter = word[-1 - column]
    first = letter in {each[0] for each in words}
    if letter in digits:
        choices: Sequence[int] = (digits[letter],)
    elif total_row:
        choices = (carried % 10,)
    else:
        choices = range(10)
    new = letter not in digits
    for digit in choices:
        if (digit == 0 and first) or (new and digit in digits.values()):
            continue
        if total_row and digit != carried % 10:
            continue
        if new:
            digits[letter] = digit
        if total_row:
            _columns(words, digits, column + 1, 0, carried // 10, found)
        else:
            _columns(words, digits, column, row + 1, carried + digit, found)
        if new:
            del digits[letter]


def _by_z3(words: Sequence[str], digits: dict[str, int] | None) -> bool:
    """Whether z3 agrees that ``digits`` is the only solution; None: that there is none."""
    import z3

    letters = {letter: z3.Int(letter) for letter in sorted(set("".join(words)))}
    solver = z3.Solver()
    solver.set("timeout", 1500)
    solver.add(z3.Distinct(*letters.values()))
    solver.add(*(z3.And(each >= 0, each <= 9) for each in letters.values()))
    solver.add(*(letters[word[0]] != 0 for word in words))
    values = [
        z3.Sum([letters[letter] * 10**place for place, letter in enumerate(reversed(word))])
        for word in words
    ]
    solver.add(z3.Sum(values[:-1]) == values[-1])
    if digits is not None:
        solver.push()
        solver.add(*(letters[letter] == digit for letter, digit in digits.items()))
        if solver.check() != z3.sat:
            return False
        solver.pop()
        solver.add(z3.Or([letters[letter] != digit for letter, digit in digits.items()]))
    return bool(solver.check() == z3.unsat)
