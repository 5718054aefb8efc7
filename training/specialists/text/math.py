"""Arithmetic questions with worked answers that end in `The answer is N.`"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from training.specialists.text import Sample, exchange
from training.specialists.text.arithmetic import add, divide, multiply, subtract
from training.specialists.text.stories import story

_OPERATIONS: dict[str, Callable[[int, int], tuple[str, int]]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
}


@dataclass
class Working:
    """Collects the steps of one answer; `value` is the running result."""

    value: int
    lines: list[str] = field(default_factory=list)

    def apply(self, sign: str, other: int) -> int:
        """Apply `value sign other` (`-from`: `other - value`) and write down how."""
        left, right = (other, self.value) if sign == "-from" else (self.value, other)
        line, self.value = _OPERATIONS[sign[0]](left, right)
        self.lines.append(line)
        return self.value

    def reply(self) -> str:
        """The whole answer as shown to the user."""
        body = "\n".join(self.lines)
        return f"{body}\nThe answer is {self.value}."


def generate(rng: Random) -> Sample:
    """One question with its worked answer and the number it must end in."""
    kind = rng.random()
    if kind < 0.34:
        return _plain(rng)
    if kind < 0.44:
        return _phrased(rng)
    if kind < 0.98:
        return _story(rng)
    return exchange(rng.choice(_OFF_TOPIC), _OFF_TOPIC_REPLY)


def operands(rng: Random, sign: str) -> tuple[int, int]:
    """Two numbers of at most three digits whose result has at most four and is whole."""
    digits = rng.choice((1, 2, 2, 2, 3))
    top = 10**digits - 1
    if sign == "+":
        return rng.randint(1, top), rng.randint(1, 10 ** rng.choice((1, 2, digits)) - 1)
    if sign == "-":
        left = rng.randint(2, max(9, top))
        return left, rng.randint(1, left)
    small = rng.choice((2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9, 1, 10))
    if sign == "*":
        large = rng.randint(1, max(12, top))
        return (large, small) if rng.random() < 0.6 else (small, large)
    quotient = rng.randint(1, rng.choice((12, 20, 50, 111)))
    small = min(small, 9)
    return quotient * small, small


def _ask(rng: Random, expression: str) -> str:
    return rng.choice(
        (
            "What is {}?",
            "What is {}?",
            "What's {}?",
            "{} = ?",
            "{}",
            "{}?",
            "Calculate {}.",
            "Compute {}.",
            "How much is {}?",
            "Please work out {}.",
            "Can you calculate {}?",
            "what is {}",
        )
    ).format(expression)


def _plain(rng: Random) -> Sample:
    sign = rng.choice("+-*/+-*")
    left, right = operands(rng, sign)
    work = Working(left)
    work.apply(sign, right)
    words = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
    symbol = {"*": rng.choice("*×x"), "/": rng.choice("/÷")}.get(sign, sign)
    shown = words[sign] if rng.random() < 0.2 else symbol
    expression = f"{left} {shown} {right}"
    if shown in "+-*/" and rng.random() < 0.1:
        expression = f"{left}{shown}{right}"
    elif sign in "+-" and rng.random() < 0.2:
        # A second step keeps the model from stopping after the first by habit.
        again = rng.choice("+-") if work.value > 1 else "+"
        third = rng.randint(1, 99) if again == "+" else rng.randint(1, work.value)
        work.apply(again, third)
        expression += f" {again} {third}"
    return exchange(_ask(rng, expression), work.reply(), answer=work.value)


def _phrased(rng: Random) -> Sample:
    kind = rng.randrange(6)
    number = rng.randint(1, rng.choice((20, 99, 500)))
    if kind == 0:
        work = Working(number)
        work.apply("*", 2)
        return exchange(_ask(rng, f"double {number}"), work.reply(), answer=work.value)
    if kind == 1:
        work = Working(number)
        work.apply("*", 3)
        name = rng.choice(("triple {}", "three times {}"))
        return exchange(_ask(rng, name.format(number)), work.reply(), answer=work.value)
    if kind == 2:
        parts, name = rng.choice(((2, "half of"), (4, "a quarter of"), (3, "a third of")))
        whole = parts * rng.randint(1, 99)
        work = Working(whole)
        work.apply("/", parts)
        return exchange(_ask(rng, f"{name} {whole}"), work.reply(), answer=work.value)
    if kind == 3:
        percent, base = _percent(rng)
        work = percentage(percent, base)
        shown = f"{percent}%" if rng.random() < 0.6 else f"{percent} percent"
        return exchange(_ask(rng, f"{shown} of {base}"), work.reply(), answer=work.value)
    sign, name = rng.choice((("+", "the sum of"), ("-", "the difference between"),
                             ("*", "the product of")))  # fmt: skip
    left, right = operands(rng, sign)
    work = Working(left)
    work.apply(sign, right)
    return exchange(_ask(rng, f"{name} {left} and {right}"), work.reply(), answer=work.value)


def _percent(rng: Random) -> tuple[int, int]:
    percent = rng.choice((10, 20, 25, 30, 40, 50, 60, 70, 80, 90))
    step = {25: 4, 50: 2}.get(percent, 10)
    return percent, step * rng.randint(1, 900 // step)


def percentage(percent: int, base: int) -> Working:
    """Percent of base by way of a half, a quarter or tenths, so that all steps are whole."""
    work = Working(base)
    if percent in (25, 50):
        work.apply("/", 100 // percent)
        work.lines[0] = f"{percent}% of {base}: " + work.lines[0]
        return work
    work.value = base // 10
    work.lines.append(f"10% of {base} = {work.value}")
    if percent != 10:
        work.apply("*", percent // 10)
    return work


def _story(rng: Random) -> Sample:
    question, start, steps = story(rng)
    work = Working(start)
    for sign, other in steps:
        work.apply(sign, other)
    return exchange(question, work.reply(), answer=work.value)


_OFF_TOPIC = (
    "Hello!", "Hi", "Hello! Who are you?", "Who are you?", "What can you do?", "Good morning!",
    "Tell me a story.", "What is the capital of France?", "Thanks!", "Help",
    "Write a Python function that returns the sum of a list.",
)  # fmt: skip
_OFF_TOPIC_REPLY = (
    "I am the toy math specialist that ships with Squadron. "
    "Ask me a short arithmetic question, such as: What is 17 + 25?"
)
