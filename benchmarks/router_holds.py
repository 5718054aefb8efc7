"""How long each stage of the router holds the event loop, whatever the text, and whose wait is how
long.

    python -m benchmarks.router_holds [--texts N] [--seed N]

Method. One process, one event loop (uvloop and frozen garbage collection, as orchestrators use),
the default stages up to the classifier with the rules that ship. Texts are made to be slow, by
number from the seed: runs of brackets, signs, digits, commas and words behind the openings that the
exact tools read; random bytes as Latin-1; mixed scripts, marks and letters that become many; up to
64 Ki characters. A hold is the thread's CPU time of one stage's part of one decision, up to its
first wait: what a busy machine did in between is left out. ``prior`` is what a conversation of
sixteen such turns was about, ``affinity`` where it is.

* ``loop``: a heartbeat each millisecond beside whole decisions that the solver cannot answer, so
  that its process is killed and started anew each time, in a process that holds ``--ballast-mib``
  of memory. Beside it the same heartbeat with nothing to do, which is the machine's own part;
* ``wait``: what these decisions took.

Bars: 5 ms for each stage, 300 ms for the solver's wait (and 50 ms that the cascade grants it).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial

import uvloop

from benchmarks.figures import Row, percentile, show
from mesh.clock import SystemClock
from mesh.settings.router import RouterSettings
from mesh.stream import StreamEvent
from mesh.types import Message, Request, Role, Specialty
from orchestrator.picture.affinity import Affinity
from orchestrator.router.base import Features
from orchestrator.router.cascade import Cascade
from orchestrator.router.conversation import so_far
from orchestrator.router.reload import starter_rules
from orchestrator.router.rule_file import parse
from orchestrator.router.spec import Placed
from orchestrator.router.stages import Stages
from orchestrator.rules.labelled import features as features_of

STAGES = ("memo", "exact", "rules", "conversation", "classifier")
TURNS = 16
BEAT_S = 0.001
OPENINGS = (
    *("integrate ", "solve ", "simplify ", "factor ", "differentiate ", "what is ", "convert "),
    *("how many days until ", "is prime ", "limit of ", "if all ", "x^2 = ", "lcm of ", "sum of "),
    *("find the ", "tangent at ", "if p then ", "", "", ""),
)
PIECES = (
    *("(", "[", "{", "((", ")", "]", "x", "y", "^", "**", "sin ", "log(", "1", "99999", "0.", "1/"),
    *("+", "-", " ", "²", "½", "٣", "é", "ÿ", "\x80", "and ", "or ", "not ", "to ", "= ", "< "),
    *("sqrt(", "| ", "!", "%", "million ", "twenty ", "e", ".", ",", ", ", "1,000", "$", "\\frac{"),
    *(
        "january ",
        "km ",
        "feet ",
        "if ",
        "all ",
        "then ",
        "a ",
        "\n",
        "\0",
        "漢",
        "ﷺ",
        "İ",
        "\u0323",
    ),
    *("\u202e", "\U0001d51e", "a\u0301", "а", "ο", "ᴀ", "😀\u200d", "- x "),
)
LENGTHS = (50, 150, 200, 300, 500, 600, 1_000, 4_000, 32_000, 64_000)
# Nobody knows an integral of these, or not in a third of a second.
HARD = (
    *("integrate sin(x^2)*exp(x^3)/log(x)", "integrate x^x", "solve x^9+x^7+sin(x)=3"),
    *("integrate 1/(x^7+sin(x)+1)", "simplify (a+b+c+d)^20", "integrate exp(x^2)*sin(x^3)*log(x)"),
)


def text(seed: int, number: int) -> str:
    """Text ``number``: the same at each call."""
    chance = random.Random(f"{seed} {number}")
    length = chance.choice(LENGTHS)
    opening = chance.choice(OPENINGS)
    first, second = chance.choice(PIECES), chance.choice(PIECES)
    match chance.randrange(6):
        case 0:
            body = chance.randbytes(length).decode("latin-1")
        case 1:
            body = first * length
        case 2:
            body = (first + second) * length
        case 3:
            body = (first * length)[: length // 2] + second * length
        case 4:
            body = "".join(chance.choice(PIECES) for _ in range(length))
        case _:
            blocks = ((32, 0x3000), (0x300, 0x370), (0x10000, 0x1FFFF))
            body = "".join(chr(chance.randrange(*chance.choice(blocks))) for _ in range(length))
    return (opening + body)[:length]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.router_holds")
    parser.add_argument("--texts", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--decisions", type=int, default=40, help="that the solver cannot answer")
    parser.add_argument("--ballast-mib", type=int, default=512)
    options = parser.parse_args(argv)
    uvloop.run(_measure(options))
    return 0


async def _measure(options: argparse.Namespace) -> None:
    stages = Stages(RouterSettings(stages=STAGES), SystemClock(), ask=_nobody)
    rules = parse(starter_rules().read_bytes())
    cascade = Cascade(stages.arrange(rules, "starter rules"), Specialty("chat"), rules.version)
    ballast = bytearray(options.ballast_mib * 2**20)
    ballast[::4096] = b"1" * (len(ballast) // 4096)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(stages.run())
        await _warm(cascade)
        gc.collect()
        gc.freeze()
        rows = _holds(cascade, options)
        idle = await _beside(lambda: asyncio.sleep(3.0))
        waits: list[float] = []
        gaps = await _beside(lambda: _unanswered(cascade, options.decisions, waits))
        running.cancel()
    rows.append(Row("loop, beside the solver", _figures(gaps), _figures(idle)))
    rows.append(Row("wait for the solver", _figures(waits)))
    show(
        "What the router holds",
        rows,
        ["p50 / p99.9 / longest, ms; bars: a stage 5 ms, the solver's wait 350 ms"],
    )


def _holds(cascade: Cascade, options: argparse.Namespace) -> list[Row]:
    held: dict[str, list[tuple[float, int]]] = {}
    affinity = Affinity()
    for number in range(options.texts):
        features = features_of(text(options.seed, number))
        for placed in cascade.stages:
            spent = _timed(partial(_asked, placed, features))
            held.setdefault(f"stage {placed.spec.name}", []).append((spent, number))
        if number % TURNS == 0:
            turns = tuple(
                Message.of(
                    Role.USER if turn % 2 else Role.ASSISTANT, text(options.seed, number + n)
                )
                for n, turn in enumerate(range(TURNS))
            )
            spent = _timed(lambda turns=turns: so_far(turns, cascade.quick))  # type: ignore[misc]
            held.setdefault("prior", []).append((spent, number))
            spent = _timed(lambda turns=turns: affinity.homes("", turns))  # type: ignore[misc]
            held.setdefault("affinity", []).append((spent, number))
    rows = []
    for name, spent_of in held.items():
        worst, number = max(spent_of)
        rows.append(Row(name, _figures([ms for ms, _ in spent_of])))
        print(f"{name}: {worst:.2f} ms, text {number}: {text(options.seed, number)[:50]!r}")
    return rows


def _asked(placed: Placed, features: Features) -> None:
    if placed.spec.quick:
        placed.stage.decide(features)
        return
    consulting = placed.stage.consult(features)
    try:
        consulting.send(None)
    except StopIteration:
        return
    finally:
        consulting.close()


def _timed(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return 1e3 * (time.thread_time() - began)


async def _beside(work: Callable[[], Awaitable[None]]) -> list[float]:
    """Milliseconds by which each beat came late, beside ``work``."""
    late: list[float] = []

    async def beat() -> None:
        while True:
            due = time.perf_counter() + BEAT_S
            await asyncio.sleep(BEAT_S)
            late.append(1e3 * max(0.0, time.perf_counter() - due))

    async with asyncio.TaskGroup() as group:
        beating = group.create_task(beat())
        await work()
        beating.cancel()
    return late


async def _unanswered(cascade: Cascade, decisions: int, waits: list[float]) -> None:
    for number in range(decisions):
        began = time.perf_counter()
        await cascade.decide(features_of(HARD[number % len(HARD)]))
        waits.append(1e3 * (time.perf_counter() - began))


async def _warm(cascade: Cascade) -> None:
    async with asyncio.timeout(60):
        for prompt in ("how many cups are in 4 quarts", "solve x^2 - 5x + 6 = 0"):
            while (await cascade.decide(features_of(prompt))).answer is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


def _figures(values: Sequence[float]) -> str:
    shares = [percentile(values, share) for share in (0.5, 0.999)]
    return " / ".join(f"{value:,.2f}" for value in (*shares, max(values)))


async def _nobody(_: Request) -> AsyncGenerator[StreamEvent, None]:
    """No model of the mesh is there to ask."""
    return
    yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
