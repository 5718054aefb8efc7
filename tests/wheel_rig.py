"""The wheel as a release has it, and environments with it and nothing else of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKED = (
    *("mesh", "node", "orchestrator", "configs"),
    *("LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"),
)
INSTALL = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]


def packed(folder: Path) -> Path:
    """The wheel, as `make dist` makes it: of the source distribution, which is made of the
    checkout, so that nothing may get lost on the way."""
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in PACKED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, checkout / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source, checkout)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--quiet", "--no-isolation", "--outdir", "dist", "."],
        cwd=checkout,
        env=alone(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (checkout / "dist").glob("*.whl")
    assert list((checkout / "dist").glob("*.tar.gz"))
    return wheel


def environment(folder: Path, wheel: Path, *, extras: Sequence[str] = ()) -> Path:
    """A fresh one with the wheel, the packages that it asks for with these extras, and no other:
    its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    programs, packages = folder / "bin", next(folder.glob("lib/python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", programs / "python", *INSTALL, wheel],
        env=alone(os.environ),
        check=True,
    )
    for name in _needed("squadron-mesh", extras, set()):
        put(name, packages)
    return programs


def put(name: str, packages: Path) -> None:
    """An installed package, as links, into another environment's folder of packages."""
    found = distribution(name)
    for file in found.files or ():
        if ".." not in file.parts and file.suffix != ".pyc":
            (packages / file).parent.mkdir(parents=True, exist_ok=True)
            if not (packages / file).exists():
                (packages / file).symlink_to(Path(str(found.locate_file(file))))


def alone(environment: Mapping[str, str]) -> dict[str, str]:
    """Without the checkout, which would be found before what is installed."""
    return {key: value for key, value in environment.items() if key != "PYTHONPATH"}


def _needed(name: str, extras: Sequence[str], known: set[str]) -> set[str]:
    """The packages that this one asks for, and those that they ask for."""
    for line in distribution(name).requires or ():
        asked = Requirement(line)
        chosen = asked.marker is None or any(
            asked.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        )
        if chosen and asked.name not in known:
            if asked.name != "squadron-mesh":
                known.add(asked.name)
            _needed(asked.name, tuple(asked.extras), known)
    return known
