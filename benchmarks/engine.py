"""The llama_cpp engine against its bars, on a model of random weights (about 240 MB of f32).

    python -m benchmarks.engine [--peer-python /path/to/python] [--threads N] [--rounds N] [--cpu]
                                [streams beside prefix overhead]

Every token of such a model reads all its weights, as with a real one, so that it is bound by memory
at one stream and by arithmetic at many. One engine is loaded once; all parts below alternate within
a round, and a figure is the median of the rounds' own ratios, since a shared machine's speed drifts
by more than what is measured. ``--cpu`` counts CPU seconds of the measured process instead of the
clock's: on a machine with other work, and with one thread, it is what the clock would have said.

streams   128 greedy tokens after a short prompt, at 1 and at 8 streams: tokens/s, the prompt's time
          included. The peer is llama.cpp's own server in a process of its own (``engine_peer``):
          same file, threads, slots, contexts and batch, asked for as many tokens after prompts as
          long, without its HTTP layer, and it has no streaming to do. ``--peer-python``: a Python
          that has ``xllamacpp``.
beside    4 running streams: time between tokens quiet, then while a prompt of 4,000 tokens is
          prefilled in a fifth slot.
prefix    time to first token of a prompt of 2,000 tokens and a tail; of the same prefix with
          another tail in the slot that is free again; and with the first one's slot busy (a copy).
overhead  8 streams through runner process, agent and ZeroMQ to a reader in this process, against
          the engine in this process; and the same with a free engine (``simulated``), which is
          what the way itself costs a token.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.engine_way import Way
from benchmarks.figures import Row, percentile, show
from mesh.types import Message, Role, Sampling
from node.engines.base import Ended, ModelSpec, Token
from node.engines.llama_cpp.engine import LlamaCppEngine
from training.rigs.gguf_shapes import F32, Recipe, write

SLOTS, CONTEXT, BATCH = 8, 4608, 512
TOKENS = 128
PROMPT = 24  # tokens of a stream's prompt that are not in a cache, template included
PREFIX, LONG = 2000, 4000
RUNNING = 4
RECIPE = Recipe(
    name="bench",
    layers=4,
    width=1024,
    heads=16,
    groups=4,
    feed_forward=2816,
    vocabulary=8192,
    context=8192,
    weights=F32,
)
NOBODY: frozenset[int] = frozenset()
PARTS = ("streams", "beside", "prefix", "overhead")

Peer = Callable[[int], float]
now: Callable[[], float] = time.perf_counter  # ``--cpu`` makes it the process's CPU time


def user(text: str) -> tuple[Message, ...]:
    """A byte is a token of this vocabulary, but for the template's."""
    return (Message.of(Role.USER, text),)


def emitted(engine: LlamaCppEngine) -> list[int]:
    """Slots that got a token in one step. Raises ``RuntimeError`` when the model ends an answer."""
    slots = []
    for emission in engine.step(NOBODY):
        match emission:
            case Token(slot=slot):
                slots.append(slot)
            case Ended():
                raise RuntimeError("the model of random weights ended its turn; change the prompt")
    return slots


def rate(engine: LlamaCppEngine, streams: int, mark: str) -> float:
    """Tokens/s of that many streams at once, prompts included. ``mark``: a fresh text, so that no
    prompt is in a cache."""
    started = now()
    for slot in range(streams):
        engine.open(slot, user(f"{slot}{mark}"), Sampling(), (), "")
    counts = [0] * streams
    while min(counts) < TOKENS:
        for slot in emitted(engine):
            counts[slot] += 1
    seconds = now() - started
    for slot in range(streams):
        engine.close(slot)
    return sum(counts) / seconds


def beside(engine: LlamaCppEngine, mark: str) -> tuple[float, float, float]:
    """p99 of the seconds between tokens: quiet, and beside a long prefill; and that one's time."""
    for slot in range(RUNNING):
        engine.open(slot, user(f"{slot}{mark}"), Sampling(), (), "")
    last: dict[int, float] = {}

    def gaps(until: Callable[[list[int]], bool]) -> list[float]:
        found = []
        while True:
            slots = emitted(engine)
            moment = now()
            found += [moment - last[slot] for slot in slots if slot in last and slot < RUNNING]
            last.update(dict.fromkeys(slots, moment))
            if until(slots):
                return found

    quiet_until = now() + 0.3
    gaps(lambda _: now() > quiet_until)
    steps = iter(range(TOKENS))
    quiet = gaps(lambda _: next(steps, None) is None)
    started = now()
    engine.open(RUNNING, user(f"{mark}{'x' * LONG}"), Sampling(), (), "")
    loaded = gaps(lambda slots: RUNNING in slots)
    prefill_s = now() - started
    for slot in range(RUNNING + 1):
        engine.close(slot)
    return percentile(quiet, 0.99), percentile(loaded, 0.99), prefill_s


def first_token(engine: LlamaCppEngine, slot: int, text: str) -> float:
    """Seconds from open to the first token; the slot stays open."""
    started = now()
    engine.open(slot, user(text), Sampling(), (), "")
    while slot not in emitted(engine):
        pass
    return now() - started


def prefix(engine: LlamaCppEngine, mark: str) -> tuple[float, float, float]:
    """Seconds to the first token: nothing cached, the same slot again, copied from a busy slot."""
    shared = mark + "y" * PREFIX
    fresh = first_token(engine, 0, shared + "first question")
    engine.close(0)
    again = first_token(engine, 0, shared + "second question")
    copied = first_token(engine, 1, shared + "third question")
    engine.close(0)
    engine.close(1)
    return fresh, again, copied


@contextmanager
def peer(python: str, path: Path, threads: int, cpu: bool) -> Iterator[Peer]:
    """The server as a child; yields a function from streams to tokens/s."""
    command = [python, str(Path(__file__).with_name("engine_peer.py")), str(path)]
    sizes = [*map(str, (SLOTS, CONTEXT, threads, BATCH)), "cpu" if cpu else "clock"]
    with subprocess.Popen(
        [*command, *sizes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    ) as child:
        if child.stdin is None or child.stdout is None or child.stdout.readline() != "ready\n":
            child.kill()
            raise RuntimeError(f"{python} cannot run llama.cpp's server; has it xllamacpp?")
        asked = iter(range(300, 8000))

        def ask(streams: int) -> float:
            # As long as ours with the template around it; the first token is a fresh one each time.
            prompts = [[next(asked), *range(10, 9 + PROMPT)] for _ in range(streams)]
            child.stdin.write(json.dumps({"prompts": prompts, "tokens": TOKENS}) + "\n")  # type: ignore[union-attr]
            child.stdin.flush()  # type: ignore[union-attr]
            answer = json.loads(child.stdout.readline())  # type: ignore[union-attr]
            return float(answer["tokens"] / answer["seconds"])

        try:
            yield ask
        finally:
            child.kill()


def middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], digits: int = 2) -> str:
    return f"{min(values):.{digits}f} .. {max(values):.{digits}f}"


def measure_streams(engine: LlamaCppEngine, rounds: int, ask: Peer | None) -> list[Row]:
    one: list[float] = []
    many: list[float] = []
    theirs_one: list[float] = []
    theirs_many: list[float] = []
    for round_ in range(rounds + 1):
        for streams, ours, theirs in ((1, one, theirs_one), (SLOTS, many, theirs_many)):
            found = rate(engine, streams, f"{round_} hello")
            peers = ask(streams) if ask else 0.0
            if round_:  # the first is for warming up
                ours.append(found)
                theirs.append(peers)
    gain = [b / a for a, b in zip(one, many, strict=True)]
    rows = [
        Row("tokens/s, 1 stream", f"{middle(one):,.0f}", *_against(one, theirs_one, ask)),
        Row("tokens/s, 8 streams", f"{middle(many):,.0f}", *_against(many, theirs_many, ask)),
        Row("8 streams against 1 (bar: 2.5)", f"{middle(gain):.2f}", "", spread(gain)),
    ]
    if ask:
        theirs = [b / a for a, b in zip(theirs_one, theirs_many, strict=True)]
        rows.append(
            Row("  the same of llama.cpp's server", f"{middle(theirs):.2f}", spread(theirs))
        )
    return rows


def _against(ours: list[float], theirs: list[float], ask: Peer | None) -> tuple[str, str]:
    if ask is None:
        return "", ""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{middle(theirs):,.0f}", f"{middle(ratios):.2f} ({spread(ratios)}), bar 0.9"


def measure_beside(engine: LlamaCppEngine, rounds: int) -> list[Row]:
    found = [beside(engine, f"b{round_}") for round_ in range(rounds)]
    ratios = [loaded / quiet for quiet, loaded, _ in found]
    return [
        Row(
            f"p99 between tokens of {RUNNING} streams beside {LONG:,} tokens of prefill, ms",
            f"{1e3 * middle([loaded for _, loaded, _ in found]):.1f}",
            f"{1e3 * middle([quiet for quiet, _, _ in found]):.1f}",
            f"{middle(ratios):.2f} ({spread(ratios)}), bar 3",
        ),
        Row("  that prefill, s", f"{middle([s for _, _, s in found]):.1f}"),
    ]


def measure_prefix(engine: LlamaCppEngine, rounds: int) -> list[Row]:
    found = [prefix(engine, f"p{round_}") for round_ in range(rounds)]
    fresh = f"{1e3 * middle([f for f, _, _ in found]):,.0f}"
    rows = []
    for name, column in (("slot free again", 1), ("first one's slot busy", 2)):
        ratios = [times[column] / times[0] for times in found]
        rows.append(
            Row(
                f"first token after {PREFIX:,} cached tokens, {name}, ms",
                f"{1e3 * middle([times[column] for times in found]):,.0f}",
                fresh,
                f"{middle(ratios):.3f} ({spread(ratios, 3)}), bar 0.2",
            )
        )
    return rows


async def measure_overhead(engine: LlamaCppEngine, spec: ModelSpec, rounds: int) -> list[Row]:
    free = ModelSpec(
        id="free", source="free", slots=SLOTS, context_length=100_000, threads=1,
        options={"words": 90_000},
    )  # fmt: skip
    alone: list[float] = []
    whole: list[float] = []
    way: list[float] = []
    async with Way("llama_cpp", spec) as real, Way("simulated", free) as simulated:
        for round_ in range(rounds + 1):
            # In a thread, since links must beat meanwhile.
            ours = await asyncio.to_thread(rate, engine, SLOTS, f"{round_} over")
            through = await real.rate(SLOTS, TOKENS, f"{round_} over")
            cost = await simulated.rate(SLOTS, 4_000, "x")
            if round_:
                alone.append(ours)
                whole.append(through)
                way.append(1e6 / cost)
    ratios = [a / b for a, b in zip(whole, alone, strict=True)]
    return [
        Row(
            "tokens/s, 8 streams: runner, agent, ZeroMQ, reader",
            f"{middle(whole):,.0f}",
            f"{middle(alone):,.0f}",
            f"{middle(ratios):.2f} ({spread(ratios)})",
        ),
        Row("  that way alone (engine free), microseconds a token", f"{middle(way):.1f}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--peer-python", default="", help="a Python that has xllamacpp")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu", action="store_true", help="CPU seconds instead of the clock's")
    arguments = parser.parse_args()
    parts = arguments.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}; one of {', '.join(PARTS)}")
    if arguments.cpu:
        if "overhead" in parts:
            parser.error("--cpu counts one process; overhead is of three, leave it out")
        global now
        now = time.process_time
    threads, rounds = arguments.threads, arguments.rounds
    notes = [f"{threads} threads, {rounds} rounds; medians, (lowest .. highest)"]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "bench.gguf", RECIPE)
        spec = ModelSpec(
            id="bench", source=str(path), slots=SLOTS, context_length=CONTEXT,
            threads=threads, gpu_layers=0, options={"batch": BATCH},
        )  # fmt: skip
        engine = LlamaCppEngine(seconds=now)
        engine.load(spec)
        for part in parts:
            rows = _measure(part, engine, spec, arguments, path)
            show(f"Engine llama_cpp, random weights, f32: {part}", rows, notes)
        engine.unload()


def _measure(
    part: str, engine: LlamaCppEngine, spec: ModelSpec, given: argparse.Namespace, path: Path
) -> list[Row]:
    match part:
        case "streams" if given.peer_python:
            with peer(given.peer_python, path, given.threads, given.cpu) as ask:
                return measure_streams(engine, given.rounds, ask)
        case "streams":
            return measure_streams(engine, given.rounds, None)
        case "beside":
            return measure_beside(engine, given.rounds)
        case "prefix":
            return measure_prefix(engine, given.rounds)
        case _:
            return asyncio.run(measure_overhead(engine, spec, given.rounds))


if __name__ == "__main__":
    main()
