"""Requests for a short Python function, answered with the function and one sentence on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from training.specialists.text import Check, Sample, exchange
from training.specialists.text.functions import TASKS, Task

# (what is kept, its condition), (what is done to each, its expression), (what comes out, code).
_KEEP = (
    ("even", "number % 2 == 0"), ("odd", "number % 2 == 1"), ("positive", "number > 0"),
    ("negative", "number < 0"), ("non-zero", "number != 0"),
)  # fmt: skip
_KEEP_N = (
    ("numbers greater than {n}", "number > {n}", "numbers above {n}"),
    ("numbers less than {n}", "number < {n}", "numbers below {n}"),
    ("numbers divisible by {n}", "number % {n} == 0", "multiples of {n}"),
)
_EACH = (
    ("square", "squares", "number ** 2"), ("double", "doubles", "number * 2"),
    ("triple", "triples", "number * 3"), ("negate", "negates", "-number"),
    ("cube", "cubes", "number ** 3"), ("halve", "halves", "number / 2"),
)  # fmt: skip
_EACH_N = (
    ("adds {n} to each number in a list", "number + {n}"),
    ("multiplies each number in a list by {n}", "number * {n}"),
    ("subtracts {n} from each number in a list", "number - {n}"),
    ("raises each number in a list to the power of {n}", "number ** {n}"),
)
_FOLD = (
    ("the sum of", "sum({})", "sums"), ("the largest of", "max({})", "largest"),
    ("the smallest of", "min({})", "smallest"), ("the number of", "len({})", "count"),
)  # fmt: skip
_PROBES = ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 20, -3, -8, 0], [5, -2, 30, 14, 21, 40, -45])
_NAMES = ("solve", "compute", "process", "run", "helper", "calculate", "f", "answer", "work")

_FRAMES = (
    "Write a Python function that {}.", "Write a Python function that {}.",
    "Write a function that {}.", "Write a function that {}.", "Write Python code that {}.",
    "Write me a Python function that {}.", "Please write a Python function that {}.",
    "Please write a function that {}.", "Can you write a Python function that {}?",
    "Can you write a function that {}?", "Could you write a Python function that {}?",
    "I need a Python function that {}.", "I need a function that {}.",
    "Give me a Python function that {}.", "Give me a function that {}.",
    "Show me a Python function that {}.", "Show me a function that {}.",
    "Create a Python function that {}.", "Create a function that {}.",
    "Define a function that {}.", "Implement a function that {}.",
    "Implement a Python function that {}.", "Python function that {}",
    "How do I write a Python function that {}?", "I want a function that {}.",
    "write a python function that {}", "write a function that {}", "Code a function that {}.",
    "In Python, write a function that {}.", "Write a function in Python that {}.",
    "Make a function that {}.", "Make a Python function that {}.",
)  # fmt: skip
_PLAIN_FRAMES = (
    "Write a function to {}.", "Write a Python function to {}.", "How do I {} in Python?",
    "How can I {} in Python?", "I want to {} in Python.", "Python code to {}",
    "write a function to {}", "Show me how to {}.", "Write code to {}.", "Python function to {}",
)  # fmt: skip
_NAMED_FRAMES = (
    "Write a Python function called {} that {}.",
    "Write a function named {} that {}.",
    "Write a Python function {} that {}.",
    "I need a function called {} that {}.",
)


@dataclass(frozen=True)
class Composed:
    """A list comprehension put together from parts; `code` is an expression over `numbers`."""

    name: str
    asks: tuple[str, ...]
    code: str
    says: str


def generate(rng: Random) -> Sample:
    """One request, the reply, and calls that show whether a reply's function is right."""
    if rng.random() < 0.02:
        return exchange(rng.choice(_OFF_TOPIC), _OFF_TOPIC_REPLY)
    task = rng.choice(TASKS) if rng.random() < 0.7 else _as_task(_compose(rng))
    ask = rng.choice(task.asks)
    kind = rng.random()
    if kind < 0.12:
        task = _renamed(task, rng.choice(_NAMES))
        question = rng.choice(_NAMED_FRAMES).format(task.name, ask)
    elif kind < 0.32:
        question = rng.choice(_PLAIN_FRAMES).format(infinitive(ask))
    else:
        question = rng.choice(_FRAMES).format(ask)
    return exchange(question, render(task), check=Check(task.name, task.calls))


def render(task: Task) -> str:
    """The reply: the function in a Python fence, then what it does."""
    body = "\n".join("    " + line for line in task.body.split("\n"))
    return f"```python\ndef {task.name}({task.arguments}):\n{body}\n```\n{task.says}"


def extract(reply: str) -> str | None:
    """The code inside the first Python fence of a reply, or None if there is none."""
    _, opened, rest = reply.partition("```python\n")
    code, closed, _ = rest.partition("```")
    return code if opened and closed else None


def infinitive(ask: str) -> str:
    """The phrase with its verb in the plain form: "reverses a list" -> "reverse a list"."""
    verb, space, rest = ask.partition(" ")
    if verb.endswith("ies"):
        verb = verb[:-3] + "y"
    elif verb.endswith(("ches", "shes")):
        verb = verb[:-2]
    else:
        verb = verb.removesuffix("s")
    return verb + space + rest


def _renamed(task: Task, name: str) -> Task:
    return replace(task, name=name, body=task.body.replace(f"{task.name}(", f"{name}("))


def _as_task(part: Composed) -> Task:
    # The parts are this file's own constants, so evaluating them is safe.
    calls = tuple(((list(probe),), _evaluate(part.code, probe)) for probe in _PROBES)
    return Task(part.name, part.asks, "numbers", f"return {part.code}", part.says, calls)


def _evaluate(code: str, numbers: list[int]) -> Any:
    return eval(code, {"numbers": numbers})


def _compose(rng: Random) -> Composed:
    return rng.choice((_kept, _kept, _kept_above, _each, _each_number, _folded, _kept_each))(rng)


def _kept(rng: Random) -> Composed:
    kind, test = rng.choice(_KEEP)
    return Composed(
        f"keep_{kind.replace('-', '_')}",
        (
            f"returns the {kind} numbers in a list",
            f"keeps only the {kind} numbers of a list",
            f"filters the {kind} numbers from a list",
            f"returns all {kind} numbers from a list",
        ),
        f"[number for number in numbers if {test}]",
        f"The condition keeps only the {kind} numbers.",
    )


def _kept_above(rng: Random) -> Composed:
    what, test, short = (part.format(n=rng_n) for rng_n in [rng.randint(2, 20)]
                         for part in rng.choice(_KEEP_N))  # fmt: skip
    return Composed(
        "keep_numbers",
        (
            f"returns the {what} in a list",
            f"keeps only the {what}",
            f"filters a list for {short}",
            f"returns all {short} from a list",
        ),
        f"[number for number in numbers if {test}]",
        f"The condition keeps only the {what}.",
    )


def _each(rng: Random) -> Composed:
    verb, verbs, expression = rng.choice(_EACH)
    return Composed(
        f"{verb}_all",
        (
            f"{verbs} each number in a list",
            f"{verbs} every number in a list",
            f"{verbs} all the numbers in a list",
        ),
        f"[{expression} for number in numbers]",
        f"The comprehension {verbs} one number at a time.",
    )


def _each_number(rng: Random) -> Composed:
    number = rng.randint(2, 20)
    ask, expression = (part.format(n=number) for part in rng.choice(_EACH_N))
    return Composed(
        "change_all",
        (ask, ask.replace("each", "every")),
        f"[{expression} for number in numbers]",
        "The comprehension changes one number at a time.",
    )


def _folded(rng: Random) -> Composed:
    kind, test = rng.choice(_KEEP[:-1])
    result, call, noun = rng.choice(_FOLD)
    asks = [f"returns {result} the {kind} numbers in a list", f"finds {result} the {kind} numbers"]
    if noun == "sums":
        asks += [f"adds up the {kind} numbers in a list", f"sums the {kind} numbers in a list"]
    if noun == "count":
        asks += [f"counts the {kind} numbers in a list", f"counts how many numbers are {kind}"]
    inner = f"[number for number in numbers if {test}]"
    says = f"It keeps the {kind} numbers first and then takes {result} them."
    return Composed(f"{kind}_{noun}", tuple(asks), call.format(inner), says)


def _kept_each(rng: Random) -> Composed:
    kind, test = rng.choice(_KEEP[:-1])
    verb, verbs, expression = rng.choice(_EACH)
    return Composed(
        f"{verb}_{kind}",
        (f"{verbs} the {kind} numbers in a list", f"{verbs} only the {kind} numbers of a list"),
        f"[{expression} for number in numbers if {test}]",
        f"The condition keeps the {kind} numbers and the comprehension {verbs} each.",
    )


_OFF_TOPIC = (
    "Hello!", "Hi", "Hello! Who are you?", "Who are you?", "What can you do?", "Good morning!",
    "Tell me a story.", "What is the capital of France?", "Thanks!", "Help", "What is 17 + 25?",
    "Write a web server.", "Write a game.", "Fix my bug.", "Explain Python.",
)  # fmt: skip
_OFF_TOPIC_REPLY = (
    "I am the toy code specialist that ships with Squadron. "
    "Ask me for a short Python function, such as one that reverses a string."
)
