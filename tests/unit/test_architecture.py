"""The documents name only what is there: the walks' functions, and every path."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEP = re.compile(r"^\d+\. `([\w/]+\.py)` `([\w.]+)`", re.M)
PATH = re.compile(
    r"`((?:mesh|node|orchestrator|proto|configs|systemd|docs|tests|benchmarks|training)/[\w./-]*)`"
)
DOCUMENTS = ["ARCHITECTURE.md", "README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]


def steps() -> list[tuple[str, str]]:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    return STEP.findall(text)


@cache
def names(path: str) -> frozenset[str]:
    """Functions and classes of a file, and of its classes, as ``Class.method``."""
    found = set()
    for item in ast.parse((ROOT / path).read_text()).body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(item.name)
        if isinstance(item, ast.ClassDef):
            found |= {
                f"{item.name}.{inner.name}"
                for inner in item.body
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return frozenset(found)


def test_there_are_four_walks() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    walks = text.partition("## Four walks")[2].partition("\n## ")[0]
    assert [len(STEP.findall(part)) > 5 for part in walks.split("\n**One ")[1:]] == [True] * 4


@pytest.mark.parametrize(("path", "name"), steps())
def test_a_walks_step_is_there(path: str, name: str) -> None:
    assert name in names(path), f"{path} has no {name}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_a_document_names_is_there(document: str) -> None:
    named = PATH.findall((ROOT / document).read_text())
    missing = [path for path in named if not (ROOT / path).exists()]
    assert not missing


def pure_modules() -> list[str]:
    """Those whose docstring says so."""
    found = []
    for path in (
        path for top in ("mesh", "node", "orchestrator") for path in ROOT.glob(f"{top}/**/*.py")
    ):
        said = ast.get_docstring(ast.parse(path.read_text())) or ""
        if re.search(r"\bPure[.:,;]", said):
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


def test_every_module_that_calls_itself_pure_is_held_to_it() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    held = next(c for c in contracts if c["name"] == "pure modules do no I/O")["source_modules"]
    claimed = pure_modules()
    assert "mesh.fleet.placement" in claimed
    loose = [m for m in claimed if not any(f"{m}.".startswith(f"{h}.") for h in held)]
    assert not loose
