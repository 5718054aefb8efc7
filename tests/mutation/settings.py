"""Which modules are broken, which tests should notice, and which mutants break nothing."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Equivalent:
    """A mutant that no test can tell from the code, and why. It is printed and not counted."""

    module: str
    function: str
    """`function` or `Class.method`; a function inside another goes by the outer one's name."""
    line: str
    """The line as it stands, without its indentation; several are joined by a space."""
    becomes: str
    reason: str


@dataclass(frozen=True)
class Settings:
    seed: int
    sample: int
    modules: dict[str, tuple[str, ...]]
    """A module's tests: paths of files, each once."""
    equivalent: tuple[Equivalent, ...]


def source_of(module: str) -> Path:
    """The module's file. Raises ValueError where there is none."""
    path = ROOT / Path(*module.split(".")).with_suffix(".py")
    if not path.is_file():
        raise ValueError(f"{module}: there is no {path.relative_to(ROOT)}")
    return path


def read() -> Settings:
    """Raises ValueError for a module or a pattern of tests that names nothing."""
    table = tomllib.loads((_HERE / "modules.toml").read_text())
    listed = tomllib.loads((_HERE / "equivalent.toml").read_text())
    return Settings(
        seed=table["seed"],
        sample=table["sample"],
        modules={name: _tests(name, patterns) for name, patterns in table["modules"].items()},
        equivalent=tuple(Equivalent(**entry) for entry in listed.get("mutant", ())),
    )


def _tests(module: str, patterns: list[str]) -> tuple[str, ...]:
    source_of(module)
    found: dict[str, None] = {}
    for pattern in patterns:
        paths = sorted(ROOT.glob(pattern))
        if not paths:
            raise ValueError(f"{module}: no test file is {pattern}")
        found.update({str(path.relative_to(ROOT)): None for path in paths})
    return tuple(found)
