"""A newcomer's three commands, from the built wheel with all extras: in an environment that has no
checkout, a clean home, and another folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from mesh.local.first_model import PACKAGE
from mesh.version import __version__
from tests.local_mesh import Box, box
from tests.wheel_rig import alone, environment, packed, put

# One packing and one mesh for the whole file, so all of it runs in one test process.
pytestmark = [
    pytest.mark.processes,
    pytest.mark.engine,
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("test_release"),
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        distribution(PACKAGE)
    except PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed: make installs it")
    wheel = packed(tmp_path_factory.mktemp("packing"))
    found = environment(tmp_path_factory.mktemp("whole"), wheel, extras=("all",))
    put(PACKAGE, next(found.parent.glob("lib/python*/site-packages")))
    return found


@pytest.fixture(scope="module")
def home(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with box(tmp_path_factory.mktemp("home") / "state") as made:
        yield made
        run(programs, made, "down")


def run(
    programs: Path, home: Box, *arguments: str, said: str = ""
) -> subprocess.CompletedProcess[str]:
    folder = home.state_dir.parent
    return subprocess.run(
        [programs / "mesh", *arguments],
        env=alone(home.environment) | {"HOME": str(folder), "PATH": os.defpath},
        cwd=folder,
        input=said,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_mesh_up_a_real_model_and_a_chat(programs: Path, home: Box) -> None:
    up = run(programs, home, "up", "--detach")
    assert up.returncode == 0, up.stdout + up.stderr
    chat = run(programs, home, "chat", said="What is 17 + 25?\nSay hello to the sea.\n")
    assert chat.returncode == 0, chat.stdout + chat.stderr
    assert "42" in chat.stdout
    ask = run(programs, home, "ask", "Write", "a", "sentence", "about", "the", "sea.")
    assert ask.returncode == 0, ask.stderr
    assert len(ask.stdout.split()) > 3
    status = run(programs, home, "status")
    assert "smollm2" in status.stdout
    down = run(programs, home, "down")
    assert down.returncode == 0, down.stderr
    assert "Traceback" not in "".join((up.stderr, chat.stderr, ask.stderr, down.stderr))


def test_nothing_is_written_outside_the_state_folder(programs: Path, home: Box) -> None:
    folder = home.state_dir.parent
    assert {file.name for file in folder.iterdir()} <= {"state", ".cache"}


def test_the_version_is_the_changelogs_newest(programs: Path, home: Box) -> None:
    said = run(programs, home, "--version").stdout
    assert said.startswith(f"mesh {__version__}\n")
    changelog = Path(__file__).parents[2] / "CHANGELOG.md"
    newest = next(line for line in changelog.read_text().splitlines() if line.startswith("## "))
    assert newest.split()[1] == __version__
