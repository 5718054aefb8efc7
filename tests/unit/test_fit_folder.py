"""What a Hugging Face folder takes, from config.json and the headers of its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import ConfigError, MeshError, ModelFileError
from mesh.fleet.records import Gpu
from mesh.settings.model import ModelSettings
from mesh.types import ModelId
from node.engines.exllamav2.traits import exllamav2_load
from node.engines.hugging_face.memory import TORCH_BYTES, need_folder
from node.engines.torch.traits import torch_load
from node.models.fit import CPU, Corrections
from node.models.prepared import Prepared, files_mark, prepare
from node.models.residency.needs import Needs, needs, sums
from node.models.residency.state import Device
from node.models.safetensors_folder import inspect_folder
from tests import toy_engine

MIB = 2**20
GPU = Gpu(
    uuid="GPU-1",
    name="GTX 1080",
    index=1,
    total_bytes=8 * 2**30,
    used_bytes=0,
    free_bytes=8 * 2**30,
    compute_capability="6.1",
)
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "dtype": "bfloat16",
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "max_position_embeddings": 2048,
    "vocab_size": 1000,
}


def write_folder(
    folder: Path,
    *,
    config: dict[str, Any] = CONFIG,
    tensors: dict[str, tuple[str, list[int]]] | None = None,
) -> Path:
    """Headers are whole, and the weights a hole in the file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    sizes = {"BF16": 2, "F32": 4, "I32": 4, "F16": 2}
    at, header = 0, {}
    for name, (kind, shape) in (tensors or {"w": ("BF16", [1000, 512])}).items():
        size = sizes[kind]
        for each in shape:
            size *= each
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    data = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(data).to_bytes(8, "little") + data)
        file.truncate(8 + len(data) + at)
    return folder


def settings(folder: Path, **changes: Any) -> ModelSettings:
    given: dict[str, Any] = {"source": str(folder), "engine": "torch", "slots": 2}
    given["specialties"] = ("chat",)
    return ModelSettings(**(given | changes))


def prepared(folder: Path, **changes: Any) -> tuple[ModelSettings, Prepared]:
    made = settings(folder, **changes)
    return made, prepare(made, ModelId("m"), 2)


def needed(folder: Path, tmp_path: Path, *gpus: Gpu, **changes: Any) -> Needs:
    made, known = prepared(folder, **changes)
    return needs(
        made,
        known,
        gpus=gpus,
        accelerator="1 GPU" if gpus else "no driver",
        corrections=Corrections(tmp_path / "state"),
    )


def test_a_folder_says_its_shape_and_size_without_its_weights_being_read(tmp_path: Path) -> None:
    tensors = {"a": ("BF16", [1000, 512]), "b": ("F32", [10]), "c": ("I32", [7])}
    facts = inspect_folder(write_folder(tmp_path / "m", tensors=tensors))
    assert (facts.architecture, facts.dtype, facts.layers) == ("llama", "bfloat16", 4)
    assert (facts.heads, facts.key_value_heads, facts.head_width) == (8, 2, 64)
    assert facts.numbers == 512_010
    assert facts.other_bytes == 28
    assert facts.file_bytes > 1_024_000
    inner = {"model_type": "gemma3", "text_config": CONFIG}
    assert inspect_folder(write_folder(tmp_path / "n", config=inner)).layers == 4


@pytest.mark.parametrize(("dtype", "each"), [("float32", 4), ("bfloat16", 2), ("float16", 2)])
def test_weights_and_cache_are_counted_in_the_dtype_they_are_computed_in(
    tmp_path: Path, dtype: str, each: int
) -> None:
    facts = inspect_folder(write_folder(tmp_path / "m"))
    load = need_folder(
        facts, torch_load(facts, dtype, 512), context_length=1024, slots=3, device=CPU
    )
    assert load.ram.weights_bytes == each * 512_000
    assert load.ram.kv_bytes == 3 * 1024 * 4 * 2 * 64 * 2 * each
    assert load.ram.overhead_bytes == TORCH_BYTES
    assert load.gpu.total_bytes == 0


def test_exllamav2_has_weights_as_stored_and_a_cache_in_pages(tmp_path: Path) -> None:
    facts = inspect_folder(write_folder(tmp_path / "m"))
    load = need_folder(
        facts, exllamav2_load(facts, "q4", 512), context_length=300, slots=2, device="GPU-1"
    )
    assert load.gpu.weights_bytes == facts.file_bytes
    assert load.gpu.kv_bytes == 2 * round(2 * 0.5625 * 4 * 2 * 64 * 512)
    assert load.vram_bytes > load.gpu.weights_bytes + load.gpu.kv_bytes
    assert "stated figure" in load.notes[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slots": 0}, "slots must be at least 1"),
        ({"context_length": 0}, "at least 1 token"),
        ({"context_length": 4096}, "more than the 2048"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, changes: dict[str, int], words: str) -> None:
    facts = inspect_folder(write_folder(tmp_path / "m"))
    given: dict[str, Any] = {"context_length": 64, "slots": 1, "device": CPU}
    with pytest.raises(ConfigError, match=words):
        need_folder(facts, torch_load(facts, "float32", 512), **(given | changes))


def spoil_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def say_nothing(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


def cut_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:40])


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def absurd_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_config, "cannot read"),
        (say_nothing, "does not say how many layers"),
        (cut_header, "truncated or no safetensors"),
        (no_weights, r"no \*\.safetensors"),
        (absurd_header, "truncated or no safetensors"),
    ],
)
def test_a_spoiled_folder_is_a_clear_error_and_left_to_its_engine_to_refuse(
    tmp_path: Path, spoil: Any, words: str
) -> None:
    folder = write_folder(tmp_path / "m")
    spoil(folder)
    with pytest.raises(ModelFileError, match=words) as caught:
        inspect_folder(folder)
    assert "\n" not in caught.value.message
    _, known = prepared(folder)
    assert known.files is None
    found = needed(folder, tmp_path)
    assert found.options[0].takes == ()
    assert found.note.startswith("not estimated: ")


def test_a_torch_model_is_reserved_where_it_will_be(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    (on_cpu,) = needed(folder, tmp_path).options
    assert on_cpu.device == CPU
    assert on_cpu.bytes > TORCH_BYTES
    (on_gpu,) = needed(folder, tmp_path, GPU).options
    assert on_gpu.device == "GPU-1"
    # What Pascal cannot compute in is made float16: as large, but said by the engine's own rule.
    assert needed(folder, tmp_path, GPU).estimates["GPU-1"].kv_type == "float16"
    assert dict(on_gpu.takes)[CPU] > 0
    found = needed(folder, tmp_path, GPU, allow_cpu=True)
    assert [option.device for option in found.options] == ["GPU-1", CPU]
    assert found.for_gpu
    (kept,) = needed(folder, tmp_path, GPU, options={"device": "cpu"}).options
    assert kept.device == CPU


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "GPU-1"])
def test_a_device_by_any_of_its_names_is_found(tmp_path: Path, device: str) -> None:
    folder = write_folder(tmp_path / "m")
    (option,) = needed(folder, tmp_path, GPU, options={"device": device}).options
    assert option.device == "GPU-1"


@pytest.mark.parametrize(
    ("gpus", "changes", "words"),
    [
        ((), {"options": {"device": "cuda"}}, "asks for a GPU, which this node has not"),
        ((GPU,), {"options": {"device": "cuda:0"}}, "asks for a GPU, which this node has not"),
        ((GPU,), {"options": {"device": "GPU-9"}}, "GPU GPU-9 is not on this node"),
        ((GPU,), {"options": {"dtype": "bfloat16"}}, "needs compute capability 8.0"),
        ((), {"options": {"colour": "red"}}, "no option 'colour'"),
        ((), {"context_length": 9999}, "more than the 2048"),
    ],
)
def test_what_cannot_be_placed_is_refused_before_it_is_loaded(
    tmp_path: Path, gpus: tuple[Gpu, ...], changes: dict[str, Any], words: str
) -> None:
    folder = write_folder(tmp_path / "m")
    with pytest.raises(MeshError, match=words):
        needed(folder, tmp_path, *gpus, **changes)


def test_the_sums_of_what_is_too_large_say_what_would_fit(tmp_path: Path) -> None:
    made, known = prepared(write_folder(tmp_path / "m"))
    corrections = Corrections(tmp_path / "state")
    found = needs(made, known, gpus=(), accelerator="", corrections=corrections)
    size = found.options[0].bytes
    small = Device(id=CPU, total_bytes=size - 2 * MIB, free_bytes=0)
    words = sums(made, known, found, small, None, corrections)
    assert "does not fit as wanted" in words
    assert "weights 2 MiB" in words
    assert "would fit: context_length" in words


@pytest.mark.parametrize(
    ("engine", "note"),
    [("openai", "not estimated: the upstream"), ("mine", "not estimated: engine mine cannot tell")],
)
def test_what_is_not_estimated_says_so(
    tmp_path: Path, engine: str, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_engine.install(tmp_path / "site", monkeypatch)
    found = needed(tmp_path, tmp_path, engine=engine)
    assert found.note.startswith(note)
    assert found.estimated("") == 0
    assert not needed(tmp_path, tmp_path, engine=engine, memory_bytes=5).note


def test_the_measured_difference_corrects_the_next_load_of_a_folder(tmp_path: Path) -> None:
    made, known = prepared(write_folder(tmp_path / "m"))
    corrections = Corrections(tmp_path / "state")
    found = needs(made, known, gpus=(), accelerator="", corrections=corrections)
    load = found.estimates[CPU]
    corrections.record(
        load,
        model=found.fingerprint,
        engine=found.engine_version,
        ram_bytes=load.ram_bytes + 100 * MIB,
    )
    again = needs(made, known, gpus=(), accelerator="", corrections=corrections)
    assert again.estimates[CPU].ram_bytes == load.ram_bytes + 100 * MIB


def test_a_change_of_weights_adapter_or_key_is_seen(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    key, adapter = tmp_path / "key", tmp_path / "a.gguf"
    options = {"lora": [{"path": str(adapter)}], "api_key_file": str(key)}
    made = settings(folder, options=options)
    marks = [files_mark(made, None)]
    for change in (
        lambda: key.write_text("x"),
        lambda: adapter.write_text("x"),
        lambda: write_folder(folder, tensors={"w": ("F32", [3])}),
        lambda: (folder / "tokenizer.json").write_text("{}"),
    ):
        change()
        marks.append(files_mark(made, None))
    assert len(set(marks)) == len(marks)
    assert files_mark(made, None) == marks[-1]
    assert files_mark(settings(folder, engine="simulated"), None) == ()
