"""The promise that a stage is a folder: the one of docs/stages.md, installed beside Squadron,
decides in a running orchestrator, with settings of its own and no other file knowing it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import mesh as squadron
from mesh.errors import ConfigError
from mesh.settings.load import load, plain
from mesh.settings.orchestrator import OrchestratorSettings
from mesh.settings.router import RouterSettings
from orchestrator.router.chosen import choose
from tests.mesh.fakes import Mesh, orchestrator
from tests.mesh.scripted import words

# All there is of it, as the manual shows it.
STAGE = (
    (Path(__file__).parents[2] / "docs" / "stages.md")
    .read_text()
    .partition("```python\n")[2]
    .partition("```")[0]
)
ROUTER = {"stages": ["rules", "keyword"], "keyword": {"word": "abacus", "specialty": "math"}}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `pip install` leaves a package: a folder on the path, and its metadata beside it."""
    (tmp_path / "keyword_stage").mkdir()
    (tmp_path / "keyword_stage" / "__init__.py").write_text(STAGE)
    metadata = tmp_path / "keyword_stage.egg-info"
    metadata.mkdir()
    (metadata / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: keyword-stage\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[squadron.stages]\nkeyword = keyword_stage:SPEC\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "keyword_stage", raising=False)


def router(**changes: object) -> RouterSettings:
    return load(OrchestratorSettings, {"name": "a", "router": ROUTER | changes}).router


async def test_it_decides_in_a_running_orchestrator_by_its_own_settings() -> None:
    async with Mesh() as mesh:
        await mesh.node("a")
        async with (
            orchestrator(mesh, router=router()) as whole,
            squadron.connect(whole.endpoint) as client,
        ):
            answer = client.generate("hand me the abacus")
            assert await answer.text() == words(10)
            route = await client.route("hand me the ruler")
    assert answer.decision is not None
    assert (answer.decision.specialty, answer.decision.stage) == ("math", "keyword")
    assert answer.decision.rule == "keyword"
    assert [verdict.stage for verdict in route.decision.verdicts[:2]] == ["rules", "keyword"]
    assert route.decision.verdicts[1].note == "the word is not there"


async def test_a_quick_one_tells_what_a_conversation_was_about() -> None:
    async with Mesh() as mesh:
        await mesh.node("a")
        async with (
            orchestrator(mesh, router=router()) as whole,
            squadron.connect(whole.endpoint) as client,
        ):
            talk = client.conversation()
            assert await talk.generate("hand me the abacus").text() == words(10)
            turn = talk.generate("and for 12?")
            assert await turn.text() == words(10)
    assert turn.decision is not None
    assert (turn.decision.specialty, turn.decision.stage) == ("math", "conversation")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keyword": {"wort": "x"}}, "unknown key 'router.keyword.wort'; known: specialty, word"),
        ({"keyword": {"word": ""}}, "router.keyword.word is empty; give a word"),
        ({"keyword": {"word": 3}}, "router.keyword: Expected `str`, got `int`"),
        ({"stages": ["keyword", "rules"]}, "'keyword' before 'rules', whose word it needs"),
        ({"stages": ["rules"], "keyword": {"wort": 1}}, "unknown key 'router.keyword.wort'"),
        ({"keywords": {}}, "unknown key 'router.keywords'; known: classifier, conversation, "),
        ({"stages": ["rules", "keywords"]}, "'keywords', which is none of memo, exact, rules, "),
    ],
)
def test_what_is_wrong_with_its_settings_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        choose(router(**changes), "mesh.toml")
    assert raised.value.message.startswith("mesh.toml: ")


def test_it_may_stand_without_the_stage_that_it_wants_before_it() -> None:
    (only,) = choose(router(stages=["keyword"])).order
    assert only[0].name == "keyword"


def test_its_settings_travel_to_the_process_as_plain_data() -> None:
    settings = load(OrchestratorSettings, {"name": "a", "router": ROUTER})
    assert plain(settings)["router"]["keyword"] == ROUTER["keyword"]
    assert load(OrchestratorSettings, plain(settings)) == settings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import no_such_package", r"'keyword' \(keyword_stage:SPEC\) cannot be loaded: No module"),
        ("", r"'keyword' \(keyword_stage:SPEC\) cannot be loaded: module 'keyword_stage' has no"),
        ("SPEC = 3", "is no StageSpec of that name"),
    ],
)
def test_a_broken_one_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "keyword_stage" / "__init__.py").write_text(content)
    with pytest.raises(ConfigError, match=message):
        choose(router())
