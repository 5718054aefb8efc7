"""The orchestrator's settings: the example shows all of them, and what is wrong is named."""

from __future__ import annotations

import re
from dataclasses import fields
from importlib.metadata import entry_points
from typing import Any

import pytest

from mesh.errors import ConfigError
from mesh.settings.load import load, load_toml, plain
from mesh.settings.orchestrator import OrchestratorSettings
from mesh.settings.router import DecisionLogSettings, RouterSettings
from mesh.settings.shipped import shipped
from mesh.settings.specialty import SpecialtySettings
from orchestrator.router.chosen import GROUP, choose

EXAMPLE = shipped("orchestrator.example.toml")
SPECS = tuple(point.load() for point in entry_points(group=GROUP))
KINDS = (
    OrchestratorSettings,
    RouterSettings,
    DecisionLogSettings,
    SpecialtySettings,
    *(s.settings for s in SPECS),
)


def test_the_example_loads_and_its_uncommented_lines_are_the_defaults() -> None:
    settings = load(OrchestratorSettings, load_toml(EXAMPLE), where="orchestrator.example.toml")
    tables = settings.router.tables
    assert all(spec.settings(**tables.pop(spec.name, {})) == spec.settings() for spec in SPECS)
    assert settings == OrchestratorSettings(name="desktop")


def test_the_example_shows_every_key_there_is() -> None:
    text = EXAMPLE.read_text()
    keys = {f.name for kind in KINDS for f in fields(kind)} - {"tables"}
    keys |= {spec.name for spec in SPECS if fields(spec.settings)}
    shown = set(re.findall(r"^(?:# )?([a-z_]+) = ", text, re.MULTILINE))
    tables = set(re.findall(r"^(?:# )?\[(?:router\.)?([a-z_]+)", text, re.MULTILINE))
    assert keys == (shown | tables) - {"calculator", "units"}


@pytest.mark.parametrize(
    ("router", "words"),
    [
        ({"stagez": []}, "unknown key 'router.stagez'"),
        ({"memo": {"size": 1}}, "unknown key 'router.memo.size'"),
        ({"memo": {"ttl_s": "long"}}, "ttl_s"),
        ({"memo": {"max_bytes": -1}}, "router.memo.max_bytes must be 0 to"),
        ({"memo": {"ttl_s": float("nan")}}, "router.memo.ttl_s must be 0 to"),
        ({"embedding": {"threads": 100_000}}, "router.embedding.threads must be 1 to 64"),
        ({"stages": ["rules", "magic"]}, "'magic', which is none of memo, exact, rules"),
        ({"stages": ["rules", "rules"]}, "names a stage twice"),
        ({"classifier": {"threshold": 1.5}}, "router.classifier.threshold must be 0 to 1"),
        ({"exact": {"timeout_ms": 0}}, "router.exact.timeout_ms must be 1 to 60,000"),
        ({"substitutes": {"units": "Maths!"}}, "'Maths!' is not a specialty name"),
        ({"substitutes": {"a": "b", "b": "a"}}, "router.substitutes goes round in a circle"),
        ({"stages": []}, "router.stages is empty, so that nothing would ever be decided; name"),
        ({"judge": {"model": " "}}, "router.judge.model is blank; name a model of the mesh, or"),
        ({"judge": {"specialty": "Bad One"}}, "router.judge.specialty: 'Bad One'"),
        ({"log": {"prompts": "some"}}, "'redacted' or 'full'"),
    ],
)
def test_a_router_setting_that_is_wrong_is_named(router: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        choose(load(OrchestratorSettings, {"name": "a", "router": router}).router)


@pytest.mark.parametrize(
    ("specialties", "words"),
    [
        ({"math": {"temprature": 1}}, "unknown key 'specialties.math.temprature'"),
        ({"math": {"temperature": 9}}, "specialties.math: temperature must be 0 to 5, not 9"),
        ({"math": {"temperature": "hot"}}, "temperature"),
        ({"math": {"top_p": 0}}, "specialties.math: top_p must be more than 0"),
        ({"math": {"max_tokens": 0}}, "specialties.math: max_tokens must be 1 to"),
        ({"math": {"system": "x" * 20_000}}, "specialties.math: the system text is 20,000 bytes"),
        ({"Math!": {}}, "'Math!' is not a specialty name"),
        ({"math": 7}, "Expected `object`, got `int`"),
    ],
)
def test_a_specialtys_setting_that_is_wrong_is_named_in_one_line(
    specialties: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as error:
        load(OrchestratorSettings, {"name": "a", "specialties": specialties})
    assert "\n" not in str(error.value)


def test_a_misspelt_key_is_told_what_was_meant() -> None:
    with pytest.raises(ConfigError, match=re.escape("did you mean 'temperature'?")):
        load(OrchestratorSettings, {"name": "a", "specialties": {"math": {"temprature": 1}}})


def test_settings_travel_to_the_process_and_come_out_alike() -> None:
    table = {"math": {"temperature": 0.1, "system": "Be exact."}}
    settings = load(OrchestratorSettings, {"name": "a", "specialties": table})
    assert load(OrchestratorSettings, plain(settings)) == settings
