"""The exact tools on labelled files: what they accept, what they answer, and what reading costs.

    python -m benchmarks.exact_tools [FILE...] [--show] [--rounds N]

A file has one JSON object a line with ``prompt`` and ``label``, and ``messages`` where there is a
conversation. Per label: how many prompts are read as a problem, and how many of those the quick
kinds answer at once, decline, or leave to the solver's process; and how many are read and yet kept
silent on, since nothing asks for a value or something said before may bind the answer: that is what
asking costs. ``--show`` prints each one that is read, with its answer or the reason for silence,
since whether an answer is right is for a person to judge.

Time: ``read`` alone and ``read`` with ``answer``, one process, one thread, definitions of units
loaded before, one warm-up round, then N rounds over all prompts; a prompt's time is the least of
its rounds, which leaves out what other processes did in between. Beside it the floor: lower case
and a search for words, which no reader of words can do without. Then long and hostile prompts.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from re import findall

import msgspec

from benchmarks.figures import Row, machine, show, spread
from mesh.exact.asking import asked
from mesh.exact.base import Declined, Exact
from mesh.exact.quick import units
from mesh.exact.reading import answer, read
from mesh.types import Message, Role
from training.router.labelled import DEFAULT_DATA

DEFAULTS = [DEFAULT_DATA, DEFAULT_DATA.with_name("router-dev2.jsonl")]
TODAY = date(2026, 1, 15)  # fixed, so that runs compare
HOSTILE = {
    "1 MB of 9": "9" * 1_000_000,
    "1 MB of 9**": "9**" * 333_333,
    "200 open brackets": "(" * 200,
    "200 signs": "-" * 200,
    "200 of 'one '": "one " * 50,
    "4,000 letters": "what is " * 500,
    "4,000 combining marks": "\u0301" * 4000,
    "4,000 expanding (U+FDFA)": "\ufdfa" * 4000,
    "9**9**9": "what is 9**9**9",
    "(9^9)^(9^9)": "what is (9^9)^(9^9)",
    "1000000!": "what is 1000000!",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, default=DEFAULTS)
    parser.add_argument("--show", action="store_true", help="print what is read, with its answer")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rows = [row for file in given.files for row in _rows(file)]
    units.load()
    accepted = _acceptance(rows, shown=given.show)
    pairs = [(row.prompt, row.label) for row in rows]
    print(f"\n{machine()}\n")
    show("Microseconds a prompt", _times(pairs, accepted, given.rounds))
    show("Hostile prompts, the slowest of three", _hostile())


class _Turn(msgspec.Struct):
    role: str
    content: str


class _Row(msgspec.Struct):
    prompt: str
    label: str
    messages: list[_Turn] = msgspec.field(default_factory=list)

    def turns(self) -> tuple[Message, ...]:
        if not self.messages:
            return (Message.of(Role.USER, self.prompt),)
        return tuple(Message.of(Role(turn.role), turn.content) for turn in self.messages)


def _rows(file: Path) -> list[_Row]:
    lines = file.read_bytes().splitlines()
    return [msgspec.json.decode(line, type=_Row) for line in lines if line.strip()]


def _acceptance(rows: Sequence[_Row], *, shown: bool) -> set[str]:
    """The prompts that are answered or left to the solver."""
    said: dict[str, Counter[str]] = defaultdict(Counter)
    accepted: set[str] = set()
    for row in rows:
        prompt, label = row.prompt, row.label
        problem = read(prompt, TODAY)
        outcome, text = "not read", ""
        silent = asked(row.turns(), TODAY)
        if problem is not None and isinstance(silent, Declined):
            outcome, text = "silent", silent.note
        elif problem is not None and problem.slow:
            outcome, text = "solver", f"{problem}"
        elif problem is not None:
            match answer(problem):
                case Exact() as exact:
                    outcome, text = "answered", exact.text
                case Declined(note=note):
                    outcome, text = "declined", note
        said[label][outcome] += 1
        if outcome in ("answered", "solver"):
            accepted.add(prompt)
        if shown and problem is not None:
            print(f"{label:10} {outcome:8} {problem.kind:11} {prompt!r} -> {text}")
    table = [
        Row(
            f"{label} ({counts.total()})",
            f"{100 * counts['answered'] / counts.total():.1f} % answered",
            f"{100 * counts['solver'] / counts.total():.1f} % to the solver",
            f"{counts['declined']} declined, {counts['silent']} read and silent",
        )
        for label, counts in sorted(said.items())
    ]
    for label in ("calculator", "units"):
        said["calculator and units"] += said[label]
    whole = said["calculator and units"]
    answered, silent_on = whole["answered"], whole["silent"]
    table.append(
        Row(
            f"calculator and units ({whole.total()})",
            f"{answered} answered, {100 * answered / max(whole.total(), 1):.1f} %",
            f"{100 * answered / max(answered + silent_on, 1):.1f} % of what is read",
            f"{silent_on} read and silent: the loss",
        )
    )
    show("Accepted", table)
    return accepted


def _times(rows: Sequence[tuple[str, str]], accepted: set[str], rounds: int) -> list[Row]:
    quick = [p for p, _ in rows if p in accepted and not getattr(read(p, TODAY), "slow", True)]
    slow = [p for p, _ in rows if p in accepted and getattr(read(p, TODAY), "slow", False)]
    other = [p for p, _ in rows if p not in accepted]
    table: list[Row] = []
    for name, prompts in (("answered", quick), ("for the solver", slow), ("not accepted", other)):
        if prompts:
            reading = _least(lambda text: read(text, TODAY), prompts, rounds)
            floor = _least(lambda text: findall("[a-z]+", text.lower()), prompts, rounds)
            mean = sum(reading) / sum(floor)
            table.append(
                Row(f"read, {name}", spread(reading, "µs"), spread(floor, "µs"), f"{mean:.1f}x")
            )
    if quick:
        whole = _least(_read_and_answer, quick, rounds)
        table.append(Row("read and answer", spread(whole, "µs")))
    return table


def _read_and_answer(text: str) -> object:
    problem = read(text, TODAY)
    return answer(problem) if problem is not None else None


def _least(call: Callable[[str], object], prompts: Sequence[str], rounds: int) -> list[float]:
    best = [float("inf")] * len(prompts)
    for _ in range(rounds + 1):
        for number, prompt in enumerate(prompts):
            begun = time.perf_counter()
            call(prompt)
            best[number] = min(best[number], 1e6 * (time.perf_counter() - begun))
    return best


def _hostile() -> list[Row]:
    table: list[Row] = []
    for name, prompt in HOSTILE.items():
        worst = 0.0
        for _ in range(3):
            begun = time.perf_counter()
            _read_and_answer(prompt)
            worst = max(worst, time.perf_counter() - begun)
        table.append(Row(name, f"{1e3 * worst:.2f} ms"))
    return table


if __name__ == "__main__":
    main()
