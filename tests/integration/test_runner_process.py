"""A real runner process: streams under credit, and whatever dies or hangs, the agent knows."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from mesh.clock import Clock, ManualClock, SystemClock
from mesh.errors import EngineFailed, InvalidRequest, Overloaded
from mesh.fleet.records import ModelState
from mesh.types import FinishReason, Message, Piece, Role, Sampling
from node.engines.base import ModelSpec
from node.runner.messages import Done, Opened, Opening, Pieces, Prefill, Rejected
from node.runner.process import CRASH_LIMIT, HANG_S, RunnerProcess, restart_delay
from node.runner.sequence import Sequence
from tests.gguf import write_chain

pytestmark = pytest.mark.processes

DEADLINE_S = 20.0
SLOW = {"base_ms": 20, "words": 100_000}  # a token every 20 ms, and no end
HELLO = (Message.of(Role.USER, "hello there"),)
TOKENIZER = "simulated"  # its engine's own
ENDLESS = Sampling(max_tokens=100_000)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - the condition may be of another process
            await asyncio.sleep(0.005)


def make(
    *, engine: str = "simulated", source: str = "x", clock: Clock | None = None, **changes: Any
) -> RunnerProcess:
    spec: dict[str, Any] = {"slots": 2, "context_length": 4096, "options": {}}
    spec |= {key: changes.pop(key) for key in tuple(changes) if key in spec}
    return RunnerProcess(
        engine,
        ModelSpec(id="model", source=source, threads=1, **spec),
        on_change=changes.pop("on_change", lambda: None),
        clock=clock or SystemClock(),
        **changes,
    )


@asynccontextmanager
async def run(runner: RunnerProcess) -> AsyncIterator[RunnerProcess]:
    """Runs it; stopped when the context is left."""
    async with asyncio.timeout(4 * DEADLINE_S), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(runner.run())
        try:
            yield runner
        finally:
            task.cancel()


@asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[RunnerProcess]:
    async with run(make(**changes)) as runner:
        await until(lambda: runner.state is ModelState.RESIDENT)
        yield runner


def start(runner: RunnerProcess, **changes: Any) -> Sequence:
    arguments: dict[str, Any] = {
        "messages": HELLO,
        "sampling": Sampling(),
        "credit": 64,
        "tokenizer_hash": TOKENIZER,
    }
    return runner.open(Opening(**(arguments | changes)))


async def read(sequence: Sequence) -> tuple[list[Piece], Done | Rejected | None]:
    """All pieces, granting as they come, and how it ended. Checks that indexes have no gap."""
    pieces: list[Piece] = []
    last: Done | Rejected | None = None
    first: int | None = None
    async with asyncio.timeout(DEADLINE_S):
        async for event in sequence:
            assert last is None, "nothing comes after the end"
            match event:
                case Pieces():
                    first = event.first if first is None else first
                    assert event.first == first + len(pieces)
                    pieces += event.pieces
                    sequence.grant(len(event.pieces))
                case Done() | Rejected():
                    last = event
    return pieces, last


async def some_pieces(sequence: Sequence, count: int) -> list[Piece]:
    """At least ``count`` pieces, without granting more."""
    pieces: list[Piece] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(pieces) < count:
            event = await anext(sequence)
            if isinstance(event, Pieces):
                pieces += event.pieces
    return pieces


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def words(first: int, count: int) -> str:
    return "".join(f"tok{n} " for n in range(first, first + count))


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def test_an_answer_streams_in_order_and_its_slot_is_free_after_it() -> None:
    async with running(options={"words": 10}) as runner:
        assert runner.facts is not None
        assert runner.facts.tokenizer_hash == "simulated"
        sequence = start(runner)
        assert runner.used_slots == 1
        events = [event async for event in sequence]
        assert isinstance(events[0], Opened)
        assert isinstance(events[1], Prefill)
        end = events[-1]
        assert isinstance(end, Done)
        assert end.reason is FinishReason.STOP
        assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (6, 10)
        assert end.usage.prefill_ms >= 0
        pieces = [p for e in events if isinstance(e, Pieces) for p in e.pieces]
        assert text(pieces) == words(0, 10)
        assert [p.id for p in pieces] == list(range(10))
        assert runner.used_slots == 0


async def test_max_tokens_and_stop_strings_end_an_answer() -> None:
    async with running(options={"words": 100}) as runner:
        pieces, end = await read(start(runner, sampling=Sampling(max_tokens=7)))
        assert isinstance(end, Done)
        assert (end.reason, text(pieces)) == (FinishReason.LENGTH, words(0, 7))
        pieces, end = await read(start(runner, sampling=Sampling(stop=("k3 tok4",))))
        assert isinstance(end, Done)
        assert (end.reason, text(pieces)) == (FinishReason.STOP_STRING, words(0, 3) + "to")


@pytest.mark.parametrize("tokenizer", [TOKENIZER, "another"])
async def test_a_resume_goes_on_after_what_was_delivered_with_the_same_budget(
    tokenizer: str,
) -> None:
    async with running(options={"words": 100}) as runner:
        delivered = tuple(Piece(id=n, text=f"tok{n} ") for n in range(8))
        sampling = Sampling(max_tokens=12)
        sequence = start(runner, sampling=sampling, delivered=delivered, tokenizer_hash=tokenizer)
        events = [event async for event in sequence]
        first = next(e for e in events if isinstance(e, Pieces))
        assert first.first == 8
        pieces = [p for e in events if isinstance(e, Pieces) for p in e.pieces]
        assert text(pieces) == words(8, 4)
        end = events[-1]
        assert isinstance(end, Done)
        assert end.reason is FinishReason.LENGTH
        assert end.usage.completion_tokens == 12


async def test_a_resume_that_lacked_only_its_end_ends_at_once() -> None:
    async with running(options={"words": 100}) as runner:
        delivered = tuple(Piece(id=n, text=f"tok{n} ") for n in range(5))
        for sampling, reason in (
            (Sampling(max_tokens=5), FinishReason.LENGTH),
            (Sampling(stop=("tok4 ",)), FinishReason.STOP_STRING),
        ):
            pieces, end = await read(start(runner, sampling=sampling, delivered=delivered))
            assert pieces == []
            assert isinstance(end, Done)
            assert end.reason is reason
        assert runner.used_slots == 0


async def test_a_sequence_without_credit_waits_while_others_go_on() -> None:
    async with running(options={"words": 200}) as runner:
        slow = start(runner, credit=3)
        assert len(await some_pieces(slow, 3)) == 3
        pieces, _ = await read(start(runner))
        assert len(pieces) == 200, "the other one is not held up"
        assert not slow._events, "nothing more came without credit"
        slow.grant(2)
        assert text(await some_pieces(slow, 2)) == words(3, 2)
        rest, end = await read_on(slow)
        assert text(rest) == words(5, 195)
        assert isinstance(end, Done)


async def read_on(sequence: Sequence) -> tuple[list[Piece], Done | Rejected | None]:
    sequence.grant(1)
    return await read(sequence)


async def test_what_a_stop_string_held_back_leaves_under_credit_too() -> None:
    async with running(options={"words": 12}) as runner:
        # Everything may begin the stop string, so that all is held until the very end.
        sequence = start(runner, credit=4, sampling=Sampling(stop=(words(0, 12) + "never",)))
        assert len(await some_pieces(sequence, 4)) == 4
        assert not sequence._events
        pieces, end = await read_on(sequence)
        assert text(pieces) == words(4, 8)
        assert isinstance(end, Done)


async def test_a_cancelled_sequence_frees_its_slot_and_yields_nothing_more() -> None:
    async with running(slots=1, options=SLOW) as runner:
        async with start(runner, sampling=ENDLESS) as sequence:
            await some_pieces(sequence, 2)
            with pytest.raises(Overloaded, match="1 slots"):
                start(runner)
        sequence.cancel()  # idempotent
        assert [event async for event in sequence] == []
        cancelled = time.monotonic()
        await until(lambda: runner.used_slots == 0)
        assert time.monotonic() - cancelled < 1.0
        assert len(await some_pieces(start(runner), 2)) >= 2


async def test_a_cancel_in_prefill_frees_the_slot_before_the_prefill_is_over() -> None:
    options = {"prefill_ms_per_token": 1, "batch": 16}
    async with running(slots=1, context_length=100_000, options=options) as runner:
        long = (Message.of(Role.USER, "word " * 20_000),)  # 20 s of prefill
        sequence = start(runner, messages=long)
        async for event in sequence:
            if isinstance(event, Prefill):
                break
        sequence.cancel()
        cancelled = time.monotonic()
        await until(lambda: runner.used_slots == 0)
        assert time.monotonic() - cancelled < 2.0


async def test_what_cannot_be_served_is_rejected_and_frees_its_slot() -> None:
    async with running(slots=1, context_length=32) as runner:
        long = (Message.of(Role.USER, "word " * 100),)
        for changes, code in (
            ({"messages": long}, "context_overflow"),
            ({"sampling": Sampling(max_tokens=-1)}, "invalid_request"),
        ):
            pieces, end = await read(start(runner, **changes))
            assert pieces == []
            assert isinstance(end, Rejected)
            assert end.code == code
            assert runner.used_slots == 0
        with pytest.raises(InvalidRequest, match="Unicode"):
            start(runner, messages=(Message.of(Role.USER, "\ud800"),))
        with pytest.raises(InvalidRequest, match="bytes"):
            start(runner, messages=(Message.of(Role.USER, "x" * 17_000_000),))
        _, end = await read(start(runner))
        assert isinstance(end, Done)


async def test_a_killed_runner_fails_its_sequences_at_once_and_comes_back() -> None:
    changes: list[ModelState] = []
    runner = make(options=SLOW, on_change=lambda: changes.append(runner.state))
    async with run(runner):
        await until(lambda: runner.state is ModelState.RESIDENT)
        sequence = start(runner, sampling=ENDLESS)
        await some_pieces(sequence, 3)
        pid = runner.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        with pytest.raises(EngineFailed, match="died"):
            await read(sequence)
        assert time.monotonic() - killed < 1.0
        assert runner.used_slots == 0
        await until(lambda: "SIGKILL" in (runner.error or ""))
        with pytest.raises(EngineFailed, match="not resident"):
            start(runner)
        await until(lambda: runner.state is ModelState.RESIDENT)
        assert runner.pid not in (None, pid)
        assert runner.error is None
        assert len(await some_pieces(start(runner), 1)) >= 1
    assert changes[0] is ModelState.LOADING
    assert runner.state is ModelState.COLD


async def test_an_engine_that_fails_says_why() -> None:
    async with running(options={"fail_at": 5}) as runner:
        sequence = start(runner)
        assert len(await some_pieces(sequence, 5)) == 5
        with pytest.raises(EngineFailed, match="simulated failure at token 5"):
            await read(sequence)


async def test_a_hung_engine_is_killed_and_counts_as_a_crash() -> None:
    clock = ManualClock()
    async with running(options={"hang_at": 3}, clock=clock) as runner:
        await clock.advance(10 * HANG_S)  # silence without work is no hang
        assert runner.state is ModelState.RESIDENT
        sequence = start(runner)
        await some_pieces(sequence, 3)
        pid = runner.pid
        assert pid is not None
        await clock.advance(HANG_S / 2)
        assert runner.pid == pid
        await clock.advance(HANG_S)
        with pytest.raises(EngineFailed, match="hangs"):
            await read(sequence)
        await until(lambda: not alive(pid))
        async with asyncio.timeout(DEADLINE_S):
            while runner.state is not ModelState.RESIDENT:
                await clock.advance(0.05)  # through the wait before the next start


async def test_a_slow_reader_is_not_taken_for_a_hung_engine() -> None:
    clock = ManualClock()
    async with running(options={"words": 50}, clock=clock) as runner:
        sequence = start(runner, credit=2)
        await some_pieces(sequence, 2)
        pid = runner.pid
        await clock.advance(10 * HANG_S)
        assert runner.pid == pid
        pieces, _ = await read_on(sequence)
        assert len(pieces) == 48


async def test_too_many_crashes_are_final_and_say_why() -> None:
    clock = ManualClock()
    runner = make(options={"crash_at": 0}, clock=clock)
    async with run(runner):
        for _ in range(CRASH_LIMIT):
            await until(lambda: runner.state is ModelState.RESIDENT)
            with pytest.raises(EngineFailed):
                await read(start(runner))
            await until(lambda: "SIGKILL" in (runner.error or ""))
            await clock.advance(31.0)
        await until(lambda: runner.state is ModelState.FAILED)
        assert runner.pid is None
        assert "SIGKILL" in (runner.error or "")
        assert f"ended {CRASH_LIMIT} times within 300 s (crash_limit)" in (runner.error or "")
        with pytest.raises(EngineFailed, match="failed"):
            start(runner)


async def test_the_limit_of_crashes_is_a_setting() -> None:
    runner = make(options={"crash_at": 0}, crash_limit=1)
    async with run(runner):
        await until(lambda: runner.state is ModelState.RESIDENT)
        with pytest.raises(EngineFailed):
            await read(start(runner))
        await until(lambda: runner.state is ModelState.FAILED)
        assert "ended once within 300 s (crash_limit)" in (runner.error or "")


@pytest.mark.parametrize(
    ("engine", "options", "words"),
    [
        ("llama_cpp", {}, "no model file"),
        ("simulated", {"nonsense": 1}, "no option 'nonsense'"),
        ("no_such_engine", {}, "known: "),
    ],
)
async def test_a_bad_file_or_setting_is_final_at_once(
    engine: str, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    runner = make(engine=engine, source=str(tmp_path / "none.gguf"), options=options)
    async with asyncio.timeout(DEADLINE_S):
        await runner.run()  # returns, since trying again is of no use
    assert runner.state is ModelState.FAILED
    assert words in (runner.error or "")
    assert runner.pid is None


@pytest.mark.parametrize(
    ("crashes", "delay"),
    [
        ([0.0], 1.0),
        ([0.0, 1.0], 2.0),
        ([0.0, 1.0, 2.0], 4.0),
        ([0.0, 1.0, 2.0, 3.0], 8.0),
        ([0.0, 1.0, 2.0, 3.0, 4.0], None),
        ([-400.0, -399.0, -398.0, -397.0, 4.0], 1.0),
    ],
)
def test_restarts_slow_down_and_end(crashes: list[float], delay: float | None) -> None:
    assert restart_delay(crashes, now=5.0) == delay


@pytest.mark.parametrize("options", [{}, SLOW, {"hang_at": 1}])
async def test_stopping_leaves_no_process_whatever_the_engine_does(
    options: dict[str, Any],
) -> None:
    async with running(options=options) as runner:
        pid = runner.pid
        assert pid is not None
        sequence = start(runner, sampling=ENDLESS)
        await some_pieces(sequence, 1)
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 3.5
    assert not alive(pid)
    assert runner.used_slots == 0


async def test_stopping_while_loading_leaves_no_process() -> None:
    runner = make(options={"load_ms": 60_000})
    async with run(runner):
        await until(lambda: runner.load_percent == 0 and runner.pid is not None)
        pid = runner.pid
        assert pid is not None
    assert not alive(pid)


async def test_an_interrupt_from_the_terminal_does_not_reach_a_runner() -> None:
    async with running() as runner:
        assert runner.pid is not None
        os.kill(runner.pid, signal.SIGINT)
        pieces, _ = await read(start(runner))
        assert len(pieces) == 64


AGENT = """
import asyncio
from mesh.clock import SystemClock
from mesh.fleet.records import ModelState
from node.engines.base import ModelSpec
from node.runner.process import RunnerProcess

spec = ModelSpec(id="m", source="x", slots=1, context_length=64, threads=1)
def tell():
    if runner.state is ModelState.RESIDENT:
        print(runner.pid, flush=True)
runner = RunnerProcess("simulated", spec, on_change=tell, clock=SystemClock())
asyncio.run(runner.run())
"""


async def test_a_runner_does_not_outlive_an_agent_that_is_killed() -> None:
    agent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AGENT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert agent.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            pid = int(await agent.stdout.readline())
        assert alive(pid)
    finally:
        agent.kill()
        await agent.wait()
    await until(lambda: not alive(pid))


async def test_a_runners_last_words_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "runner.log"
    runner = make(stderr=log)
    async with run(runner):
        await until(lambda: runner.state is ModelState.RESIDENT)
        log.write_text("earlier line\nsomething broke\n")
        assert runner.pid is not None
        os.kill(runner.pid, signal.SIGABRT)
        await until(lambda: "SIGABRT" in (runner.error or ""))
        assert "something broke" in (runner.error or "")


@pytest.mark.engine
async def test_a_real_model_streams_whole_characters_and_stops_where_told(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "chain.gguf", "abc é€!")
    async with running(engine="llama_cpp", source=str(path), context_length=128) as runner:
        assert runner.load_percent == 100
        assert runner.facts is not None
        assert runner.facts.architecture == "llama"
        pieces, end = await read(start(runner))
        assert text(pieces) == "abc é€!"
        assert len(pieces) == 10, "a piece a token, though three of them make one character"
        assert isinstance(end, Done)
        assert end.reason is FinishReason.STOP
        # Cut inside the euro sign: by ids, the resume still brings the whole character.
        rest, _ = await read(start(runner, delivered=tuple(pieces[:8])))
        assert text(pieces[:8]) + text(rest) == "abc é€!"
        pieces, end = await read(start(runner, sampling=Sampling(stop=("é",))))
        assert text(pieces) == "abc "
        assert isinstance(end, Done)
        assert end.reason is FinishReason.STOP_STRING
        assert end.usage.cached_tokens > 0
