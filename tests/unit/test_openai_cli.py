"""`mesh node --option`: an engine's options from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mesh.cli.main import cli
from mesh.cli.node import engine_options
from mesh.errors import ConfigError

NODE = ("node", "--model", "tiny", "--specialty", "chat", "--engine", "openai")


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    monkeypatch.setattr("mesh.cli.node.become", lambda _, settings: seen.append(settings))
    return seen


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("a=http://box:8000/v1", "http://box:8000/v1"),
        ("a=3", 3),
        ("a=0.25", 0.25),
        ("a=true", True),
        ("a=vllm", "vllm"),
        ('a="3"', "3"),
        ("a=", ""),
        ("a=b=c", "b=c"),
        ("a={ b = { c = false } }", {"b": {"c": False}}),
        ("a=~/key", "~/key"),
    ],
)
def test_a_value_is_toml_or_a_string(given: str, value: Any) -> None:
    assert engine_options((given,)) == {"a": value}


@pytest.mark.parametrize("given", ["a", "=3", " =3", ""])
def test_what_is_no_key_and_value_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        engine_options((given,))


def test_options_reach_every_model_and_win_over_the_files(
    become: list[Any], tmp_path: Path
) -> None:
    result = CliRunner().invoke(
        cli, [*NODE, "--option", "base_url=http://box:8000", "--option", "retries=3"]
    )
    assert (result.exit_code, result.output) == (0, "")
    assert become[-1].models[0].options == {"base_url": "http://box:8000", "retries": 3}
    file = tmp_path / "node.toml"
    file.write_text(
        '[[models]]\nsource = "a"\nspecialties = ["chat"]\noptions = { words = 3, base_ms = 1.0 }\n'
        '[[models]]\nsource = "b"\nspecialties = ["chat"]\n'
    )
    result = CliRunner().invoke(cli, ["node", "--config", str(file), "--option", "words=9"])
    assert (result.exit_code, result.output) == (0, "")
    options = [model.options for model in become[-1].models]
    assert options == [{"words": 9, "base_ms": 1.0}, {"words": 9}]
