"""The memo: what a look costs inside the cascade, for a hit and for a miss.

    python -m benchmarks.memo [--entries N] [--rounds N]

Method. One process, one event loop (uvloop, as orchestrators use). A memo in memory is filled with
``--entries`` answers of 128 tokens. Prompts are of 300 bytes, or end a conversation of 32 KB in
eight turns; half of those asked were kept, half were not. One figure is one
``Cascade.decide`` with the memo as its only stage, as an orchestrator calls it: key, look, decoding
of the answer, verdict. Beside it in the same run, in turns, prompt by prompt:

* ``dict``: a look into a dictionary of the same answers as objects, by the prompt's own text: no
  normalising, no hashing, no limits; the floor for anything that finds an answer by its prompt;
* ``sha-256``: of the same bytes, the floor for any key that is safe to share.

Then answers of 1,024 tokens; the same memo with nothing of its own before a Redis on loopback,
beside a bare ``GET`` of the same client; texts of a megabyte made to be slow; bytes an entry.
Each figure also by the thread's CPU time, which leaves out what a busy machine did in between.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import uvloop

from benchmarks.figures import Row, machine, percentile, show
from mesh.clock import SystemClock
from mesh.types import FinishReason, Message, ModelId, NodeId, Piece, Role, Specialty
from orchestrator.memo.base import Memo, Remembered
from orchestrator.memo.in_process import InProcessMemo
from orchestrator.memo.redis import PREFIX, RedisMemo
from orchestrator.memo.settings import MemoSettings
from orchestrator.router.base import Features
from orchestrator.router.cascade import Cascade
from orchestrator.router.memo import SPEC, MemoStage
from orchestrator.router.spec import Placed
from training.rigs.redis_server import RedisServer, running

SALT = "benchmark"
ASKED = 200  # prompts a round
SHARED_ENTRIES = 250  # as many as the memo's queue of writes takes at once
SETTINGS = MemoSettings(max_bytes=256 * 1024 * 1024, redis_timeout_ms=1000.0)
HOSTILE = {
    "one letter": "a" * 1_000_000,
    "combining marks": ("\u0301" * 50 + "\u0323" * 50) * 10_000,
    "marks, 8 Ki": ("\u0301" * 50 + "\u0323" * 50) * 81,
    "256 Ki of U+FDFA": "\ufdfa" * 262_144,
    "lone surrogates": "\ud800" * 1_000_000,
}


@dataclass(frozen=True, slots=True)
class Spent:
    """Microseconds by the wall, and of this thread's CPU."""

    wall: list[float]
    cpu: list[float]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.memo")
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args(argv)
    uvloop.run(_measure(options.entries, options.rounds))
    return 0


async def _measure(entries: int, rounds: int) -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # as orchestrators do (orchestrator/__main__.py)
    chance = random.Random(1)
    rows: list[Row] = []
    for what, prompt in (("300 B", _prompt), ("32 KB history", _conversation)):
        rows += await _in_memory(what, [prompt(chance) for _ in range(entries)], 128, rounds)
    rows += await _in_memory(
        "300 B, 1,024 tokens", [_prompt(chance) for _ in range(500)], 1024, rounds
    )
    show(f"A look in the memo, {entries:,} entries, microseconds", rows, _NOTES)
    show("Through Redis on loopback, microseconds", await _in_redis(chance, rounds))
    print(f"\n{'hostile text, ms':24}{'p50':>9}{'cpu p50':>9}   {machine()}")
    for name, text in HOSTILE.items():
        cascade = _cascade(InProcessMemo(SETTINGS, SystemClock()))
        features = _features(text)
        spent = await _timed([[partial(cascade.decide, features)]], 41)
        wall, cpu = percentile(spent[0].wall, 0.5) / 1e3, percentile(spent[0].cpu, 0.5) / 1e3
        print(f"{name:24}{wall:9.3f}{cpu:9.3f}")


_NOTES = (
    "Squadron: Cascade.decide with the memo as its stage. Floors: a look into a dict of the same",
    "answers by the prompt's text; SHA-256 of the prompt. p50, p99 by the wall; cpu: p50.",
)


async def _in_memory(what: str, asked: list[Features], tokens: int, rounds: int) -> list[Row]:
    memo = InProcessMemo(SETTINGS, SystemClock())
    plain: dict[tuple[str, ...], Remembered] = {}
    for features in asked:
        answer = _answer(tokens)
        await memo.keep(_key(features), answer)
        plain[_texts(features)] = answer
    cascade = _cascade(memo)
    chosen = random.Random(2).sample(asked, ASKED)
    new = [_features(*_texts(features)[:-1], f"{features.last_user} again") for features in chosen]
    whole = ["".join(_texts(features)).encode() for features in chosen]
    # The texts anew, as they come off a wire: a str that was hashed once keeps its hash.
    fresh = [tuple(text.encode() for text in _texts(features)) for features in chosen]
    hit, miss, look, sha = await _timed(
        [
            [partial(cascade.decide, features) for features in chosen],
            [partial(cascade.decide, features) for features in new],
            [partial(_found, plain, texts) for texts in fresh],
            [partial(hashlib.sha256, text) for text in whole],
        ],
        rounds,
    )
    for features in chosen:
        if (await cascade.decide(features)).answer is None:
            raise SystemExit("a prompt that was kept was not found: the figures mean nothing")
    each = memo.counts.bytes / memo.counts.entries
    return [
        _row(f"hit, {what}", hit, "dict", look),
        _row(f"miss, {what}", miss, "sha-256", sha),
        Row(f"bytes an entry, {what}", f"{each:,.0f} ({tokens} tokens)"),
    ]


async def _in_redis(chance: random.Random, rounds: int) -> list[Row]:
    asked = [_prompt(chance) for _ in range(SHARED_ENTRIES)]
    async with RedisServer() as server:
        memo = RedisMemo(replace(SETTINGS, redis=server.url, max_bytes=0), SystemClock())
        near = RedisMemo(replace(SETTINGS, redis=server.url), SystemClock())
        async with running(memo), running(near):
            async with asyncio.timeout(15.0):
                while memo.trouble or near.trouble:  # noqa: ASYNC110 (another process)
                    await asyncio.sleep(0.005)
            for features in asked:
                if not await memo.keep(_key(features), _answer(128)):
                    raise SystemExit("the memo's queue of writes is shorter than the benchmark's")
                await near.keep(_key(features), _answer(128))
            there, here = _cascade(memo), _cascade(near)
            client = server.client()
            async with asyncio.timeout(15.0):
                while await client.dbsize() < len(asked):  # noqa: ASYNC110 (another process)
                    await asyncio.sleep(0.01)
            chosen = random.Random(2).sample(asked, ASKED)
            new = [_features(f"{features.last_user} again") for features in chosen]
            names = [PREFIX + _key(features).hex() for features in chosen]
            hit, close, miss, get = await _timed(
                [
                    [partial(there.decide, features) for features in chosen],
                    [partial(here.decide, features) for features in chosen],
                    [partial(there.decide, features) for features in new],
                    [partial(client.get, name) for name in names],
                ],
                max(2, rounds // 4),
            )
            await client.aclose()
    return [
        _row("hit in Redis", hit, "bare GET", get),
        _row("hit held here as well", close, "bare GET", get),
        _row("miss", miss, "bare GET", get),
    ]


async def _timed(
    columns: list[list[Callable[[], Awaitable[object] | object]]], rounds: int
) -> list[Spent]:
    """Every column's calls one by one, in turns; the first round warms up."""
    spent = [Spent([], []) for _ in columns]
    for number in range(rounds + 1):
        for calls in zip(*columns, strict=True):
            for column, call in zip(spent, calls, strict=True):
                cpu, started = time.thread_time(), time.perf_counter()
                said = call()
                if isinstance(said, Awaitable):
                    await said
                ended, cpu_ended = time.perf_counter(), time.thread_time()
                if number:
                    column.wall.append((ended - started) * 1e6)
                    column.cpu.append((cpu_ended - cpu) * 1e6)
    return spent


def _found(plain: dict[tuple[str, ...], Remembered], texts: tuple[bytes, ...]) -> Remembered | None:
    return plain.get(tuple([text.decode() for text in texts]))


def _row(what: str, ours: Spent, floor_name: str, floor: Spent) -> Row:
    ratio = percentile(ours.wall, 0.5) / percentile(floor.wall, 0.5)
    return Row(what, _figure(ours), f"{floor_name} {_figure(floor)}", f"{ratio:.1f}x")


def _figure(spent: Spent) -> str:
    p50, p99 = percentile(spent.wall, 0.5), percentile(spent.wall, 0.99)
    return f"{p50:.1f}, {p99:.1f}; cpu {percentile(spent.cpu, 0.5):.1f}"


def _cascade(memo: Memo) -> Cascade:
    return Cascade([Placed(SPEC, MemoStage(memo, SALT, SystemClock()))], Specialty("chat"), SALT)


def _key(features: Features) -> bytes:
    key = MemoStage(InProcessMemo(SETTINGS, SystemClock()), SALT, SystemClock()).key(features)
    if key is None:
        raise SystemExit("the benchmark's prompt is too long for the memo")
    return key


def _features(*texts: str) -> Features:
    roles = (Role.USER, Role.ASSISTANT)
    return Features.of(
        tuple(Message.of(roles[(len(texts) - 1 - n) % 2], text) for n, text in enumerate(texts))
    )


def _texts(features: Features) -> tuple[str, ...]:
    return tuple(message.text for message in features.messages)


def _prompt(chance: random.Random, size: int = 300) -> Features:
    return _features(_words(chance, size))


def _conversation(chance: random.Random) -> Features:
    # Long turns are shared text with a beginning of their own, so that 10,000 of them fit.
    return _features(*(f"{chance.random()} {_TURN}" for _ in range(8)), _words(chance, 300))


def _words(chance: random.Random, size: int) -> str:
    letters = "aeioubcdfghlmnprst"
    words: list[str] = []
    while sum(map(len, words)) + len(words) < size:
        words.append("".join(chance.choices(letters, k=chance.randint(3, 9))))
    return " ".join(words)[:size]


_TURN = _words(random.Random(3), 4_000)


def _answer(tokens: int) -> Remembered:
    return Remembered(
        specialty=Specialty("math"),
        pieces=tuple(Piece(id=n * 37 % 50_000, text=f" w{n}") for n in range(tokens)),
        reason=FinishReason.STOP,
        model=ModelId("toy-math"),
        node=NodeId("n1"),
        node_name="attic",
        tokenizer_hash="0" * 16,
        prompt_tokens=80,
        kept_at=SystemClock().wall(),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
