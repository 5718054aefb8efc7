"""The rules stage against semantic-router's embedding of the prompt, on this machine's CPU.

    python -m benchmarks.router_peers --peer ../peers/bin/python [--data FILE] [--rounds N]

``benchmarks/peers.txt`` says how that environment is made; semantic-router and what it brings along
(some sixty packages) stay out of Squadron's own.

Method. 500 rules and 200 prompts of 200 to 400 characters, as in ``router_rules``. In turns: a
round of the rules stage over all prompts here, then a round of semantic-router over the same ones
in a child process that times itself and sleeps meanwhile; a first round of each warms up and does
not count. Its routes are the seven specialties with ``--utterances`` examples each, from
``phrases/exemplars.jsonl``; the child's docstring says which encoder it has and why. Each call is
timed by the wall clock, and by the thread's own CPU time, which leaves out what other processes
did in between.

``embedding`` is this project's stage on the same weights, without its thread: what it costs when it
is asked, which is only for what rules and classifier left open.

The bar: rules at least 100 times faster at p50, by either clock.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from benchmarks.router_rules import (
    Spent,
    _at,
    _fill_up,
    _prompts,
    _row,
    _spent,
)
from orchestrator.router.minilm import MiniLm
from orchestrator.router.neighbours import Exemplars, subject
from orchestrator.router.reload import starter_rules
from orchestrator.router.rule_file import parse
from orchestrator.router.rules import RulesStage
from orchestrator.rules.labelled import features as features_of
from training.router.labelled import DEFAULT_DATA, WRITTEN, read

BAR = 100
_CHILD = "benchmarks.peer_semantic_router"


class Peer:
    """semantic-router in a child process. Ends with the context."""

    def __init__(self, python: Path, routes: dict[str, list[str]]) -> None:
        self._process = subprocess.Popen(
            [str(python), "-m", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        self.about = self._ask({"routes": routes})["about"]

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        _pipe(self._process.stdin).close()  # the child's loop ends with its input
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def round(self, prompts: list[str]) -> list[Spent]:
        said = self._ask({"prompts": prompts})
        return list(zip(said["wall"], said["cpu"], strict=True))

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        _pipe(self._process.stdin).write(json.dumps(message) + "\n")
        _pipe(self._process.stdin).flush()
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise SystemExit(f"the peer ended with code {self._process.wait(10)}: see above")
        found: dict[str, Any] = json.loads(line)
        return found


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.router_peers")
    parser.add_argument("--peer", type=Path, required=True, help="Python of the peers' environment")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="JSON lines, labelled")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--utterances", type=int, default=12, help="examples of each route")
    options = parser.parse_args(argv)
    rules = _fill_up(parse(starter_rules().read_bytes(), where="starter rules"))
    stage, model, exemplars = RulesStage(rules), MiniLm(threads=1), Exemplars.load()
    prompts = _prompts(read(options.data) if options.data.exists() else [])
    calls: dict[str, list[Callable[[], object]]] = {
        "rules stage": [partial(stage.decide, features_of(prompt)) for prompt in prompts],
        "embedding": [partial(_embedded, model, exemplars, prompt) for prompt in prompts],
    }
    taken: dict[str, list[Spent]] = {name: [] for name in [*calls, "semantic-router"]}
    with Peer(options.peer, _routes(options.utterances)) as peer:
        print(
            f"{peer.about}, {options.utterances} utterances a route\n"
            f"{len(rules.rules)} rules; {len(prompts)} prompts of "
            f"{sum(map(len, prompts)) // len(prompts)} characters on average, "
            f"{options.rounds} rounds of each in turns\n"
        )
        for number in range(options.rounds + 1):
            spent = {name: [_spent(call) for call in of_all] for name, of_all in calls.items()}
            spent["semantic-router"] = peer.round(prompts)
            if number:
                for name, values in spent.items():
                    taken[name] += values
    print(f"{'microseconds':22}{'p50':>9}{'p99':>9}{'cpu p50':>9}{'cpu p99':>9}{'n':>8}")
    for name, values in taken.items():
        _row(name, values, 1.0)
    wall, cpu = (_ratio(taken, 0.5, clock) for clock in (0, 1))
    held = "held" if min(wall, cpu) >= BAR else "missed"
    print(
        f"semantic-router / rules stage: {wall:.0f}x by the wall clock, {cpu:.0f}x by CPU time at "
        f"p50; {_ratio(taken, 0.99, 1):.0f}x by CPU time at p99 (bar {BAR}x at p50: {held})"
    )
    return 0 if min(wall, cpu) >= BAR else 1


def _ratio(taken: dict[str, list[Spent]], share: float, clock: int) -> float:
    return _at(taken["semantic-router"], share)[clock] / _at(taken["rules stage"], share)[clock]


def _embedded(model: MiniLm, exemplars: Exemplars, prompt: str) -> object:
    return exemplars.likely(model.vector(subject(prompt)))


def _routes(utterances: int) -> dict[str, list[str]]:
    routes: dict[str, list[str]] = {}
    for row in read(WRITTEN):
        route = routes.setdefault(row.label, [])
        if len(route) < utterances:
            route.append(row.prompt)
    return routes


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("the child was started without pipes")
    return pipe


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
