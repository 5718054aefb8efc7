"""Whole numbers: common divisors and multiples, prime factors, divisors, primality.

``task``: ``gcd``, ``lcm``, ``primes`` (the factorisation), ``divisors``, ``prime`` (whether it is
one). ``texts``: the numbers in digits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from mesh.exact.base import MATH, Exact
from mesh.exact.solver.problem import SolverProblem, answer
from mesh.exact.solver.words import bare, folded, plain

MAX_DIGITS = 300
MAX_FACTORED_DIGITS = 40  # beyond that a factorisation may take longer than anybody waits
_MOST_NUMBERS = 12
_MOST_DIVISORS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerProblem(SolverProblem):
    kind: ClassVar[str] = "integers"


_ASK = (
    r"(?:(?:find|compute|calculate|determine|what is|what's|what are|give me|list"
    r"|evaluate) )?(?:all )?(?:of )?(?:the )?"
)
_COMMON = re.compile(
    rf"{_ASK}(?P<what>gcd|gcf|hcf|lcm|(?:greatest|highest|largest) common (?:divisor|factor)"
    r"|(?:least|lowest|smallest) common multiple)(?: \((?:gcd|gcf|hcf|lcm)\))?"
    r"(?: ?(?P<open>\()| (?:of|between|for)(?: the)?(?: (?:whole )?(?:numbers|integers))?)? ?"
    r"(?P<numbers>[\d$][^()]*?)(?P<close>\))?",
    re.IGNORECASE,
)
_FACTORS = re.compile(
    rf"{_ASK}(?P<what>prime factori[sz]ation|prime factors|prime decomposition|"
    rf"(?:positive )?divisors"
    r"|(?:positive )?factors) of (?:the number )?(?P<number>[\d$][\d,$ ]*)",
    re.IGNORECASE,
)
_FACTOR = re.compile(
    r"(?:factor(?:i[sz]e)?|prime factori[sz]e)(?: the number)? (?P<number>[\d$][\d,$]*)"
    r"(?: (?:in)?to (?:its )?primes?(?: factors| numbers)?)?",
    re.IGNORECASE,
)
_PRIME = re.compile(
    r"(?:is (?P<number>[\d$][\d,$]*) (?:a )?prime(?: number)?(?: or not)?"
    r"|(?:check|determine|tell me) (?:if|whether) (?P<number2>[\d$][\d,$]*) is (?:a )?prime"
    r"(?: number)?)",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+")
_HINTS = ("gcd", "gcf", "hcf", "lcm", "common", "factor", "prime", "divisors")


def recognise(text: str) -> IntegerProblem | None:
    lower = folded(text)
    if not any(hint in lower for hint in _HINTS):
        return None
    line = plain(text)
    if (match := _COMMON.fullmatch(line)) is not None:
        return _common(match)
    if (match := _PRIME.fullmatch(line)) is not None:
        return _one("prime", match["number"] or match["number2"], MAX_DIGITS)
    if (match := _FACTORS.fullmatch(line)) is not None:
        task = "primes" if match["what"].lower().startswith("prime") else "divisors"
        return _one(task, match["number"], MAX_FACTORED_DIGITS)
    if (match := _FACTOR.fullmatch(line)) is not None:
        return _one("primes", match["number"], MAX_FACTORED_DIGITS)
    return None


def _common(match: re.Match[str]) -> IntegerProblem | None:
    if bool(match["open"]) != bool(match["close"]):
        return None
    what = match["what"].lower()
    task = "lcm" if what == "lcm" or what.endswith("multiple") else "gcd"
    text = match["numbers"].replace("$", "")
    parts = [part for part in re.split(r"\s*(?:,\s*and\s|\sand\s|,|\s&\s)\s*", text) if part]
    if any(not _DIGITS.fullmatch(part) or (part[0] == "0" and part != "0") for part in parts):
        return None
    # "gcd of 12,180": two numbers, or one with its thousands? In brackets, two can only be two.
    close = re.search(r"\d,\d{3}(?!\d)", text) is not None
    if close and not (match["open"] and len(parts) == 2):
        return None
    if not 2 <= len(parts) <= _MOST_NUMBERS or any(len(part) > MAX_DIGITS for part in parts):
        return None
    if any(int(part) == 0 for part in parts):
        return None
    return IntegerProblem(task=task, texts=tuple(parts))


def _one(task: str, text: str, digits: int) -> IntegerProblem | None:
    text = bare(text.strip())
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if (
        not _DIGITS.fullmatch(text)
        or len(text) > digits
        or (text[0] == "0" and (task, text) != ("prime", "0"))
    ):
        return None
    return IntegerProblem(task=task, texts=(text,))


def solve(problem: SolverProblem) -> Exact | None:
    """In the child."""
    numbers = [int(text) for text in problem.texts]
    match problem.task:
        case "gcd" | "lcm":
            text = _of_all(problem.task, numbers)
        case "prime":
            text = _whether_prime(numbers[0])
        case "primes":
            text = _primes(numbers[0])
        case _:
            text = _divisors(numbers[0])
    return None if text is None else answer(problem, text, MATH)


def _of_all(task: str, numbers: list[int]) -> str | None:
    from sympy import igcd, ilcm

    ours = (math.gcd if task == "gcd" else math.lcm)(*numbers)
    theirs = (igcd if task == "gcd" else ilcm)(*numbers)
    return str(ours) if ours == theirs else None


def _whether_prime(number: int) -> str | None:
    from sympy import isprime

    if number < 2:
        return f"no, {number} is not a prime: primes begin with 2"
    ours = surely_prime(number)
    if ours is None or ours != isprime(number):
        return None
    if ours:
        return f"yes, {number} is prime"
    factors = _factored(number) if number < 10**18 else None
    return f"no, {number} = {_product(factors)}" if factors else f"no, {number} is not prime"


def _primes(number: int) -> str | None:
    if number < 2:
        return None
    factors = _factored(number)
    if factors is None:
        return None
    if len(factors) == 1 and factors.get(number) == 1:
        return f"{number} (it is prime)"
    return f"{number} = {_product(factors)}"


def _divisors(number: int) -> str | None:
    factors = _factored(number) if number > 1 else {}
    if factors is None or math.prod(power + 1 for power in factors.values()) > _MOST_DIVISORS:
        return None
    found = [1]
    for prime, power in factors.items():
        found = [each * prime**exponent for each in found for exponent in range(power + 1)]
    if any(number % each for each in found) or len(set(found)) != len(found):
        return None
    return ", ".join(map(str, sorted(found)))


def _factored(number: int) -> Mapping[int, int] | None:
    """Prime factors and their powers, each proven prime; None when one is too large for that."""
    from sympy import factorint

    factors = {int(prime): int(power) for prime, power in sorted(factorint(number).items())}
    if math.prod(prime**power for prime, power in factors.items()) != number:
        return None
    return factors if all(surely_prime(prime) for prime in factors) else None


def _product(factors: Mapping[int, int]) -> str:
    return " * ".join(f"{p}^{power}" if power > 1 else str(p) for p, power in factors.items())


_WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
_PROVEN_BELOW = 3317044064679887385961981


def surely_prime(number: int) -> bool | None:
    """Miller and Rabin's test with the bases that decide it below 3.3 * 10^24 (J. Sorenson and
    J. Webster, 2015); None: no witness against it, and too large for that to be a proof."""
    if number < 2:
        return False
    for prime in _WITNESSES:
        if number % prime == 0:
            return number == prime
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in _WITNESSES:
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True if number < _PROVEN_BELOW else None
