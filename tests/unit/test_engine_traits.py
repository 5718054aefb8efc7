"""What engines say of themselves, ours and somebody else's."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import ConfigError
from mesh.settings.model import ModelSettings
from mesh.types import ModelId
from node.engines.base import ModelSpec
from node.engines.registry import known_engines, load_engine, traits_of
from node.hardware.care.surroundings import Cores, surroundings
from node.models.calibration import Calibration
from node.models.fit import CPU, Corrections
from node.models.fit.__main__ import main
from node.models.prepared import files_mark, prepare
from node.models.residency.needs import needs, sums
from node.models.residency.state import Device
from tests import toy_engine

MIB = 2**20
TOP = Path(__file__).parents[2]
OURS = ("exllamav2", "llama_cpp", "openai", "simulated", "tools", "torch")
LIBRARIES = ("llama_cpp", "torch", "transformers", "exllamav2", "sympy", "z3")


@pytest.fixture(autouse=True)
def parrot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_engine.install(tmp_path / "site", monkeypatch)
    traits_of.cache_clear()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "polly.words"
    path.write_text("hello there " * 1000)
    return path


def model(file: Path, **changes: Any) -> ModelSettings:
    given: dict[str, Any] = {"source": str(file), "engine": "parrot", "specialties": ("chat",)}
    return ModelSettings(**(given | changes))


def test_traits_are_known_by_the_name_that_they_have() -> None:
    assert set(OURS) <= set(known_engines())
    for name in OURS:
        assert traits_of(name).name == name


def test_what_an_engine_says_of_itself_loads_none_of_its_libraries() -> None:
    code = (
        "import sys\n"
        "from node.engines.registry import traits_of\n"
        f"for name in {OURS}: traits_of(name)\n"
        f"print([each for each in {LIBRARIES} if each in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody", "no engine 'nobody'; known: .*llama_cpp"),
        ("misnamed", "'misnamed' .* is not described"),
        ("undescribed", "'undescribed' .* is not described"),
        ("absent", "'absent' .* cannot be loaded"),
    ],
)
def test_an_entry_point_that_names_no_traits_is_refused(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        traits_of(name)
    with pytest.raises(ConfigError, match=words):
        load_engine(name)


def test_another_engines_model_is_looked_at_estimated_and_refused_like_ours(
    file: Path, tmp_path: Path
) -> None:
    made = model(file, slots=3)
    known = prepare(made, ModelId("polly"), 2)
    assert known.files is not None
    assert known.files.architecture == "parrot"
    assert known.spec.context_length == 1024, "what its files say"
    corrections = Corrections(tmp_path / "state")
    found = needs(made, known, gpus=(), accelerator="no driver", corrections=corrections)
    assert found.options[0].bytes == file.stat().st_size + 3 * MIB
    assert found.engine_version == "parrot 1.2"
    small = Device(id=CPU, total_bytes=2 * MIB, free_bytes=0)
    words = sums(made, known, found, small, None, corrections)
    assert "'polly' does not fit as wanted" in words
    assert "1 slots of 1024 tokens" in words
    before = files_mark(made, known)
    file.write_text("anew")
    assert files_mark(made, known) != before


def test_mesh_models_fit_finds_who_loads_a_file(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = {"file": str(file), "ram_bytes": 2**30, "as_json": True}
    assert main(json.dumps(query)) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["engine"], data["model"], data["kv_slot_bytes"]) == ("parrot", "polly", MIB)
    assert main(json.dumps(query | {"engine": "torch"})) == 2
    assert "engine torch takes a folder of *.safetensors" in capsys.readouterr().err
    assert main(json.dumps(query | {"engine": "mine"})) == 2
    assert "engine mine takes the name of a model" in capsys.readouterr().err


def test_its_runner_gets_the_surroundings_that_it_asks_for_and_is_measured(
    file: Path, tmp_path: Path
) -> None:
    spec = ModelSpec(id="polly", source=str(file), slots=1, context_length=64, threads=1)
    cores = Cores(allowed=frozenset({0}), siblings=(frozenset({0}),))
    found = surroundings(traits_of("parrot"), spec, inherited={}, cores=cores)
    assert found.environment["PARROT"] == "1"
    asked: list[str] = []
    calibration = Calibration(
        tmp_path,
        clock=ManualClock(),
        rng=random.Random(1),
        measured=lambda traits: bool(asked.append(traits.name)),  # type: ignore[func-returns-value]
    )
    calibration.runner("parrot", spec, lambda: None, lambda changed: None)  # type: ignore[arg-type,return-value]
    assert asked == ["parrot"]
    assert traits_of("parrot").measured


def test_no_file_outside_an_engines_own_folder_asks_for_an_engine_by_name() -> None:
    """The default of a setting, and the load test, which reads the simulated engine's words."""
    allowed = {
        ("mesh/settings/model.py", "llama_cpp"),
        ("mesh/local/plan.py", "llama_cpp"),
        ("mesh/cli/up.py", "llama_cpp"),
        ("mesh/bench/run.py", "simulated"),
        ("node/engines/chat_template.py", "tools"),  # a variable of templates
    }
    found = set()
    for top in ("mesh", "node", "orchestrator"):
        # To an orchestrator "tools" is the id of a model.
        named = set(OURS) - ({"tools"} if top == "orchestrator" else set())
        for path in (TOP / top).rglob("*.py"):
            where = path.relative_to(TOP).as_posix()
            if any(where.startswith(f"node/engines/{name}/") for name in OURS):
                continue
            for each in ast.walk(ast.parse(path.read_text())):
                if isinstance(each, ast.Constant) and each.value in named:
                    found.add((where, each.value))
    assert found <= allowed
