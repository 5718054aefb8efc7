"""What is packed, and what a box without any extra can do: be a client, and say what is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.local_mesh import Box, box, wait_for
from tests.wheel_rig import ROOT, alone, environment, packed

# One packing and one mesh for the whole file, so all of it runs in one test process.
pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("test_wheel"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory.mktemp("packing"))


@pytest.fixture(scope="module")
def client(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("client"), wheel)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A mesh of this environment, for the other one's client: it answers, and makes vectors."""
    with box(tmp_path_factory.mktemp("home") / "state") as made:
        done = made.mesh("up", "--detach", "--engine", "simulated", "--nodes", "robin")
        assert done.returncode == 0, done.stdout + done.stderr
        arguments = ("--name", "vectors", "--specialty", "embedding", "--engine", "simulated")
        node = made.start(
            *("node", "--model", "vectors", "--option", "embedding=true", *arguments),
            *("--etcd", made.run_file()["etcd"]),
            output=made.state_dir / "vectors.log",
        )
        wait_for(lambda: made.status().get("vectors", {}).get("link_up"), "a node for vectors")
        yield made
        node.terminate()
        node.wait(timeout=15)
        made.mesh("down")


def run(
    programs: Path, *arguments: str, home: Box | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs / "mesh", *arguments],
        env=alone(home.environment if home else os.environ),
        cwd=programs,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_wheel_has_the_licence_the_defaults_and_the_weights(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = next(name.split("/")[0] for name in names if name.endswith("METADATA"))
        assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        metadata = archive.read(f"{info}/METADATA").decode()
        for file in (ROOT / "configs").iterdir():
            assert archive.read(f"mesh/settings/defaults/{file.name}") == file.read_bytes()
    assert "License-Expression: Apache-2.0\n" in metadata
    assert {name.split("/")[0] for name in names} == {"mesh", "node", "orchestrator", info}
    assert "mesh/py.typed" in names
    assert not any(name.endswith(".gguf") for name in names)  # a model is a package of its own
    for folder, kind in (("exemplars", "onnx"), ("exemplars", "npz"), ("weights", "npz")):
        assert any(
            re.fullmatch(rf"orchestrator/router/{folder}/\w+\.{kind}", name) for name in names
        )


def test_the_wheel_has_every_engine_stage_and_gateway_of_the_checkout(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        text = archive.read(name).decode()
    ours = distribution("squadron-mesh").entry_points
    assert {point.group for point in ours} >= {"console_scripts", "squadron.engines"}
    for point in ours:
        assert f"{point.name} = {point.value}\n" in text


def test_without_extras_there_is_no_compiled_engine_and_no_mathematics(client: Path) -> None:
    absent = ("numpy", "llama_cpp", "hyperscan", "sympy", "zmq", "psutil", "uvloop", "configs")
    code = f"import importlib.util as u; print([n for n in {absent} if u.find_spec(n)])"
    done = subprocess.run([client / "python", "-I", "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_the_client_starts_and_finds_what_shipped(client: Path) -> None:
    assert run(client, "--help").stdout.startswith("Usage: mesh")
    code = (
        "import mesh; from mesh.settings.shipped import shipped; [getattr(mesh, n) for n in dir"
        "(mesh)]; print(len(shipped('rules.toml').read_bytes()))"
    )
    done = subprocess.run([client / "python", "-I", "-c", code], capture_output=True, text=True)
    rules = (ROOT / "configs" / "rules.toml").stat().st_size
    assert done.stdout.splitlines() == [f"{rules}"], done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", "--json", "--max-tokens", "4", "Hello"),
        ("ask", "--max-tokens", "4", "Hello"),
        ("route", "Hello"),
        ("route", "--json", "Hello"),
        ("status",),
        ("status", "--models"),
        ("status", "--json"),
        ("embed", "--similarity", "a cat", "a dog"),
        ("embed", "--json", "a cat"),
    ],
    ids=" ".join,
)
def test_the_client_asks_a_mesh_without_any_extra(
    client: Path, home: Box, arguments: tuple[str, ...]
) -> None:
    done = run(client, *arguments, home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    if "--json" in arguments and arguments[0] in ("ask", "embed"):
        assert json.loads(done.stdout.splitlines()[-1])["event"] == "done"


@pytest.mark.parametrize(
    ("arguments", "extras"),
    [
        (("node", "--model", "m.gguf", "--specialty", "math"), "node"),
        (("orchestrator",), "orchestrator"),
        (("models", "fit", "m.gguf", "--cpu"), "node"),
        (("up",), "node,orchestrator"),
        (("down",), "node,orchestrator"),
        (("rules", "check", "-"), "orchestrator"),
        (("rules", "push", __file__), "orchestrator"),
        (("rules", "pull"), "orchestrator"),
        (("rules", "drop"), "orchestrator"),
        (("rules", "show"), "orchestrator"),
        (("rules", "mine", __file__), "orchestrator"),
        (("bench",), "bench"),
        (("bench", "--duration", "30"), "bench"),
    ],
    ids=lambda given: given if isinstance(given, str) else " ".join(given[:2]),
)
def test_what_needs_an_extra_names_it_in_a_line(
    client: Path, arguments: tuple[str, ...], extras: str
) -> None:
    done = run(client, *arguments)
    named = " and ".join(f"'{extra}'" for extra in extras.split(","))
    noun = "extras" if "," in extras else "extra"
    assert done.stderr == (
        f"mesh: this needs the {noun} {named}: pip install 'squadron-mesh[{extras}]'\n"
    )
    assert done.returncode == 2


@pytest.mark.parametrize(
    "command", ["", "up", "down", "node", "orchestrator", "models fit", "rules check", "bench"]
)
def test_help_needs_no_extra(client: Path, command: str) -> None:
    done = run(client, *command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
