"""Whole numbers: common divisors and multiples, prime factors, divisors, primality.

``task``: ``gcd``, ``lcm``, ``primes`` (the factorisation), ``divisors``, ``prime`` (whether it is
one). ``texts``: the numbers in digits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from mesh.exact.expression.lex import bare
from mesh.exact.phrase import phrase
from mesh.exact.solver.problem import SolverProblem
from mesh.exact.solver.words import ASK

MAX_DIGITS = 300
MAX_FACTORED_DIGITS = 40  # beyond that a factorisation may take longer than anybody waits
_MOST_NUMBERS = 12
_MOST_DIVISORS = 100

_NUMBER = r"[\d$][\d,$]*"
_COMMON = phrase(
    rf"{ASK}[all ][of ][the ]<what>[ \((gcd|gcf|hcf|lcm)\)][ ?<open>| (of|between|for)[ the]"
    r"[ [whole ](numbers|integers)]] ?<numbers><close>",
    what="gcd|gcf|hcf|lcm|(?:greatest|highest|largest) common (?:divisor|factor)"
    "|(?:least|lowest|smallest) common multiple",
    open=r"\(",
    numbers=r"[\d$][^()]*?",
    close=r"\)?",
)
_ONE = (
    ("prime", MAX_DIGITS, phrase(
        "is <number> [a ]prime[ number][ or not]", number=_NUMBER)),
    ("prime", MAX_DIGITS, phrase(
        "(check|determine|tell me) (if|whether) <number> is [a ]prime[ number]", number=_NUMBER)),
    ("primes", MAX_FACTORED_DIGITS, phrase(
        f"{ASK}[all ][of ][the ]prime (factori(s|z)ation|factors|decomposition) of [the number ]"
        "<number>", number=r"[\d$][\d,$ ]*")),
    ("divisors", MAX_FACTORED_DIGITS, phrase(
        f"{ASK}[all ][of ][the ][positive ](divisors|factors) of [the number ]<number>",
        number=r"[\d$][\d,$ ]*")),
    ("primes", MAX_FACTORED_DIGITS, phrase(
        "(factor[i(s|z)e]|prime factori(s|z)e)[ the number] <number>"
        "[ [in]to [its ]prime[s][ factors| numbers]]", number=_NUMBER)),
)  # fmt: skip
_DIGITS = re.compile(r"\d+")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+")


def recognise(line: str) -> SolverProblem | None:
    if (match := _COMMON.fullmatch(line)) is not None:
        return _common(match)
    for task, digits, pattern in _ONE:
        if (match := pattern.fullmatch(line)) is not None:
            return _one(task, bare(match["number"].strip()), digits)
    return None


def _common(match: re.Match[str]) -> SolverProblem | None:
    if bool(match["open"]) != bool(match["close"]):
        return None
    task = "lcm" if match["what"].lower().endswith(("lcm", "multiple")) else "gcd"
    text = match["numbers"].replace("$", "")
    parts = [part for part in re.split(r"\s*(?:,\s*and\s|\sand\s|,|\s&\s)\s*", text) if part]
    # "gcd of 12,180": two numbers, or one with its thousands? In brackets, two can only be two.
    close = re.search(r"\d,\d{3}(?!\d)", text) is not None
    if close and not (match["open"] and len(parts) == 2):
        return None
    if not 2 <= len(parts) <= _MOST_NUMBERS or not all(map(_plain_number, parts)):
        return None
    return SolverProblem(kind="integers", task=task, texts=tuple(parts))


def _plain_number(text: str) -> bool:
    return _DIGITS.fullmatch(text) is not None and text[0] != "0" and len(text) <= MAX_DIGITS


def _one(task: str, text: str, digits: int) -> SolverProblem | None:
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if len(text) > digits or not (_plain_number(text) or (task, text) == ("prime", "0")):
        return None
    return SolverProblem(kind="integers", task=task, texts=(text,))


def solve(problem: SolverProblem) -> str | None:
    """In the child."""
    numbers = [int(text) for text in problem.texts]
    match problem.task:
        case "gcd":
            return str(math.gcd(*numbers))
        case "lcm":
            return str(math.lcm(*numbers))
        case "prime":
            return _whether_prime(numbers[0])
        case "primes":
            return _primes(numbers[0])
        case _:
            return _divisors(numbers[0])


def _whether_prime(number: int) -> str | None:
    if number < 2:
        return f"no, {number} is not a prime: primes begin with 2"
    match surely_prime(number):
        case None:
            return None
        case True:
            return f"yes, {number} is prime"
    factors = _factored(number) if number < 10**18 else None
    return f"no, {number} = {_product(factors)}" if factors else f"no, {number} is not prime"


def _primes(number: int) -> str | None:
    factors = _factored(number) if number > 1 else None
    if factors is None:
        return None
    if factors == {number: 1}:
        return f"{number} (it is prime)"
    return f"{number} = {_product(factors)}"


def _divisors(number: int) -> str | None:
    from sympy import divisors

    factors = _factored(number) if number > 1 else {}
    if factors is None or math.prod(power + 1 for power in factors.values()) > _MOST_DIVISORS:
        return None
    return ", ".join(map(str, divisors(number)))


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
    """Whether it is prime; None: nothing speaks against it, and it is too large for a proof. Miller
    and Rabin's test with these bases is one below 3.3 * 10^24 (J. Sorenson, J. Webster, 2015)."""
    from sympy import isprime
    from sympy.ntheory.primetest import mr

    if not isprime(number):
        return False
    return True if number < _PROVEN_BELOW and mr(number, _WITNESSES) else None
