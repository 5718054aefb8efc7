"""What a model's sequences were spared: counted in the runner, carried to the heartbeat."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any, cast

from mesh.clock import ManualClock
from mesh.fleet.records import ModelCounts, ModelState
from mesh.types import ModelId
from node.engines.base import Engine, ModelSpec
from node.models.calibration import Calibration
from node.runner import messages as m
from node.runner.tally import Tally
from tests.node_fakes import FakeRunner, Hosted, until

PLAIN = cast(Engine, object())
SPEC = ModelSpec(id="toy", source="toy", slots=2, context_length=64, threads=1)


class Guessing:
    guesses = (0, 0)


def test_reused_tokens_are_of_the_prompt_whatever_else_a_cache_held() -> None:
    tally = Tally()
    tally.ended(PLAIN, prompt=100, cached=0)
    tally.ended(PLAIN, prompt=100, cached=60)
    counts = tally.ended(PLAIN, prompt=10, cached=35).counts  # a resume: its answer was there too
    assert counts == ModelCounts(sequences=3, reused=2, prompt_tokens=210, reused_tokens=70)


def test_guesses_are_asked_of_engines_that_make_them() -> None:
    tally, engine = Tally(), Guessing()
    tally.ended(cast(Engine, engine), prompt=1, cached=0)
    engine.guesses = (8, 5)
    counts = tally.ended(cast(Engine, engine), prompt=1, cached=0).counts
    assert (counts.drafted_tokens, counts.accepted_tokens) == (8, 5)


def test_counts_survive_the_runners_socket() -> None:
    told = m.Counts(counts=ModelCounts(sequences=2, reused=1, prompt_tokens=9, reused_tokens=4))
    assert m.at_agent().read(m.encode(told)) == [told]


def test_counts_add_up_and_what_came_since_is_what_was_added() -> None:
    one = ModelCounts(
        sequences=1,
        reused=2,
        prompt_tokens=3,
        reused_tokens=4,
        drafted_tokens=5,
        accepted_tokens=6,
    )
    assert (one + one).since(one) == one
    assert one + ModelCounts() == one


async def test_what_was_measured_is_no_users_and_is_left_out(tmp_path: Path) -> None:
    runners: list[FakeRunner] = []

    def make(on_change: Any) -> Any:
        runners.append(FakeRunner(SPEC, on_change))
        return runners[-1]

    calibration = Calibration(tmp_path, clock=ManualClock(), rng=random.Random(1))
    measured: Any = calibration.runner("llama_cpp", SPEC, lambda: None, make)
    (inner,) = runners
    inner.counts = ModelCounts(sequences=3)
    measured._before, measured._measuring = inner.counts, True
    inner.counts = ModelCounts(sequences=10)
    assert measured.counts == ModelCounts(sequences=3)
    measured._settle()
    assert measured.counts == ModelCounts(sequences=3)
    inner.counts = ModelCounts(sequences=11)
    assert measured.counts == ModelCounts(sequences=4)


async def test_a_models_counts_go_on_over_its_loads_and_ride_on_heartbeats() -> None:
    box = Hosted()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(box.model.run())
        await until(lambda: box.model.state is ModelState.RESIDENT)
        box.runner.counts = ModelCounts(sequences=2)
        assert box.model.load_now().counts.sequences == 2
        box.model.unload()
        await until(lambda: not box.model.hosted)
        assert box.model.counts.sequences == 2
        box.model.load()
        await until(lambda: box.model.state is ModelState.RESIDENT)
        box.runner.counts = ModelCounts(sequences=1)
        assert box.model.load_now().counts.sequences == 3
        assert box.model.id == ModelId("toy")
        task.cancel()
