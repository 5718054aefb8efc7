"""`mesh models fit` and what it becomes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from mesh.cli.models import models
from mesh.cli.models.fit import Size
from node.models.fit.__main__ import main
from tests.unit.test_fit_folder import CONFIG, write_folder
from training.rigs.gguf_shapes import Recipe, write

GIB = 1024**3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = Recipe(name="cli", layers=6, width=2048, heads=16, groups=4, context=16_384)
    return write(tmp_path_factory.mktemp("fit") / "model.gguf", recipe, empty=True)


def ask(**query: Any) -> int:
    return ask_as_it_is({key: str(v) if key == "file" else v for key, v in query.items()})


def ask_as_it_is(query: dict[str, Any]) -> int:
    return main(json.dumps(query))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8G", 8 * GIB),
        ("8GiB", 8 * GIB),
        ("8gb", 8 * GIB),
        ("8000M", 8000 * 1024**2),
        ("0.5 g", GIB // 2),
        ("1073741824", GIB),
        ("1t", 1024 * GIB),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize(
    "text", ["", "G", "8X", "-8G", "8G8", "eight", "1e9", "8", "8000", "9" * 400 + "G", "9000T"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="for example 8G"):
        Size().convert(text, None, None)


def test_the_sums_add_up_on_screen_and_as_json(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(file=model, vram_bytes=24 * GIB, as_json=True) == 0
    data = json.loads(capsys.readouterr().out)
    for place in ("gpu", "ram"):
        sums = data[place]
        assert sums.pop("total_bytes") == sum(sums.values())
    assert data["outcome"] == "fits"
    assert data["left_bytes"] == 24 * GIB - data["vram_bytes"]
    assert data["context_length"] == 8192
    assert data["fits"]["largest_context"] == 16_384
    assert ask(file=model, vram_bytes=24 * GIB) == 0
    page = capsys.readouterr().out
    for word in ("weights", "cache", "compute", "overhead", "total", "left", "a slot", "it fits"):
        assert word in page
    assert all(len(line) <= 110 for line in page.splitlines())


def test_what_does_not_fit_ends_with_3_and_says_what_would(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(file=model, vram_bytes=GIB // 2) == 3
    page = capsys.readouterr().out
    assert "it does not fit; would fit: " in page
    assert "layers and the output on the GPU, the rest on the CPU" in page


def test_on_the_cpu_this_boxs_memory_counts(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(file=model, ram_bytes=1024, as_json=True) == 3
    data = json.loads(capsys.readouterr().out)
    assert (data["device"], data["free_bytes"]) == ("cpu", 1024)
    assert data["gpu"]["total_bytes"] == 0
    assert ask(file=model, context_length=256, slots=1) == 0
    assert "RAM" in capsys.readouterr().out


def _cut(model: Path, folder: Path) -> Path:
    path = folder / "cut.gguf"
    path.write_bytes(model.read_bytes()[:100_000])
    return path


def _text(_: Path, folder: Path) -> Path:
    path = folder / "notes.gguf"
    path.write_text("not a model")
    return path


def _absent(_: Path, folder: Path) -> Path:
    return folder / "absent.gguf"


@pytest.mark.parametrize(
    ("make", "said"),
    [(_cut, "truncated"), (_text, "not a GGUF file"), (_absent, "does not exist")],
)
def test_a_bad_file_is_one_line_and_exit_code_2(
    model: Path, tmp_path: Path, make: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(file=make(model, tmp_path), vram_bytes=GIB) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.startswith("mesh: ")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"slots": 0}, "slots must be at least 1"),
        ({"context_length": 20_000}, "ask for at most 16384"),
        ({"kv_type": "q9"}, "KV type 'q9' is unknown"),
        ({"engine": "mine"}, "no engine 'mine'; known: exllamav2, llama_cpp"),
        ({"florble": 1}, "florble"),
    ],
)
def test_bad_wishes_are_one_line_and_exit_code_2(
    model: Path, query: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(file=model, vram_bytes=GIB, **query) == 2
    assert said in capsys.readouterr().err


def test_the_command_becomes_python_m_node_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: became.append(command))
    arguments = ["fit", "~/a.gguf", "--vram", "8G", "--slots", "2", "--kv", "q8_0", "--json"]
    assert CliRunner().invoke(models, arguments).exit_code == 0
    assert became[0][1:4] == ["-P", "-m", "node.models.fit"]
    query = json.loads(became[0][4])
    assert query["vram_bytes"] == 8 * GIB
    assert query["file"] == str(Path("~/a.gguf").expanduser())
    assert (query["slots"], query["kv_type"], query["as_json"]) == (2, "q8_0", True)
    assert query["look"] is False
    CliRunner().invoke(models, ["fit", "a.gguf"])
    assert json.loads(became[1][4])["look"] is True


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "a.gguf", "--cpu", "--vram", "8G"],
        ["fit", "a.gguf", "--vram", "8Q"],
        ["fit", "a.gguf", "--cpu", "--context", "0"],
        ["fit", "a.gguf", "--vram", "8G", "--gpu-layers", "-2"],
        ["fit"],
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(arguments: list[str]) -> None:
    assert CliRunner().invoke(models, arguments).exit_code == 2


LLAMA: dict[str, Any] = CONFIG | {"num_hidden_layers": 8, "max_position_embeddings": 16_384}
EXL2: dict[str, Any] = {"quantization_config": {"quant_method": "exl2", "bits": 4.0}}


def test_a_folder_of_safetensors_is_summed_for_torch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "m", config=LLAMA, tensors={"w": ("BF16", [1000, 512])})
    assert ask(file=folder, vram_bytes=8 * GIB, as_json=True) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["engine"], data["kv_type"], data["quantisation"]) == ("torch", *["bfloat16"] * 2)
    assert data["parameters"] == 512_000
    assert data["gpu"]["weights_bytes"] == 2 * 512_000
    # Keys and values, 2 bytes each: 8 layers of 2 heads of 64.
    assert data["kv_slot_bytes"] == 2 * 2 * 8 * 2 * 64 * 8192
    assert data["fits"]["largest_context"] == 16_384
    assert ask(file=folder, vram_bytes=8 * GIB, dtype="float32", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["gpu"]["weights_bytes"] == 4 * 512_000
    assert ask(file=folder, ram_bytes=8 * GIB) == 0
    page = capsys.readouterr().out
    assert "engine torch, 4 slots of 8,192 tokens, cache in float32" in page
    assert page.splitlines()[0] == (
        "m: llama float32, 0.00 billion parameters, 8 layers, trained for 16,384 tokens"
    )


def test_a_quantised_folder_is_summed_for_exllamav2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "m", config=LLAMA | EXL2, tensors={"w": ("I32", [1000, 512])})
    assert ask(file=folder, vram_bytes=8 * GIB, as_json=True, kv_type="q4") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["engine"], data["kv_type"]) == ("exllamav2", "q4")
    assert data["quantisation"] == "EXL2 4.0bpw"
    assert ask(file=folder, vram_bytes=GIB // 4) == 3
    page = capsys.readouterr().out
    assert "it does not fit; " in page
    assert "billion" not in page


@pytest.mark.parametrize(
    ("config", "query", "said"),
    [
        ({}, {"engine": "llama_cpp"}, "engine llama_cpp takes a GGUF file"),
        ({}, {"engine": "exllamav2"}, "not quantised"),
        ({}, {"kv_type": "q8_0"}, "say --dtype"),
        ({}, {"dtype": "float7"}, "float7"),
        ({}, {"gpu_layers": 3}, "all layers on one device"),
        ({}, {"slots": 0}, "slots must be at least 1"),
        ({}, {"context_length": 20_000}, "ask for at most 16384"),
        ({}, {"compute_capability": "5.2", "dtype": "bfloat16"}, "bfloat16"),
        (EXL2, {"engine": "torch"}, "is quantised, and engine torch loads what is not"),
        (EXL2, {"dtype": "float16"}, "leave --dtype"),
        (EXL2, {"vram_bytes": None}, "runs on a CUDA GPU"),
        (EXL2, {"kv_type": "q8_0"}, "q8_0"),
        (EXL2, {"gpu_layers": 3}, "all layers on a CUDA GPU"),
        ({"num_hidden_layers": 0}, {}, "does not say how many layers"),
    ],
)
def test_a_folder_asked_for_wrongly_is_one_line_and_exit_code_2(
    tmp_path: Path,
    config: dict[str, Any],
    query: dict[str, Any],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_folder(tmp_path / "m", config=LLAMA | config)
    assert ask_as_it_is({"file": str(folder), "vram_bytes": GIB} | query) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not printed.out


def test_a_folder_that_is_no_model_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(file=tmp_path, vram_bytes=GIB) == 2
    assert "is a folder without config.json; give a GGUF file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("query", "said"),
    [({"engine": "torch"}, "takes a folder"), ({"dtype": "float16"}, "leave --dtype")],
)
def test_a_file_asked_for_as_a_folder_is_refused(
    model: Path, query: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(file=model, vram_bytes=GIB, **query) == 2
    assert said in capsys.readouterr().err
