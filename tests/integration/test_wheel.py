"""What is packed, and what a box without any extra can do: be a client, and say what is missing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.local_mesh import Box, box, wait_for

ROOT = Path(__file__).parents[2]
PACKED = ("mesh", "node", "orchestrator", "configs", "LICENSE", "README.md", "pyproject.toml")

INSTALL = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]

# One packing and one mesh for the whole file, so all of it runs in one test process.
pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("test_wheel"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made of the source distribution, which is made of the checkout: nothing may get lost."""
    folder = tmp_path_factory.mktemp("packing")
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in PACKED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, checkout / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source, checkout)
    _pack("build_sdist", checkout, folder)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    _pack("build_wheel", next((folder / "unpacked").iterdir()), folder)
    return next(folder.glob("*.whl"))


def _pack(what: str, source: Path, target: Path) -> None:
    code = f"from setuptools import build_meta; build_meta.{what}({str(target)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def client(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, the packages that it asks for without an extra, and no other:
    its folder of programs."""
    folder = tmp_path_factory.mktemp("client")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    programs, packages = folder / "bin", next(folder.glob("lib/python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", programs / "python", *INSTALL, wheel],
        env=_alone(os.environ),
        check=True,
    )
    for name in _needed("squadron-mesh", set()):
        found = distribution(name)
        for file in found.files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                (packages / file).symlink_to(Path(str(found.locate_file(file))))
    return programs


def _needed(name: str, known: set[str]) -> set[str]:
    """The packages that this one asks for, and those that they ask for, without any extra."""
    for line in distribution(name).requires or ():
        asked = Requirement(line)
        if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
            continue
        if asked.name not in known:
            known.add(asked.name)
            _needed(asked.name, known)
    return known


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


def _alone(environment: Mapping[str, str]) -> dict[str, str]:
    """Without the checkout, which would be found before what is installed."""
    return {key: value for key, value in environment.items() if key != "PYTHONPATH"}


def run(
    programs: Path, *arguments: str, home: Box | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs / "mesh", *arguments],
        env=_alone(home.environment if home else os.environ),
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
