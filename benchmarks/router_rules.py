"""The rules stage: time a decision, and quality of the starter rules.

    python -m benchmarks.router_rules [--data FILE] [--rules FILE] [--rounds N]

Method. One process, one thread. 500 rules: those of ``--rules`` and generated ones (a word, a gap,
one of two words) to fill up. Prompts of 200 to 400 characters come from the labelled file, or are
generated when it is missing. Measured on the same prompts in the same run, in turns: a round
of one over all prompts, then a round of the next, after a warm-up round of each:

* ``cascade``: ``Cascade.decide`` with the rules stage, as an orchestrator calls it. It is a
  coroutine that waits for nothing here; it is driven to its end by one ``send(None)``, without an
  event loop, as inside a task that already runs;
* ``stage``: ``RulesStage.decide`` alone;
* ``scan``: the same database's bare scan of the same bytes, the floor for any stage built on it;
* ``re loop``: Python's ``re.search``, one rule after another, the usual way (fewer rounds, since it
  is slow; patterns are the same).

Each call is timed twice over: by the wall clock, and by the thread's own CPU time, which leaves out
what other processes did on a busy machine in between.

Then prompts of one megabyte made to be slow, and, given the file, precision (right among decided)
and coverage (decided among all) per label and source.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from mesh.types import Decision, Specialty
from orchestrator.router.base import Features, Verdict
from orchestrator.router.cascade import Cascade
from orchestrator.router.reload import starter_rules
from orchestrator.router.rule_file import Rule, RuleSet, parse
from orchestrator.router.rules import SPEC, RulesStage, prepare
from orchestrator.router.spec import Placed
from orchestrator.rules.labelled import Labelled
from orchestrator.rules.labelled import features as features_of
from training.router.labelled import DEFAULT_DATA, read

RULES = 500
SLOW_ROUNDS = 2  # of the re loop, which takes milliseconds a prompt
PROMPTS = 200
ADVERSARIAL = {
    "one letter": "a" * 1_000_000,
    "near misses": "how many " * 111_111,
    "all words": "write function solve who thanks true if all are 3 + 4 " * 18_519,
    "expanding (U+FDFA)": "\ufdfa" * 1_000_000,
    "combining marks": ("\u0301" * 50 + "\u0323" * 50) * 10_000,
    "lone surrogates": "\ud800" * 1_000_000,
    "mixed scripts": "wr\u0456te \u0430 fun\u0441tion " * 55_000,
    "mixed, and Russian": "\u0436 wr\u0456te \u0430 fun\u0441tion " * 50_000,
    "struck through": "s\u0336u\u0336m\u0336 " * 140_000,
}


Spent = tuple[float, float]  # microseconds: wall clock, CPU of this thread


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.router_rules")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="JSON lines, labelled")
    parser.add_argument("--rules", type=Path, default=starter_rules())
    parser.add_argument("--rounds", type=int, default=20, help="rounds over all prompts")
    options = parser.parse_args(argv)
    rows = read(options.data) if options.data.exists() else []
    starter = parse(options.rules.read_bytes(), where=str(options.rules))
    started = time.perf_counter()
    stage = RulesStage(starter)
    print(
        f"{options.rules.name}: version {starter.version}, {len(starter.rules)} rules, "
        f"compiled in {time.perf_counter() - started:.2f} s"
    )
    _timing(starter, _prompts(rows), options.rounds)
    if rows:
        _quality(stage, rows)
    else:
        print(f"\nNo labelled file at {options.data}: quality not measured")
    return 0


def _prompts(rows: list[Labelled]) -> list[str]:
    chance = random.Random(1)
    found = [row.prompt for row in rows if 200 <= len(row.prompt) <= 400]
    if len(found) >= PROMPTS:
        return chance.sample(found, PROMPTS)
    words = _words(chance)
    return [" ".join(chance.choices(words, k=45)) for _ in range(PROMPTS)]


def _words(chance: random.Random) -> list[str]:
    letters = "aeioubcdfghlmnprst"
    return ["".join(chance.choices(letters, k=chance.randint(3, 9))) for _ in range(3_000)]


def _fill_up(starter: RuleSet) -> RuleSet:
    chance = random.Random(2)
    words = _words(chance)
    generated = tuple(
        Rule(
            name=f"generated-{number}",
            specialty=Specialty(chance.choice(["math", "code", "logic", "chat"])),
            patterns=(r"\b{}\b[\w ,]*\b({}|{})s?\b".format(*chance.sample(words, 3)),),
            weight=0.5,
        )
        for number in range(RULES - len(starter.rules))
    )
    return RuleSet(version="benchmark", rules=starter.rules + generated)


def _timing(starter: RuleSet, prompts: list[str], rounds: int) -> None:
    rules = _fill_up(starter)
    started = time.perf_counter()
    stage = RulesStage(rules)
    compiled = time.perf_counter() - started
    cascade = Cascade([Placed(SPEC, stage)], Specialty("chat"), rules.version)
    scan = _bare_scan(stage)
    loop = _re_loop(rules)
    calls: dict[str, list[Callable[[], object]]] = {
        "cascade": [partial(_decide, cascade, features_of(prompt)) for prompt in prompts],
        "stage": [partial(stage.decide, features_of(prompt)) for prompt in prompts],
        "scan": [partial(scan, prepare(prompt)) for prompt in prompts],
        "re loop": [partial(loop, prompt) for prompt in prompts],
    }
    taken: dict[str, list[Spent]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, of_all_prompts in calls.items():
            if name == "re loop" and number > SLOW_ROUNDS:
                continue
            for call in of_all_prompts:
                spent = _spent(call)
                if number:  # the first round warms caches up
                    taken[name].append(spent)
    patterns = sum(len(rule.patterns) for rule in rules.rules)
    length = sum(map(len, prompts)) // len(prompts)
    print(
        f"\n{len(rules.rules)} rules, {patterns} patterns (compiled in {compiled:.1f} s), "
        f"{len(prompts)} prompts of {length} characters on average"
    )
    print(f"{'microseconds':22}{'p50':>9}{'p99':>9}{'cpu p50':>9}{'cpu p99':>9}{'n':>8}")
    for name, values in taken.items():
        _row(name, values, 1.0)
    ratio = _at(taken["re loop"], 0.5)[0] / _at(taken["cascade"], 0.5)[0]
    print(f"re loop / cascade, p50: {ratio:.0f}x")
    print(f"\n{'1 MB, milliseconds':22}{'p50':>9}{'p99':>9}{'cpu p50':>9}{'cpu p99':>9}{'n':>8}")
    for name, text in ADVERSARIAL.items():
        # Another end each time: what is shown of a text is remembered for the stages after.
        asked = [features_of(f"{text}{number}") for number in range(41)]
        _row(name, [_spent(partial(_decide, cascade, features)) for features in asked], 1e-3)


def _decide(cascade: Cascade, features: Features) -> Decision:
    running = cascade.decide(features)
    try:
        running.send(None)
    except StopIteration as done:
        return done.value.decision  # type: ignore[no-any-return]
    running.close()
    raise SystemExit("the cascade waited for something; only fast stages are measured here")


def _row(name: str, values: list[Spent], scale: float) -> None:
    (wall, cpu), (wall_99, cpu_99) = _at(values, 0.5), _at(values, 0.99)
    figures = "".join(f"{figure * scale:9.2f}" for figure in (wall, wall_99, cpu, cpu_99))
    print(f"{name:22}{figures}{len(values):8}")


def _bare_scan(stage: RulesStage) -> Callable[[bytes], None]:
    """The engine alone, with a callback that does nothing."""
    database = stage.database
    if database is None:
        raise SystemExit("the rules file is empty: nothing to measure")

    def ignore(*_: object) -> None:
        return None

    return lambda data: database.scan(data, match_event_handler=ignore)


def _re_loop(rules: RuleSet) -> Callable[[str], list[int]]:
    # Python writes a code point otherwise.
    code_point = re.compile(r"\\x\{(\w+)\}")
    searches = [
        (
            number,
            re.compile(
                code_point.sub(lambda x: f"\\U{int(x[1], 16):08x}", pattern),
                re.IGNORECASE if rule.caseless else 0,
            ).search,
        )
        for number, rule in enumerate(rules.rules)
        for pattern in rule.patterns
    ]
    return lambda prompt: [number for number, search in searches if search(prompt)]


def _spent(call: Callable[[], object]) -> Spent:
    cpu, started = time.thread_time(), time.perf_counter()
    call()
    ended, cpu_ended = time.perf_counter(), time.thread_time()
    return (ended - started) * 1e6, (cpu_ended - cpu) * 1e6


def _at(values: list[Spent], share: float) -> Spent:
    """Percentile of each clock by itself."""
    at = min(len(values) - 1, int(len(values) * share))
    return sorted(wall for wall, _ in values)[at], sorted(cpu for _, cpu in values)[at]


def _quality(stage: RulesStage, rows: list[Labelled]) -> None:
    groups: dict[tuple[str, str], list[bool | None]] = {}
    decided: dict[str, list[bool]] = {}
    for row in rows:
        said = stage.decide(features_of(row.prompt))
        right = said.specialty == row.label if isinstance(said, Verdict) else None
        groups.setdefault((row.label, row.source), []).append(right)
        if isinstance(said, Verdict):
            decided.setdefault(said.specialty, []).append(said.specialty == row.label)
    print(f"\n{'label':14}{'source':20}{'prompts':>9}{'coverage':>10}{'precision':>11}")
    for (label, source), outcomes in sorted(groups.items()):
        _line(label, source, outcomes)
    _line("all", "", [right for outcomes in groups.values() for right in outcomes])
    print(f"\n{'decided as':14}{'':20}{'decided':>9}{'':10}{'precision':>11}")
    for label, rights in sorted(decided.items()):
        print(f"{label:34}{len(rights):9}{'':10}{sum(rights) / len(rights):11.4f}")


def _line(label: str, source: str, outcomes: list[bool | None]) -> None:
    made = [right for right in outcomes if right is not None]
    precision = f"{sum(made) / len(made):11.4f}" if made else f"{'-':>11}"
    print(f"{label:14}{source:20}{len(outcomes):9}{len(made) / len(outcomes):10.3f}{precision}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
