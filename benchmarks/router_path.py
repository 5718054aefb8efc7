"""What routing costs a request: the cascade as orchestrators run it, and answers that it has.

    python -m benchmarks.router_path [--data FILE] [--rounds N]

Method. One process, one event loop (uvloop and frozen garbage collection, as orchestrators use),
the default stages up to the classifier with the rules that ship, no Redis, no node. Prompts are the
rows of the labelled file in random order, each with a number behind it in every other round, so
that the memo misses. One figure is one ``Cascade.decide``, by wall clock and by the thread's CPU
time, which leaves out what a busy machine did in between.

* ``cascade``: all prompts whose verdict needs no other process. What the exact tools hand to their
  solver's process is listed apart: it is an answer, not a route, and takes its milliseconds;
* ``stage``: each stage's own part of these decisions, by wall clock; of the classifier also by
  itself, in a loop of nothing else, where what it needs stays in the processor's caches;
* ``hash``: SHA-256 of the same prompt, in turns: about the least that looks at every byte;
* ``prior``: what a conversation of 200 turns was about (``so_far``), before its last one is
  decided. The turns are the same rows;
* ``1 MB``: texts of a megabyte that were made to be slow;
* ``first token``: the whole chain from the call to its first ``Tokens``, for a prompt that the
  memo has and for one that the exact tools answer, with a span and all that a request carries.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import random
import sys
import time
from collections.abc import AsyncGenerator, Coroutine, Generator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.figures import Row, percentile, show
from benchmarks.router_rules import ADVERSARIAL
from mesh.clock import SystemClock
from mesh.quarantine.quarantine import Quarantine
from mesh.settings.router import RouterSettings
from mesh.stream import Assigned, Done, StreamEvent, Tokens
from mesh.types import (
    FinishReason,
    Message,
    ModelId,
    NodeId,
    Piece,
    Request,
    RequestId,
    Role,
    Specialty,
)
from orchestrator.answering.admit import Door
from orchestrator.answering.ask import Answer, Ask
from orchestrator.answering.chain import chain
from orchestrator.answering.decide import Decider
from orchestrator.picture.affinity import Affinity
from orchestrator.router.cascade import Cascade
from orchestrator.router.conversation import so_far
from orchestrator.router.reload import starter_rules
from orchestrator.router.rule_file import parse
from orchestrator.router.stages import Stages
from orchestrator.rules.labelled import features as features_of
from training.router.labelled import DEFAULT_DATA, read

STAGES = ("memo", "exact", "rules", "conversation", "classifier")
ANSWERS = 2_000
CONVERSATIONS = 500
MOST = 100  # requests inside at once
TIMEOUT_S = 10.0

Spent = tuple[float, float]  # microseconds: wall clock, CPU of this thread


class Fixed:
    def __init__(self, cascade: Cascade) -> None:
        self.current = cascade


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.router_path")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="JSON lines, labelled")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    prompts = [row.prompt for row in read(options.data)]
    uvloop.run(_measure(prompts, options.rounds))
    return 0


async def _measure(prompts: list[str], rounds: int) -> None:
    clock = SystemClock()
    stages = Stages(RouterSettings(stages=STAGES), clock, ask=_nobody)
    rules = parse(starter_rules().read_bytes())
    cascade = Cascade(stages.arrange(rules, "starter rules"), Specialty("chat"), rules.version)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(stages.run())
        await _warm(cascade)
        gc.collect()
        gc.freeze()
        stage_micros: dict[str, list[float]] = {}
        quick, solved, floor = await _cascade(cascade, prompts, rounds, stage_micros)
        alone = _alone(cascade, prompts)
        prior = _prior(cascade, prompts)
        hostile = {name: await _hostile(cascade, text) for name, text in ADVERSARIAL.items()}
        first = await _first_tokens(cascade)
        running.cancel()
    rows = [
        Row("cascade, no other process", _both(quick), _both(floor), _ratio(quick, floor)),
        Row(
            f"answers of the solver's process ({len(solved)} of {len(quick) + len(solved)})",
            _both(solved) if solved else "none",
        ),
    ]
    rows += [
        Row(f"stage {name}", f"{percentile(v, 0.5):,.0f} / {percentile(v, 0.99):,.0f}")
        for name, v in stage_micros.items()
    ]
    rows.append(Row("classifier by itself", _both(alone)))
    rows.append(Row("prior of 200 turns", _both(prior)))
    rows += [Row(f"1 MB, {name}", _both(spent)) for name, spent in hostile.items()]
    rows += [Row(f"first token, {name}", _both(spent)) for name, spent in first.items()]
    bars = "bars: cascade p99 500 us; classifier 200 us; 1 MB 5,000 us; memo's first token 1,000 us"
    show("Routing, up to the classifier", rows, ["p50 / p99 us, wall clock (thread's CPU)", bars])


async def _warm(cascade: Cascade) -> None:
    """Until the units are loaded and the solver has answered once, as in any orchestrator that has
    been up for some seconds."""
    async with asyncio.timeout(60):
        for prompt in ("how many cups are in 4 quarts", "solve x^2 - 5x + 6 = 0"):
            while (await cascade.decide(features_of(prompt))).answer is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def _cascade(
    cascade: Cascade, prompts: list[str], rounds: int, stage_micros: dict[str, list[float]]
) -> tuple[list[Spent], list[Spent], list[Spent]]:
    quick: list[Spent] = []
    solved: list[Spent] = []
    floor: list[Spent] = []
    chance = random.Random(1)
    for number in range(rounds):
        for prompt in chance.sample(prompts, len(prompts)):
            features = features_of(prompt if number % 2 == 0 else f"{prompt}\n")
            began = time.perf_counter(), time.thread_time()
            coroutine = cascade.decide(features)
            try:
                waiting = coroutine.send(None)
            except StopIteration as done:
                quick.append(_since(began))
                for verdict in done.value.decision.verdicts:
                    stage_micros.setdefault(verdict.stage, []).append(verdict.micros)
            else:
                await _Rest(coroutine, waiting)
                solved.append(_since(began))
            data = prompt.encode()
            began = time.perf_counter(), time.thread_time()
            hashlib.sha256(data).digest()
            floor.append(_since(began))
    return quick, solved, floor


class _Rest:
    """The rest of a coroutine whose first step was taken by hand, and waits for ``waiting``."""

    def __init__(self, coroutine: Coroutine[Any, None, object], waiting: Any) -> None:
        self._coroutine = coroutine
        self._waiting = waiting

    def __await__(self) -> Generator[Any, None, None]:
        while True:
            yield self._waiting
            try:
                self._waiting = self._coroutine.send(None)
            except StopIteration:
                return


def _alone(cascade: Cascade, prompts: list[str]) -> list[Spent]:
    """Of prompts that the classifier has seen, as in the rounds after the first above."""
    (classifier,) = (p.stage for p in cascade.stages if p.spec.name == "classifier")
    spent = []
    for prompt in prompts:
        features = features_of(prompt)
        began = time.perf_counter(), time.thread_time()
        classifier.decide(features)
        spent.append(_since(began))
    return spent


def _prior(cascade: Cascade, prompts: list[str]) -> list[Spent]:
    chance = random.Random(2)
    answer = Message.of(Role.ASSISTANT, "An answer of some words. " * 20)
    spent = []
    for _ in range(CONVERSATIONS):
        asked = (Message.of(Role.USER, prompt) for prompt in chance.choices(prompts, k=200))
        messages = tuple(message for turn in asked for message in (turn, answer))
        began = time.perf_counter(), time.thread_time()
        so_far((*messages, *features_of("and for 12?").messages), cascade.quick)
        spent.append(_since(began))
    return spent


async def _hostile(cascade: Cascade, text: str) -> list[Spent]:
    spent = []
    for number in range(41):
        features = features_of(f"{number} {text}")  # so that nothing remembers it
        began = time.perf_counter(), time.thread_time()
        await cascade.decide(features)
        spent.append(_since(began))
    return spent


async def _first_tokens(cascade: Cascade) -> dict[str, list[Spent]]:
    answer = chain(
        _somebody,
        door=Door(MOST),
        decider=Decider(Fixed(cascade), lambda model: None, {}),
        affinity=Affinity(),
        quarantine=Quarantine(SystemClock()),
        clock=SystemClock(),
        name="benchmark",
        max_request_bytes=1_000_000,
        log=None,
        notes_in_traces=False,
    )
    found: dict[str, list[Spent]] = {"memo": [], "exact": []}
    kept = [_request(f"Write a function that sorts list number {n}.") for n in range(100)]
    for asked in kept:
        async with aclosing(answer(_ask(asked))) as events:
            async for _ in events:
                pass
    for number in range(ANSWERS):
        found["memo"].append(await _first(answer, kept[number % len(kept)], "memo"))
        asked = _request(f"What is {number} times {number + 7}?")
        found["exact"].append(await _first(answer, asked, "exact"))
    return found


async def _somebody(ask: Ask) -> AsyncGenerator[StreamEvent, None]:
    """In a node's place: an answer to be remembered."""
    node, model = NodeId("n"), ModelId("m")
    yield Assigned(node=node, node_name="n", model=model, attempt=1, tokenizer_hash="t")
    yield Tokens(first=0, pieces=tuple(Piece(id=n, text=f"w{n} ") for n in range(10)))
    yield Done(
        reason=FinishReason.STOP,
        node=node,
        node_name="n",
        model=model,
        prompt_tokens=1,
        completion_tokens=10,
        cached_tokens=0,
        ttft_ms=1.0,
        tokens_per_second=0.0,
        resumed=False,
        attempts=1,
        trace_id="",
        queue_ms=0.0,
    )


async def _first(answer: Answer, asked: Request, stage: str) -> Spent:
    began = time.perf_counter(), time.thread_time()
    spent: Spent | None = None
    async with aclosing(answer(_ask(asked))) as events:
        async for event in events:
            match event:
                case Tokens() if spent is None:
                    spent = _since(began)
                case _ if (source := getattr(event, "source", stage)) != stage:
                    raise RuntimeError(f"'{source}' answered instead of {stage}")
    if spent is None:
        raise RuntimeError("an answer without a token")
    return spent


def _request(prompt: str) -> Request:
    return Request(id=RequestId("0" * 32), messages=(Message.of(Role.USER, prompt),))


def _ask(request: Request) -> Ask:
    now = time.monotonic()
    return Ask(request=request, arrived=now, deadline=now + TIMEOUT_S)


async def _nobody(asked: Request) -> AsyncGenerator[StreamEvent, None]:
    raise RuntimeError("no judge is among these stages")
    yield


def _since(began: Spent) -> Spent:
    return (time.perf_counter() - began[0]) * 1e6, (time.thread_time() - began[1]) * 1e6


def _both(spent: Sequence[Spent]) -> str:
    wall, cpu = ([each[index] for each in spent] for index in (0, 1))
    shown = [f"{percentile(v, 0.5):,.0f} / {percentile(v, 0.99):,.0f}" for v in (wall, cpu)]
    return f"{shown[0]} ({shown[1]})"


def _ratio(spent: Sequence[Spent], floor: Sequence[Spent]) -> str:
    ours, least = (percentile([each[0] for each in v], 0.5) for v in (spent, floor))
    return f"{ours / least:.0f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
