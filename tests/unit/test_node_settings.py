"""What a user meets first: the example settings, the command line of the process, its log lines."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from mesh.errors import ConfigError, EngineFailed
from mesh.settings.folder import ModelsFolder
from mesh.settings.load import load, load_toml
from mesh.settings.model import ModelSettings
from mesh.settings.node import NodeSettings
from mesh.settings.shipped import shipped
from mesh.telemetry import logs
from node.__main__ import main
from node.notify import notify

EXAMPLE = shipped("node.example.toml")


def test_the_example_settings_load() -> None:
    settings = load(NodeSettings, load_toml(EXAMPLE), where="node.example.toml")
    assert settings.name == "basement"
    assert settings.models[0].specialties == ("code",)


def test_the_example_shows_every_key_there_is() -> None:
    text = EXAMPLE.read_text()
    keys = {f.name for kind in (NodeSettings, ModelSettings, ModelsFolder) for f in fields(kind)}
    shown = set(re.findall(r"^(?:# )?([a-z_]+) = ", text, re.MULTILINE))
    assert keys - {"models", "models_folder", "options"} == shown
    assert "[models_folder]" in text


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("{", "the settings are not JSON"),
        ("[]", "must be one JSON object"),
        ('{"name": "a", "colour": "red"}', "unknown key 'colour'"),
        ('{"name": "a", "bind": "tcp://0.0.0.0:1"}', "--insecure"),
        ('{"name": "a", "log_level": "loud"}', "log_level 'loud' is unknown"),
    ],
)
def test_bad_settings_are_one_line_and_exit_code_2(
    argument: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_settings_file_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(tmp_path / "no.toml")]) == 2
    assert "no.toml" in capsys.readouterr().err


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """The test run's own logging comes back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("logging_restored")
def test_a_log_line_has_time_level_process_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "node 100%")
    logging.getLogger("anything").info("ready: %s", "x")
    logging.getLogger("anything").debug("not shown")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d INFO node 100% ready: x\n", capsys.readouterr().err
    )


@pytest.mark.usefixtures("logging_restored")
def test_a_mesh_error_is_logged_without_a_traceback_and_a_defect_with_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", "node")
    for error in (EngineFailed("the runner died"), KeyError("defect")):
        try:
            raise error
        except (EngineFailed, KeyError):
            logging.getLogger("anything").exception("attempt ended")
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith("ERROR node attempt ended: the runner died (engine_failed)")
    assert "Traceback (most recent call last):" in rest


def test_an_unknown_level_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="one of debug, info, warning, error"):
        logs.configure("loud", "node")


def test_systemd_is_told_when_it_listens_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"
    path.unlink()
    notify("STOPPING=1")  # nobody there: said in the log, not raised


def test_settings_as_the_cli_passes_them_are_understood() -> None:
    given = {"name": "a", "models": [{"source": "x", "specialties": ["math"]}]}
    assert load(NodeSettings, json.loads(json.dumps(given))).models[0].slots == 4
