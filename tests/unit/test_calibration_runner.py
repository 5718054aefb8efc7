"""When a runner is measured, how it ends when a user comes, and that users never notice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import EngineFailed, Overloaded
from mesh.fleet.records import ModelCounts, ModelState
from mesh.types import FinishReason, Message, ModelId, Piece, Role, Sampling, Usage
from node.engines.base import ModelFacts, ModelSpec
from node.models.calibration import Calibration, Speeds
from node.models.calibration.plan import BUDGET_S
from node.models.calibration.quiet import PATIENCE_S
from node.models.calibration.runner import QUIET_S
from node.runner.messages import Done, Opened, Opening, Pieces, Rejected

HELLO = (Message.of(Role.USER, "hello"),)
PREFILL_S = 0.1
TOKEN_S = 0.02
MODEL = ModelId("toy")


class Paced:
    """A sequence whose tokens come by the clock; its slot is free when the runner says so."""

    def __init__(self, runner: PacedRunner, tokens: int, credit: int) -> None:
        self._runner = runner
        self._tokens = tokens
        self._credit = credit
        self._changed = asyncio.Event()
        self.cancelled = False
        self.closed = False

    def grant(self, pieces: int) -> None:
        self._credit += pieces
        self._changed.set()

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            self._changed.set()
            self._runner.cancelled(self)

    async def _pause(self, seconds: float) -> None:
        """Until then, or its cancel."""
        wait = asyncio.ensure_future(self._runner.clock.sleep(seconds))
        while not self.cancelled and not wait.done():
            self._changed.clear()
            changed = asyncio.ensure_future(self._changed.wait())
            await asyncio.wait({wait, changed}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
        wait.cancel()

    async def __aiter__(self) -> AsyncIterator[Any]:
        yield Opened(sequence=1, prompt_tokens=50)
        await self._pause(PREFILL_S)
        for index in range(self._tokens):
            while not self._credit and not self.cancelled:
                self._changed.clear()
                await self._changed.wait()
            if self.cancelled:
                return
            if self._runner.broken:
                raise EngineFailed("the runner died")
            self._credit -= 1
            yield Pieces(sequence=1, first=index, pieces=(Piece(id=1, text="x"),))
            await self._pause(TOKEN_S)
        if not self.cancelled:
            self._runner.free(self)
            usage = Usage(
                prompt_tokens=50, completion_tokens=self._tokens, prefill_ms=1000 * PREFILL_S
            )
            yield Done(sequence=1, reason=FinishReason.LENGTH, usage=usage)


class PacedRunner:
    """``slow_to_close``: cancelled slots are free only when ``close_all`` is called."""

    def __init__(self, spec: ModelSpec, on_change: Callable[[], None], clock: ManualClock) -> None:
        self.clock = clock
        self.state = ModelState.RESIDENT
        self.facts: ModelFacts | None = ModelFacts(context_length=512, device="cpu")
        self.error: str | None = None
        self.slots = spec.slots
        self.pid: int | None = None
        self.load_percent = 100
        self.counts = ModelCounts()
        self.broken = False
        self.slow_to_close = False
        self.opened = 0
        self.most_used = 0
        self._sequences: set[Paced] = set()
        self._on_change = on_change

    @property
    def used_slots(self) -> int:
        return len(self._sequences)

    async def run(self) -> None:
        await asyncio.Event().wait()

    def open(self, opening: Opening) -> Paced:
        if self.state is not ModelState.RESIDENT:
            raise EngineFailed("not resident")
        if self.used_slots >= self.slots:
            raise Overloaded("no slot")
        sequence = Paced(self, opening.sampling.max_tokens, opening.credit)
        self._sequences.add(sequence)
        self.opened += 1
        self.most_used = max(self.most_used, self.used_slots)
        return sequence

    def cancelled(self, sequence: Paced) -> None:
        if not self.slow_to_close:
            self.free(sequence)

    def free(self, sequence: Paced) -> None:
        self._sequences.discard(sequence)
        self._on_change()

    def close_all(self) -> None:
        self._sequences.clear()
        self._on_change()

    def die(self) -> None:
        self.broken = True
        self.state = ModelState.LOADING
        self.close_all()


class Box:
    """A node's calibration with runners on a clock that stands still."""

    def __init__(self, folder: Path, **facts: Any) -> None:
        self.clock = ManualClock()
        self.share = 0.0  # of the box's cores, busy with other things
        self.calibration = Calibration(
            folder, clock=self.clock, rng=random.Random(3), box=lambda: self.share
        )
        self.changes = 0
        self._facts = facts

    @asynccontextmanager
    async def runner(
        self, *, name: str = "toy", slots: int = 4, engine: str = "llama_cpp"
    ) -> AsyncIterator[tuple[Any, PacedRunner]]:
        spec = ModelSpec(id=name, source=name, slots=slots, context_length=512, threads=1)
        made: list[PacedRunner] = []

        def make(on_change: Callable[[], None]) -> PacedRunner:
            made.append(PacedRunner(spec, on_change, self.clock))
            if self._facts:
                made[-1].facts = ModelFacts(context_length=512, device="cpu", **self._facts)
            return made[-1]

        def changed() -> None:
            self.changes += 1

        runner = self.calibration.runner(engine, spec, changed, make)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            task = group.create_task(runner.run())
            await self.until(made[0], lambda: False, looks=20)  # digest and start
            try:
                yield runner, made[0]
            finally:
                task.cancel()

    async def until(
        self, runner: PacedRunner, true: Callable[[], bool], *, looks: int = 2_000
    ) -> bool:
        """Lets real threads (the file's digest) end; moves no time."""
        for _ in range(looks):
            if true():
                return True
            await asyncio.sleep(0.001)
        return true()

    async def advance(self, seconds: float, true: Callable[[], bool] = lambda: False) -> bool:
        """In small steps, at most so far; whether it came true."""
        for _ in range(round(seconds / 0.05)):
            if true():
                return True
            await self.clock.advance(0.05)
        return true()


def ask(runner: Any) -> Any:
    return runner.open(Opening(messages=HELLO, sampling=Sampling(max_tokens=5), credit=64))


async def answer(sequence: Any) -> list[Any]:
    return [event async for event in sequence]


async def test_a_busy_box_is_waited_for_and_for_so_long_only(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.share = 0.9
    async with box.runner() as (runner, real):
        assert not await box.advance(PATIENCE_S - 1.0, lambda: real.opened > 0)
        box.share = 0.1
        assert not await box.advance(QUIET_S - 0.5, lambda: real.opened > 0)
        assert await box.advance(1.0, lambda: runner.measuring)
    box = Box(tmp_path / "always")
    box.share = 0.9
    async with box.runner() as (runner, _):
        assert await box.advance(PATIENCE_S + QUIET_S + 1.0, lambda: runner.measuring)


async def test_a_quiet_runner_is_measured_within_its_budget_and_says_what_was_found(
    tmp_path: Path,
) -> None:
    box = Box(tmp_path)
    async with box.runner() as (runner, real):
        assert not await box.advance(QUIET_S - 0.5, lambda: real.opened > 0)
        assert await box.advance(2.0, lambda: runner.measuring)
        begun = box.clock.now()
        assert await box.advance(60.0, lambda: box.calibration.speeds(MODEL) is not None)
        assert box.clock.now() - begun <= BUDGET_S + 1.0
        speeds = box.calibration.speeds(MODEL)
        assert speeds is not None
        # 50 tokens in 0.1 s; each stream a token every 20 ms.
        assert speeds.prefill_tps == pytest.approx(500.0)
        assert speeds.decode_tps == pytest.approx(50.0, rel=0.05)
        assert speeds.decode_tps_half == pytest.approx(100.0, rel=0.05)
        assert speeds.decode_tps_full == pytest.approx(200.0, rel=0.05)
        assert (real.most_used, real.used_slots, runner.measuring) == (4, 0, False)
        assert box.changes > 0


async def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with box.runner():
        assert await box.advance(60.0, lambda: box.calibration.speeds(MODEL) is not None)
    again = Box(tmp_path)
    async with again.runner() as (_, real):
        known = await again.until(real, lambda: again.calibration.speeds(MODEL) is not None)
        assert known
        await again.advance(20.0)
        assert real.opened == 0


async def test_slots_that_are_measured_count_as_free(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with box.runner() as (runner, real):
        assert await box.advance(30.0, lambda: real.used_slots == 4)
        assert runner.used_slots == 0


async def test_a_user_who_comes_has_the_slot_in_the_same_moment(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with box.runner() as (runner, real):
        assert await box.advance(30.0, lambda: real.used_slots == 4)
        sequences = [ask(runner) for _ in range(4)]
        assert runner.used_slots == 4
        with pytest.raises(Overloaded):
            ask(runner)
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(answer(sequence)) for sequence in sequences]
            await box.clock.settle()
            assert not runner.measuring  # no time went by
            await box.advance(2.0)
        for task in answers:
            events = task.result()
            assert isinstance(events[-1], Done)
            assert sum(isinstance(event, Pieces) for event in events) == 5
        assert runner.used_slots == 0


async def test_a_user_waits_for_slots_that_the_engine_has_not_freed_yet(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with box.runner() as (runner, real):
        assert await box.advance(30.0, lambda: real.used_slots == 4)
        real.slow_to_close = True
        waiting, leaving = ask(runner), ask(runner)
        await box.clock.settle()
        assert (real.used_slots, runner.used_slots) == (4, 2)
        leaving.cancel()
        leaving.cancel()
        assert runner.used_slots == 1
        assert await answer(leaving) == []
        opened = real.opened
        real.slow_to_close = False
        real.close_all()
        assert (real.opened, real.used_slots) == (opened + 1, 1)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(answer(waiting))
            await box.advance(1.0)
        assert isinstance(task.result()[-1], Done)


async def test_it_is_measured_once_the_users_are_gone_and_patience_grows(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with box.runner() as (runner, _):
        for patience in (QUIET_S, 2 * QUIET_S, 4 * QUIET_S):
            begun = box.clock.now()
            assert await box.advance(60.0, lambda: runner.measuring)
            assert box.clock.now() - begun >= patience - 0.5
            ask(runner).cancel()
            await box.clock.settle()
            assert not runner.measuring
        assert await box.advance(60.0, lambda: box.calibration.speeds(MODEL) is not None)


async def test_a_user_of_another_model_interrupts_too_and_is_waited_for(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with box.runner() as (runner, real), box.runner(name="b", engine="tools") as (other, _):
        assert await box.advance(30.0, lambda: runner.measuring)
        user = ask(other)
        await box.clock.settle()
        assert (runner.measuring, real.used_slots) == (False, 0)
        assert not await box.advance(20.0, lambda: runner.measuring)
        user.cancel()
        assert await box.advance(20.0, lambda: runner.measuring)


async def test_two_models_are_measured_one_after_the_other(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with box.runner(name="a") as (one, _), box.runner(name="b") as (two, _):
        both = False
        for _ in range(1_000):
            await box.clock.advance(0.05)
            both = both or (one.measuring and two.measuring)
            if all(box.calibration.speeds(ModelId(name)) for name in "ab"):
                break
        assert all(box.calibration.speeds(ModelId(name)) for name in "ab")
        assert not both


@pytest.mark.parametrize("engine", ["openai", "tools", "simulated"])
async def test_what_has_no_speed_of_its_own_is_not_measured(tmp_path: Path, engine: str) -> None:
    box = Box(tmp_path)
    async with box.runner(engine=engine) as (_, real):
        await box.advance(30.0)
        assert real.opened == 0


async def test_a_model_that_costs_money_is_not_measured(tmp_path: Path) -> None:
    box = Box(tmp_path, output_price=15.0)
    async with box.runner(engine="llama_cpp") as (_, real):
        await box.advance(30.0)
        assert real.opened == 0


async def test_an_engine_that_breaks_meanwhile_is_left_alone(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with box.runner() as (runner, real):
        assert await box.advance(30.0, lambda: real.used_slots == 4)
        real.die()
        await box.advance(0.5)
        opened = real.opened
        real.broken, real.state = False, ModelState.RESIDENT
        await box.advance(60.0)
        assert (real.opened, runner.measuring) == (opened, False)
        assert box.calibration.speeds(MODEL) is None
    async with box.runner() as (_, real):  # loaded again, it would break again
        await box.advance(60.0)
        assert real.opened == 0


async def test_an_engine_that_breaks_fails_who_waited(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with box.runner() as (runner, real):
        assert await box.advance(30.0, lambda: real.used_slots == 4)
        real.slow_to_close = True
        waiting = ask(runner)
        real.die()
        await box.advance(0.5)
        with pytest.raises(EngineFailed):
            await answer(waiting)


async def test_a_runner_that_is_stopped_meanwhile_fails_who_waited(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with box.runner() as (runner, real):
        assert await box.advance(30.0, lambda: real.used_slots == 4)
        real.slow_to_close = True
        waiting = ask(runner)
    with pytest.raises(EngineFailed, match="stopped"):
        await answer(waiting)


async def test_a_refusal_reaches_who_waited_as_a_refusal(tmp_path: Path) -> None:
    box = Box(tmp_path)
    async with box.runner() as (runner, real):
        assert await box.advance(30.0, lambda: real.used_slots == 4)
        waiting = ask(runner)
        real.slots = 0  # so that opening refuses
        await box.clock.settle()
        (event,) = await answer(waiting)
        assert isinstance(event, Rejected)
        assert event.code == "overloaded"


async def test_the_record_and_the_wait_are_told_by_what_is_known(tmp_path: Path) -> None:
    box = Box(tmp_path)
    wait = box.calibration.expected_wait_s(MODEL, queued=0, used=4, slots=4)
    assert wait is None
    async with box.runner():
        assert await box.advance(60.0, lambda: box.calibration.speeds(MODEL) is not None)
    for _ in range(50):
        usage = Usage(prompt_tokens=100, completion_tokens=100)
        box.calibration.answered(MODEL, usage)
    wait = box.calibration.expected_wait_s(MODEL, queued=1, used=4, slots=4)
    assert wait == pytest.approx(2 * (100 / 500 + 100 / 200), rel=0.1)
    assert isinstance(box.calibration.speeds(MODEL), Speeds)
