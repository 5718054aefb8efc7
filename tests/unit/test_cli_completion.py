"""What a shell completes: commands, options, the fleet's names; quickly and never an error."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from shutil import which

import pytest
from click.testing import CliRunner, Result

from mesh.cli import fleet_names
from mesh.cli.completion import SHELLS, VARIABLE, place, script_for
from mesh.cli.main import cli
from mesh.v1 import mesh_pb2
from tests.fake_mesh import FakeMesh, model, node, serving


def completed(*words: str) -> list[str]:
    """As bash asks, the last of ``words`` being typed."""
    result = CliRunner().invoke(
        cli,
        prog_name="mesh",
        env={
            VARIABLE: "bash_complete",
            "COMP_WORDS": " ".join(("mesh", *words)),
            "COMP_CWORD": str(len(words)),
        },
    )
    assert (result.exit_code, result.stderr) == (0, "")
    return [line.partition(",")[2] for line in result.stdout.splitlines() if line]


def test_commands_and_options_are_completed() -> None:
    assert {"status", "ask"} <= set(completed(""))
    assert completed("sta") == ["status"]
    assert "--specialty" in completed("ask", "what", "--s")
    assert completed("chats", "r") == ["rm"]


@pytest.mark.parametrize("command", ["ask", "chat", "route", "embed", "bench"])
def test_models_and_specialties_come_from_the_fleet(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_names, "WITHIN_S", 20.0)  # a busy box is no mesh without names
    odd = node("odd", models=(model("two words"), model("math-7b")))
    fleet = mesh_pb2.FleetResponse(nodes=[node("math"), odd], registry_connected=True)
    mesh = FakeMesh(fleet=fleet)
    with serving(mesh):
        said = ("--endpoint", mesh.endpoint, command)
        assert completed(*said, "--model", "ma") == ["math", "math-7b"]
        assert completed(*said, "--specialty", "") == ["math", "odd"]


def test_without_a_mesh_there_are_no_names_and_no_error() -> None:
    began = time.monotonic()
    assert completed("--endpoint", "127.0.0.1:1", "ask", "--model", "") == []
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shells_script_is_printed(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert VARIABLE in result.stdout
    if (program := which(shell)) is not None:
        checked = subprocess.run([program, "-n"], input=result.stdout.encode(), check=False)
        assert checked.returncode == 0


def install(shell: str, home: Path) -> Result:
    apart = {"HOME": str(home), "XDG_DATA_HOME": None, "XDG_CONFIG_HOME": None}
    return CliRunner().invoke(cli, ["completion", shell, "--install"], env=apart)


@pytest.mark.parametrize("shell", SHELLS)
def test_install_writes_where_the_shell_looks_and_says_so(shell: str, tmp_path: Path) -> None:
    path, then = place(shell, tmp_path, {})
    first = install(shell, tmp_path)
    assert first.stdout == f"wrote {path}; {then}\n"
    assert path.read_text(encoding="utf-8").strip() == script_for(shell)
    assert "has it already" in install(shell, tmp_path).stdout
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("said", ["", "share", "./share", "~/share"])
def test_a_base_folder_that_is_relative_is_none(said: str, tmp_path: Path) -> None:
    for shell in SHELLS:
        path, _ = place(shell, tmp_path, {"XDG_DATA_HOME": said, "XDG_CONFIG_HOME": said})
        assert path == place(shell, tmp_path, {})[0]
    elsewhere = {"XDG_DATA_HOME": "/elsewhere", "XDG_CONFIG_HOME": "/elsewhere"}
    assert place("bash", tmp_path, elsewhere)[0].is_relative_to("/elsewhere")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".config").write_text("", encoding="utf-8")
    result = install("fish", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"mesh: cannot write {tmp_path}/.config/fish")


def test_an_unknown_shell_is_named() -> None:
    result = CliRunner().invoke(cli, ["completion", "tcsh"])
    assert (result.exit_code, "'bash', 'zsh', 'fish'" in result.stderr) == (2, True)
