"""LoRA adapters change what a model says; those that do not fit are refused in one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from mesh.errors import ConfigError, MeshError, ModelFileError
from mesh.types import Message, Role, Sampling
from node.engines.base import ModelSpec, Token
from node.engines.llama_cpp.engine import LlamaCppEngine
from tests.gguf import tokens, write_random

pytestmark = pytest.mark.engine

WIDTH = 64


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("lora") / "base.gguf", seed=7)


def write_adapter(
    path: Path,
    *,
    architecture: str = "llama",
    kind: str = "lora",
    tensor: str = "output.weight",
    rows: int = len(tokens()),
    width: int = WIDTH,
    rank: int = 2,
) -> Path:
    """An adapter of ``tensor``: its change is B @ A, scaled by alpha / rank = 1."""
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", kind)
    writer.add_float32("adapter.lora.alpha", float(rank))
    first = random.standard_normal((rank, width)).astype(np.float32)
    second = random.standard_normal((rows, rank)).astype(np.float32)
    second[-3:] = 0  # control tokens stay unlikely
    writer.add_tensor(f"{tensor}.lora_a", first)
    writer.add_tensor(f"{tensor}.lora_b", second)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def answer(model: Path, adapters: Sequence[dict[str, Any]] | None) -> list[int]:
    engine = LlamaCppEngine()
    options = {} if adapters is None else {"lora": list(adapters)}
    engine.load(
        ModelSpec(id="m", source=str(model), slots=1, context_length=64, threads=1, options=options)
    )
    try:
        engine.open(0, (Message.of(Role.USER, "hello"),), Sampling(), (), "")
        found: list[int] = []
        while len(found) < 10:
            found += [e.id for e in engine.step(frozenset()) if isinstance(e, Token)]
    finally:
        engine.unload()
    return found


def test_an_adapter_changes_the_answer_by_its_scale(model: Path, tmp_path: Path) -> None:
    path = str(write_adapter(tmp_path / "a.gguf"))
    plain = answer(model, None)
    assert answer(model, [{"path": path}]) != plain
    assert answer(model, [{"path": path, "scale": 1.0}]) == answer(model, [{"path": path}])
    assert answer(model, [{"path": path, "scale": 0}]) == plain
    both = [{"path": path, "scale": 1.0}, {"path": path, "scale": -1.0}]
    assert answer(model, both) == plain


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "qwen2"}, "is for architecture 'qwen2' and .* is 'llama'"),
        ({"rows": len(tokens()) + 8}, "does not fit .*: .*shape"),
        ({"width": 32}, "does not fit .*: .*shape"),
        ({"tensor": "blk.9.attn_q.weight", "rows": WIDTH}, "does not fit .*: .*not exist"),
        ({"kind": "other"}, "is no LoRA adapter"),
    ],
)
def test_an_adapter_of_another_model_is_refused_with_the_reason(
    model: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = write_adapter(tmp_path / "a.gguf", **changes)
    with pytest.raises(ModelFileError, match=words) as caught:
        answer(model, [{"path": str(path)}])
    assert "\n" not in caught.value.message


def test_a_model_a_truncated_or_a_missing_file_is_no_adapter(model: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(write_adapter(tmp_path / "a.gguf").read_bytes()[:-100])
    for path, words in ((model, "no LoRA"), (cut, "truncated"), (tmp_path / "none", "no model")):
        with pytest.raises(ModelFileError, match=words):
            answer(model, [{"path": str(path)}])


@pytest.mark.parametrize(
    "option",
    ["a.gguf", [7], [{}], [{"path": 3}], [{"path": "a", "scale": "1"}], [{"path": "a", "x": 1}]],
)
def test_an_option_of_another_shape_is_refused_with_the_right_one(model: Path, option: Any) -> None:
    with pytest.raises(ConfigError, match=r"option 'lora'.*path = 'adapter\.gguf'"):
        answer(model, option)


def test_a_failed_load_can_be_followed_by_a_good_one(model: Path, tmp_path: Path) -> None:
    engine = LlamaCppEngine()
    bad = {"lora": [{"path": str(write_adapter(tmp_path / "a.gguf", width=32))}]}
    values: dict[str, Any] = {"id": "m", "source": str(model), "slots": 1, "context_length": 64}
    with pytest.raises(MeshError):
        engine.load(ModelSpec(threads=1, options=bad, **values))
    engine.load(ModelSpec(threads=1, **values))
    engine.unload()
