"""A model that embeds is never asked to generate, not even to be measured."""

from __future__ import annotations

from pathlib import Path

from mesh.types import Sampling
from node.runner.messages import Opening
from tests.unit.test_calibration_runner import MODEL, Box


async def test_a_model_that_embeds_is_not_measured_and_its_texts_pass_through(
    tmp_path: Path,
) -> None:
    box = Box(tmp_path, embeds=True)
    async with box.runner() as (runner, real):
        assert not await box.advance(120.0, lambda: real.opened > 0)
        assert box.calibration.speeds(MODEL) is None
        runner.open(Opening(messages=(), sampling=Sampling(), credit=1, texts=("a",)))
        assert real.opened == 1


async def test_the_same_model_is_measured_when_it_generates(tmp_path: Path) -> None:
    box = Box(tmp_path, embeds=False)
    async with box.runner() as (_, real):
        assert await box.advance(120.0, lambda: real.opened > 0)
