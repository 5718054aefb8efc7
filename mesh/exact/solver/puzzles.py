"""Small puzzles of a fixed shape: two numbers, consecutive numbers, sums of words.

``task`` and its ``texts``: ``difference`` or ``product`` (the sum, then that), ``consecutive`` (the
sum, how many, the step, remainder), ``cryptarithm`` (the addends, and last the total). ``about``:
which numbers are asked for: ``both``, ``larger`` or ``smaller``; of two numbers also ``whole`` and
``positive``, where they must be that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice

from mesh.exact.expression.value import exact_root
from mesh.exact.phrase import phrase
from mesh.exact.quick.showing import decimals
from mesh.exact.solver.problem import SolverProblem

_MAX_CHARACTERS = 250
_NUMBERS = "[positive |whole |natural ](number[s]|integer[s])"
_ASK = "(what are|what is|find|determine)"
_ASKED = (
    rf"(,|.|;|\?| and|:)* ({_ASK}|which are)[ the][ value[s] of][ the] ?<asked>"
)  # fmt: skip
_JOIN = "[,? (and|but|while)] ?,? ?[their |the |whose |have a |a |with a ]"
_WITH = f"(find|what are|which) two {_NUMBERS} (that |which |whose |with a |with |have a )*"
_SLOTS = {
    "total": r"-?\d{1,12}(?:\.\d{1,6})?",
    "other": r"-?\d{1,12}(?:\.\d{1,6})?",
    "sums": r"add up to|sum (?:up )?to|add to|total|have a sum of|sum is|sum of",
    "what": "differ by|have a difference of|difference is|difference of|with a difference of"
    "|multiply to|have a product of|product is|product of",
    "asked": r"(?:two |both )?(?:positive |whole |natural )?(?:numbers?|integers?)|they|them"
    r"|(?:larger|greater|bigger|smaller|lesser)(?: one| number| integer| of the two(?: numbers)?)?",
}
_TWO = tuple(
    phrase(form, **_SLOTS)
    for form in (
        f"[the ]sum of two {_NUMBERS} is <total>{_JOIN}<what> <other>{_ASKED}",
        f"two {_NUMBERS} <sums> <total>{_JOIN}<what> <other>{_ASKED}",
        f"{_WITH}<sums> <total>{_JOIN}<what> <other>",
        f"{_WITH}<what> <other>{_JOIN}<sums> <total>",
    )
)
_HOW_MANY = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
_CONSECUTIVE = phrase(
    f"[the ]sum of <count> consecutive [<parity> ][positive ]{_NUMBERS} is <total>"
    rf"(,|.|;|\?| and)* {_ASK}[ the][ value of][ the] ?<asked>",
    count=f"{'|'.join(_HOW_MANY)}|[2-7]",
    parity="even|odd",
    total=r"-?\d{1,12}",
    asked=r"(?:\w+ )?(?:positive |whole |natural )?(?:numbers?|integers?)|they|them"
    r"|(?:largest|smallest|greatest|least)(?: one| (?:of the )?(?:\w+ )?(?:numbers?|integers?))?",
)
_LETTERS = re.compile(
    r"(?:solve(?: the| this)?(?: (?:cryptarithm|alphametic|cryptarithmetic|verbal arithmetic"
    r"|puzzle|following))*(?: (?:puzzle|problem))?:? )?"
    r"(?P<sum>[A-Z]{2,8}(?: ?\+ ?[A-Z]{2,8}){1,3} ?= ?[A-Z]{2,9})"
    r"(?:[.,;]? (?:where )?each letter (?:stands for|represents|is) a (?:different|distinct"
    r"|unique) digit)?"
)
_SIDES = {
    **dict.fromkeys(("larger", "greater", "bigger", "largest", "greatest"), "larger"),
    **dict.fromkeys(("smaller", "lesser", "smallest", "least"), "smaller"),
}


def recognise(line: str) -> SolverProblem | None:
    if len(line) > _MAX_CHARACTERS:
        return None
    if "+" in line and "=" in line:
        return _letters(line)
    return _two(line) or _consecutive(line)


def _problem(task: str, texts: tuple[str, ...], *about: str) -> SolverProblem:
    return SolverProblem(kind="puzzle", task=task, texts=texts, about=about)


def _letters(line: str) -> SolverProblem | None:
    match = _LETTERS.fullmatch(line)
    if match is None:
        return None
    words = tuple(re.split(r" ?[+=] ?", match["sum"]))
    longest = max(map(len, words))
    if len(set("".join(words))) > 10 or not 3 <= longest == len(words[-1]):
        return None
    return _problem("cryptarithm", words)


def _two(line: str) -> SolverProblem | None:
    match = next((found for each in _TWO if (found := each.fullmatch(line)) is not None), None)
    if match is None:
        return None
    asked = (match.groupdict().get("asked") or "").lower()
    if asked in ("number", "integer"):
        return None
    lower = line.lower()
    sort = "whole" if re.search("integer|whole|natural", lower) else "any"
    sign = "positive" if re.search("positive|natural|whole", lower) else "any"
    task = "product" if re.search("product|multiply", match["what"].lower()) else "difference"
    side = _SIDES.get(asked.partition(" ")[0], "both")
    return _problem(task, (match["total"], match["other"]), side, sort, sign)


def _consecutive(line: str) -> SolverProblem | None:
    match = _CONSECUTIVE.fullmatch(line)
    if match is None:
        return None
    count, parity = match["count"].lower(), (match["parity"] or "").lower()
    first = match["asked"].lower().partition(" ")[0]
    if first not in _SIDES and first not in ("they", "them", "numbers", "integers", count):
        return None
    step, rest = {"": ("1", ""), "even": ("2", "0"), "odd": ("2", "1")}[parity]
    texts = (match["total"], str(_HOW_MANY.get(count) or int(count)), step, rest)
    return _problem("consecutive", texts, _SIDES.get(first, "both"))


def solve(problem: SolverProblem) -> str | None:
    """In the child."""
    if problem.task == "cryptarithm":
        return _cryptarithm(problem.texts)
    numbers = _run_of(problem.texts) if problem.task == "consecutive" else _pair(problem)
    if numbers is None:
        return None
    shown = [decimals(number) or str(number) for number in numbers]
    match problem.about[0]:
        case "larger":
            return shown[-1]
        case "smaller":
            return shown[0]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _pair(problem: SolverProblem) -> list[Fraction] | None:
    """The roots of t^2 - sum*t + product, where they are fractions."""
    total, other = map(Fraction, problem.texts)
    _, sort, sign = problem.about
    apart: Fraction | None = other
    if problem.task == "product":
        square = total * total - 4 * other
        apart = exact_root(square, 2) if square >= 0 else None
    if apart is None or apart < 0:
        return None
    numbers = [(total - apart) / 2, (total + apart) / 2]
    if sort == "whole" and any(number.denominator != 1 for number in numbers):
        return None
    return None if sign == "positive" and numbers[0] <= 0 else numbers


def _run_of(texts: Sequence[str]) -> list[Fraction] | None:
    total, count, step = int(texts[0]), int(texts[1]), int(texts[2])
    first, rest = divmod(total - step * count * (count - 1) // 2, count)
    if rest or (texts[3] and first % 2 != int(texts[3])):
        return None
    return [Fraction(first + step * index) for index in range(count)]


def _cryptarithm(words: Sequence[str]) -> str | None:
    """The one assignment of digits, if there is just one."""
    found = list(islice(_assignments(words, {}, 0, 0, 0), 2))
    if len(found) != 1:
        return None if found else "no solution"
    (digits,) = found
    values = [int("".join(str(digits[letter]) for letter in word)) for word in words]
    if sum(values[:-1]) != values[-1]:
        return None
    letters = ", ".join(f"{letter} = {digits[letter]}" for letter in sorted(digits))
    return f"{' + '.join(map(str, values[:-1]))} = {values[-1]} ({letters})"


def _assignments(
    words: Sequence[str], digits: dict[str, int], column: int, row: int, total: int
) -> Iterator[dict[str, int]]:
    """All of them, letter by letter from the last column on. ``total``: of the column so far, with
    the carry of the one before."""
    if column == len(words[-1]):
        if total == 0:
            yield digits
        return
    word, last = words[row], row == len(words) - 1
    following = (column + 1, 0, total // 10) if last else (column, row + 1, total)
    if column >= len(word):
        yield from _assignments(words, digits, *following)
        return
    letter = word[-1 - column]
    first = any(letter == each[0] for each in words)
    known = (digits[letter],) if letter in digits else set(range(first, 10)) - {*digits.values()}
    for digit in sorted(known):
        if last and digit != total % 10:
            continue
        then = following if last else (column, row + 1, total + digit)
        yield from _assignments(words, {**digits, letter: digit}, *then)
