"""The tour's third act, again and again: a sentence of the real model whose node is killed.

Method. `mesh up --detach` in a fresh state folder and on free ports: etcd, one orchestrator, two
nodes with the first model. Before it, each prompt is answered undisturbed
(greedy): the text that a kill must not change. Then, ``RUNS`` times over the prompts: wait until
both nodes are ready; ask (greedy, no memory); SIGKILL the agent that answers after 20 tokens, as
`mesh demo failover` does; read on to the end. The supervisor starts it again, and the next run
begins once it serves. *Gap*: at the client, from the last token before to the first after, nothing
subtracted. *First token*: of the undisturbed answers, which is the same work less the words that
came. *Floor*: the same file in llama.cpp alone, on one thread, reading as much as who goes on has
to (70 tokens: template, prompt and the words that came) from nothing, between the kills; a node has
some of it in its cache at times. *Words*: no index missing or twice; the text before the kill is
that of the undisturbed answer; and whether the rest is too (another batch rounds otherwise, and a
near tie may fall the other way: that is counted and is no fault).

Run: ``python -m benchmarks.failover_story [--runs 20]``. Exit code 1 when a bar is not kept, 2
without the first model.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import mesh
from benchmarks.figures import Row, percentile, show
from benchmarks.first_minute import Place, place
from mesh import Client
from mesh.cli.tour.stage import play
from mesh.cli.tour.story import Story
from mesh.cli.tour.words import Unseen
from mesh.clock import SystemClock
from mesh.local.first_model import INSTALL, first_model
from mesh.local.started import started_by

PROMPTS = (
    "What is a computer network? Explain it in a paragraph.",
    "Explain how plants make food from sunlight, in a paragraph.",
    "Tell me about the ocean in a short paragraph.",
    "What is the internet used for? Answer in a paragraph.",
)
READ = 70  # tokens that a node reads which goes on: template, prompt, the words that came
ALONE = """
import sys, time, llama_cpp
model = llama_cpp.Llama(sys.argv[1], n_ctx=4096, n_threads=1, n_threads_batch=1, verbose=False)
tokens = model.tokenize(b"A network is a system of devices that share what they have. " * 20)
model.eval(tokens[:8])
model.reset()
begun = time.perf_counter()
model.eval(tokens[: int(sys.argv[2])])
print(time.perf_counter() - begun)
"""
LONGEST = 120  # tokens of an answer
BAR_MS = 300.0
READY_S = 60.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """``gap_s`` None: nothing was seen to go on. ``same``: characters after the kill that are those
    of the undisturbed answer, of ``beyond``."""

    gap_s: float | None
    same: int
    beyond: int
    faults: tuple[str, ...]


async def undisturbed(client: Client, prompt: str) -> tuple[str, float]:
    """The text, and the milliseconds to its first token."""
    answer = client.generate(prompt, temperature=0.0, max_tokens=LONGEST, cacheable=False)
    begun, first, texts = time.perf_counter(), None, []
    async for chunk in answer:
        first = first or time.perf_counter() - begun
        texts.append(chunk.text)
    if first is None:
        raise SystemExit("an answer without a token")
    return "".join(texts), 1_000 * first


async def both_ready(client: Client) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            nodes = await client.nodes()
            if len(nodes) == 2 and all(
                node.standing == "ready" and node.link_up and not node.record.reason
                for node in nodes
            ):
                return
            await asyncio.sleep(POLL_S)


async def killed(client: Client, at: Place, prompt: str, whole: str) -> Run:
    fleet = await client.fleet()
    events = client.events(prompt, temperature=0.0, max_tokens=LONGEST, cacheable=False)
    story, who = await play(events, fleet, Unseen(), started_by(at.state), SystemClock())
    if who is None or not story.seams:
        return Run(None, 0, 0, ("nothing was seen to go on",))
    before = len("".join(story.pieces[: story.seams[0].at_token]))
    return Run(story.seams[0].gap_s, *_words(story, whole, before))


def _words(story: Story, whole: str, before: int) -> tuple[int, int, tuple[str, ...]]:
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(story.text, whole, strict=False))
    same = sum(1 for _ in alike)
    faults = list(story.faults)
    if same < before:
        faults.append(f"the words before the kill differ at {story.text[same : same + 30]!r}")
    if len(story.text) <= before:
        faults.append("it does not read on")
    return max(0, same - before), max(0, len(whole) - before), tuple(faults)


def read_alone(model: Path) -> float:
    """Milliseconds."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(model), str(READ)],
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=True,
    )
    return 1_000 * float(done.stdout)


async def measure(at: Place, model: Path, runs: int) -> int:
    done: list[Run] = []
    first_ms: list[float] = []
    floor: list[float] = []
    async with mesh.connect(at.endpoint) as client:
        for number in range(runs):
            prompt = PROMPTS[number % len(PROMPTS)]
            await both_ready(client)
            whole, first = await undisturbed(client, prompt)
            first_ms.append(first)
            floor.append(await asyncio.to_thread(read_alone, model))
            done.append(await killed(client, at, prompt, whole))
    gaps = [1_000 * run.gap_s for run in done if run.gap_s is not None]
    faults = [f"run {number}: {fault}" for number, run in enumerate(done) for fault in run.faults]
    p50 = percentile(gaps, 0.5) if gaps else float("inf")
    kept = p50 <= BAR_MS and not faults
    alike = sum(run.same == run.beyond for run in done)
    show(
        "A sentence of the real model, its node killed",
        [
            _row("gap at the client", gaps, floor),
            _row("first token, undisturbed", first_ms),
            Row("words missing, twice or changed before the kill", str(len(faults)), "bar: 0"),
            Row("answers that go on word for word as undisturbed", f"{alike} of {len(done)}"),
        ],
        [
            f"{runs} kills; bar: gap p50 {BAR_MS:g} ms, no word amiss: "
            f"{'kept' if kept else 'missed'}",
            *faults[:20],
        ],
    )
    return 0 if kept else 1


def _row(what: str, values: Sequence[float], floor: Sequence[float] = ()) -> Row:
    if not values:
        return Row(what, "none")
    p50 = percentile(values, 0.5)
    figure = f"p50 {p50:.0f} ms, p90 {percentile(values, 0.9):.0f} ms, max {max(values):.0f} ms"
    if not floor:
        return Row(what, figure)
    alone = percentile(floor, 0.5)
    return Row(what, figure, f"p50 {alone:.0f} ms", f"{p50 / alone:.1f}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="kills (%(default)s)")
    given = parser.parse_args(arguments)
    model = first_model()
    if model is None:
        print(f"the first model is not installed: {INSTALL}", file=sys.stderr)
        return 2
    with place() as at:
        at.mesh("up", "--detach")
        try:
            return asyncio.run(measure(at, model, max(1, given.runs)))
        finally:
            at.mesh("down")


if __name__ == "__main__":
    sys.exit(main())
