"""What `mesh up` makes of a model or a folder for any engine, and what room it counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.errors import ConfigError
from mesh.local import sources
from mesh.local.roster import Entry, Room
from mesh.local.sources import AGENT_BYTES, CONTEXT, SLOTS, offered, room
from node.engines.base import ModelSpec
from node.engines.registry import traits_of
from node.engines.traits import Source, Target
from tests.toy_models import FOLDER, toy_model

FREE, CORES = 7_000_000_000, 3
TOY = offered("llama_cpp", None, FOLDER)


@pytest.fixture(autouse=True)
def box(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One without a GPU."""
    host = SimpleNamespace(
        memory=lambda: SimpleNamespace(available_bytes=FREE),
        cpu=lambda: SimpleNamespace(logical_cores=CORES),
    )
    monkeypatch.setattr(sources, "Host", lambda: host)
    monkeypatch.setattr(sources, "_NVIDIA", tmp_path / "none")


class Traits:
    """Of an engine whose files say what the test wants."""

    def __init__(self, name: str, *kinds: Source, own: int = 0) -> None:
        self.name, self.sources, self._own = name, frozenset(kinds), own
        self.checked: list[Path] = []
        self.asked: list[tuple[ModelSpec, Target]] = []
        self.whole, self.weights = 500, 200

    def check(self, path: Path) -> None:
        self.checked.append(path)

    def inspect(self, path: Path) -> Any:
        return SimpleNamespace(embeds=False, path=path)

    def own_context(self, path: Path, files: Any) -> int:
        assert files.path == path
        return self._own

    def estimate(self, spec: ModelSpec, files: Any, target: Target) -> Any:
        self.asked.append((spec, target))
        ram = SimpleNamespace(weights_bytes=self.weights, total_bytes=self.whole)
        return SimpleNamespace(ram=ram)


def given(monkeypatch: pytest.MonkeyPatch, traits: Traits) -> Traits:
    monkeypatch.setattr(sources, "traits_of", lambda name: traits)
    return traits


@pytest.mark.parametrize(("own", "context"), [(0, CONTEXT), (9_999, CONTEXT), (100, 100)])
def test_a_folder_of_an_engine_is_absolute_and_its_context_is_bounded(
    own: int, context: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, Traits("torch", Source.FOLDER, own=own))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Model").mkdir()
    robin, wren = offered("torch", "Model", None)
    for entry in (robin, wren):
        model = entry.model
        assert (model.source, model.id, model.engine) == (
            str(tmp_path / "Model"),
            "model",
            "torch",
        )
        assert (model.slots, model.context_length) == (SLOTS, context)
    with pytest.raises(ConfigError, match=f"--model: there is no folder {tmp_path / 'none'}"):
        offered("torch", "none", None)


def test_a_folder_at_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, Traits("torch", Source.FOLDER))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "m").mkdir()
    assert offered("torch", "~/m", None)[0].model.source == str(tmp_path / "m")


def test_an_engine_of_folders_wants_one() -> None:
    with pytest.raises(ConfigError, match="engine torch needs a model: say --model FOLDER"):
        offered("torch", None, None)
    with pytest.raises(ConfigError, match="--models is for GGUF files, which engine torch does"):
        offered("torch", None, FOLDER)


def test_an_engine_of_names_takes_any_and_has_no_file() -> None:
    for model, source, id_ in ((None, "simulated", "simulated"), ("Any One", "Any One", "any-one")):
        for entry in offered("simulated", model, None):
            assert (entry.model.source, entry.model.id) == (source, id_)
            assert (entry.model.slots, entry.model.context_length) == (4, None)
    named = offered("simulated", None, FOLDER)
    assert [(e.name, e.model.source, e.model.id) for e in named] == [
        (name, name, name) for name in ("chat", "code", "math")
    ]
    assert {entry.model.engine for entry in named} == {"simulated"}


def test_a_folder_is_looked_at_whole_and_only_its_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traits = given(monkeypatch, Traits("llama_cpp", Source.FILE))
    files = ("b.gguf", "a.gguf", "a.txt", "big-00002-of-00002.gguf")
    for name in files:
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    roster = offered("llama_cpp", None, Path())
    assert [(e.name, e.model.id, e.model.specialties) for e in roster] == [
        ("a", "a", ("a",)),
        ("b", "b", ("b",)),
    ]
    assert traits.checked == [tmp_path / "a.gguf", tmp_path / "b.gguf"]
    assert [e.model.source for e in roster] == [str(path) for path in traits.checked]
    with pytest.raises(ConfigError, match=r"--models none: No such file or directory"):
        offered("llama_cpp", None, Path("none"))


def entry(name: str, source: str, **settings: Any) -> Entry:
    (found, *_) = TOY
    return Entry(name=name, model=replace(found.model, source=source, **settings))


def test_the_largest_node_counts_for_all_and_one_file_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traits = given(monkeypatch, Traits("llama_cpp", Source.FILE, own=2_000))
    chat, code = str(toy_model("chat")), str(toy_model("code"))
    sizes = iter([(500, 200), (900, 200), (800, 300)])

    def estimate(spec: ModelSpec, files: Any, target: Target) -> Any:
        traits.asked.append((spec, target))
        whole, weights = next(sizes)
        return SimpleNamespace(ram=SimpleNamespace(weights_bytes=weights, total_bytes=whole))

    monkeypatch.setattr(traits, "estimate", estimate)
    roster = (
        entry("a", chat, slots=3, options={"x": 1}),
        entry("b", chat, context_length=77, id=None),
        entry("c", code),
    )
    assert room(roster) == Room(
        cores=CORES, free_bytes=FREE, shared_bytes=500, node_bytes=AGENT_BYTES + 700
    )
    (one, target), (two, _), _ = traits.asked
    assert target == Target()
    assert (one.id, one.source, one.slots, one.threads) == ("chat", chat, 3, 1)
    assert (one.options, one.context_length) == ({"x": 1}, 2_000)
    assert (two.id, two.context_length) == ("", 77)


def test_without_nodes_there_is_room_and_nothing_taken() -> None:
    assert room(()) == Room(cores=CORES, free_bytes=FREE, shared_bytes=0, node_bytes=0)


def test_nothing_is_said_of_memory_where_nobody_knows() -> None:
    assert room(offered("simulated", None, None)) == Room(cores=CORES)
    assert room((*TOY, *offered("simulated", None, None))) == Room(cores=CORES)


def test_where_a_gpu_may_hold_the_models_only_their_processes_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none").touch()
    assert room(TOY) == Room(cores=CORES, free_bytes=FREE, node_bytes=AGENT_BYTES)


def test_a_real_engine_says_what_a_node_takes() -> None:
    found = room(TOY)
    files = [traits_of("llama_cpp").inspect(Path(each.model.source)) for each in TOY]
    assert found.shared_bytes >= sum(file.file_bytes for file in files) * 0.9
    assert found.node_bytes > AGENT_BYTES
