"""Builds of llama.cpp as real processes load them, and `mesh engine` on a box without a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mesh.cli.main import cli
from mesh.errors import EngineFailed
from node.engines.llama_cpp.cuda import found
from node.engines.llama_cpp.cuda.make import trial
from tests.toy_models import FOLDER

pytestmark = [pytest.mark.engine, pytest.mark.processes]


def test_the_installed_build_says_what_it_is_and_answers() -> None:
    said = trial(None, FOLDER / "chat.gguf")
    assert said["offload"] is False
    assert said["cpu"].strip()
    assert "gpu" not in said


def test_a_runner_loads_the_build_that_it_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "llama_cpp").mkdir()
    (tmp_path / "llama_cpp" / "__init__.py").write_text("raise OSError('libcudart.so.12: gone')")
    with pytest.raises(EngineFailed, match=r"does not start: OSError: libcudart\.so\.12: gone"):
        trial(tmp_path, None)
    (tmp_path / "llama_cpp" / "__init__.py").unlink()
    (tmp_path / "llama_cpp").rmdir()
    package = found.installed()
    assert package is not None
    (tmp_path / "llama_cpp").symlink_to(package)
    assert trial(tmp_path, None)["offload"] is False


def test_the_command_lists_and_says_why_nothing_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_STATE_DIR", str(tmp_path))
    run = CliRunner()
    listed = run.invoke(cli, ["engine"])
    assert listed.exit_code == 0
    assert "cpu" in listed.output
    (only,) = json.loads(run.invoke(cli, ["engine", "--json"]).output)["builds"]
    assert (only["name"], only["used"], only["computes_on"]) == ("cpu", True, ["cpu"])
    assert run.invoke(cli, ["engine", "use", "cpu"]).exit_code == 0
    wrong = run.invoke(cli, ["engine", "use", "cuda"])
    assert wrong.exit_code == 2
    assert "no build is called 'cuda'; there is only cpu" in wrong.output
    if found.box().cards:
        pytest.skip("this box has a GPU: what follows is of one without")
    build = run.invoke(cli, ["engine", "build"])
    assert build.exit_code == 2
    assert "there is no NVIDIA GPU here to build for" in build.output
    assert "Traceback" not in build.output
