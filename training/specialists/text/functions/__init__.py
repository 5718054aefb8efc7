"""Short Python functions: how people ask for each, the code, and calls that prove it right.

Each module here holds functions in one notation: the code itself, a `#` line with the sentence
that explains it, `?` lines with phrases that follow "a function that" (split by `|`), and `>`
lines with arguments and what the function must return for them.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from training.specialists.text.functions import dicts, lists, numbers, strings


@dataclass(frozen=True)
class Task:
    """One function; `asks` are verb phrases that follow "a function that", `says` explains it."""

    name: str
    asks: tuple[str, ...]
    arguments: str
    body: str
    says: str
    calls: tuple[tuple[tuple[Any, ...], Any], ...]


def parse(source: str) -> tuple[Task, ...]:
    """Read functions, parted by empty lines, in the notation of this package."""
    return tuple(_parse_one(block.splitlines()) for block in source.strip().split("\n\n"))


def _parse_one(lines: list[str]) -> Task:
    name, _, rest = lines[0].removeprefix("def ").partition("(")
    body = [line.removeprefix("    ") for line in lines[1:] if line.startswith(" ")]
    says = next(line[2:] for line in lines if line.startswith("# "))
    asks = [ask for line in lines if line.startswith("? ") for ask in line[2:].split(" | ")]
    calls = [line[2:].split(" -> ") for line in lines if line.startswith("> ")]
    return Task(
        name=name,
        asks=tuple(asks),
        arguments=rest.removesuffix("):"),
        body="\n".join(body),
        says=says,
        calls=tuple((ast.literal_eval(given), ast.literal_eval(wanted)) for given, wanted in calls),
    )


TASKS = tuple(task for module in (lists, strings, numbers, dicts) for task in parse(module.SOURCE))
