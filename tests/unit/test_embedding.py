"""The stage around a model that is a stand-in: what it decides, and what it does under load."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from mesh.errors import ConfigError
from mesh.types import Message, Role, Specialty
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.cascade import Cascade
from orchestrator.router.embedding import QUEUE_LIMIT, EmbeddingSettings, EmbeddingStage, Encoder
from orchestrator.router.minilm import Vector
from orchestrator.router.neighbours import Exemplars
from tests.stage_rig import placed

WAIT_S = 10.0
LABELS = (Specialty("math"), Specialty("chat"))
EXEMPLARS = Exemplars(
    labels=LABELS,
    vectors=np.eye(3, dtype=np.float32)[:2],
    kinds=np.array([0, 1], np.int8),
    weights=np.ones(2, np.float32),
    head=np.zeros((2, 3), np.float32),
    bias=np.zeros(2, np.float32),
    spread=0.06,
    temperature=0.5,
    threshold=0.6,
    margin=0.1,
    floor=0.2,
)


class Pointing:
    """Texts are directions: "math", "chat", anything between them, or away from both."""

    def vector(self, text: str) -> Vector:
        match text:
            case "math":
                return np.array([1, 0, 0], np.float32)
            case "chat":
                return np.array([0, 1, 0], np.float32)
            case "both":
                return np.array([0.7, 0.7, 0], np.float32)
            case _:
                return np.array([0, 0, 1], np.float32)


class Held(Pointing):
    """Computes only when it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.seen: list[str] = []

    def vector(self, text: str) -> Vector:
        self.seen.append(text)
        if text != "warm up":
            self.let.wait(WAIT_S)
        return super().vector(text)


def features(text: str) -> Features:
    return Features.of((Message.of(Role.USER, text),))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(
    encoder: Encoder, settings: EmbeddingSettings | None = None
) -> AsyncIterator[EmbeddingStage]:
    stage = EmbeddingStage(
        settings or EmbeddingSettings(), load=lambda: encoder, exemplars=EXEMPLARS
    )
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(stage.run())
        await until(lambda: stage.ready)
        yield stage
        run.cancel()


async def test_the_nearest_exemplars_decide_and_the_others_are_alternatives() -> None:
    async with running(Pointing()) as stage:
        said = await stage.consult(features("math"))
    assert isinstance(said, Verdict)
    assert said.specialty == "math"
    assert said.confidence > 0.6
    assert said.alternatives[0].specialty == "math"
    assert said.note == "nearest exemplar 1.00"


@pytest.mark.parametrize(
    ("text", "note"), [("both", "leans to"), ("weather", "nothing like it"), (" \n", "no text")]
)
async def test_it_abstains_when_unsure_and_says_why(text: str, note: str) -> None:
    async with running(Pointing()) as stage:
        said = await stage.consult(features(text))
    assert isinstance(said, Abstain)
    assert note in said.note
    assert {a.specialty for a in said.alternatives} in ({"math", "chat"}, set())


async def test_the_settings_thresholds_go_before_the_calibrated_ones() -> None:
    settings = EmbeddingSettings(threshold=0.5, margin=0.0)
    async with running(Pointing(), settings) as stage:
        assert isinstance(await stage.consult(features("both")), Verdict)
    async with running(Pointing(), EmbeddingSettings(threshold=1.0)) as stage:
        assert isinstance(await stage.consult(features("math")), Abstain)


async def test_it_abstains_before_it_runs_and_after() -> None:
    stage = EmbeddingStage(EmbeddingSettings(), load=Pointing, exemplars=EXEMPLARS)
    assert await stage.consult(features("math")) == Abstain(
        "the model is not loaded yet", passing=True
    )
    async with running(Pointing()) as ran:
        pass
    assert isinstance(await ran.consult(features("math")), Abstain)


async def test_a_model_that_cannot_be_loaded_costs_only_this_stage() -> None:
    def load() -> Encoder:
        raise ConfigError("no weights")

    stage = EmbeddingStage(EmbeddingSettings(), load=load, exemplars=EXEMPLARS)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(stage.run())
        said: Verdict | Abstain = Abstain("the model is not loaded yet", passing=True)
        async with asyncio.timeout(WAIT_S):
            while isinstance(said, Abstain) and "yet" in said.note:
                await asyncio.sleep(0.001)
                said = await stage.consult(features("math"))
        assert said == Abstain("not available: no weights", passing=True)
        assert not run.done()
        run.cancel()


async def test_more_prompts_than_may_wait_are_not_asked_about() -> None:
    encoder = Held()
    async with running(encoder) as stage:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(stage.consult(features("math"))) for _ in range(QUEUE_LIMIT)]
            await until(lambda: "math" in encoder.seen)
            over = await stage.consult(features("chat"))
            assert over == Abstain(f"{QUEUE_LIMIT} prompts are waiting already", passing=True)
            encoder.let.set()
        assert all(isinstance(task.result(), Verdict) for task in asked)
        assert isinstance(await stage.consult(features("chat")), Verdict)


async def test_who_goes_away_while_waiting_is_not_computed_and_frees_the_place() -> None:
    encoder = Held()
    async with running(encoder) as stage:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(stage.consult(features("math")))
            await until(lambda: "math" in encoder.seen)
            gone = [tasks.create_task(stage.consult(features("gone"))) for _ in range(50)]
            await asyncio.sleep(0)
            for task in gone:
                task.cancel()
            await asyncio.sleep(0)
            late = tasks.create_task(stage.consult(features("chat")))
            await asyncio.sleep(0)
            encoder.let.set()
        assert isinstance(first.result(), Verdict)
        assert isinstance(late.result(), Verdict)
        assert "gone" not in encoder.seen


async def test_too_slow_a_model_leaves_the_decision_to_the_fallback() -> None:
    encoder = Held()
    async with running(encoder, EmbeddingSettings(timeout_ms=20.0)) as stage:
        cascade = Cascade(placed(stage), Specialty("chat"))
        decision = (await cascade.decide(features("math"))).decision
        encoder.let.set()
    assert decision.stage == "fallback"
    assert decision.verdicts[0].note == "had no verdict in time"


async def test_stopping_while_prompts_wait_is_an_abstention_and_no_cancellation() -> None:
    encoder = Held()
    async with asyncio.TaskGroup() as tasks:
        async with running(encoder) as stage:
            first = tasks.create_task(stage.consult(features("math")))
            await until(lambda: "math" in encoder.seen)
            second = tasks.create_task(stage.consult(features("chat")))
            await asyncio.sleep(0)
        encoder.let.set()
    assert isinstance(first.result(), Verdict)  # was being computed
    assert second.result() == Abstain("the stage is stopping")
