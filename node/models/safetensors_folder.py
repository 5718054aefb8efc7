"""What a Hugging Face folder says of its size before anything loads it: config.json and the headers
of its safetensors files. Reads no weights and needs no PyTorch.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.cleaned import cleaned
from mesh.errors import ModelFileError

MAX_HEADER_BYTES = 100_000_000  # safetensors, src/tensor.rs, MAX_HEADER_SIZE
MAX_CONFIG_BYTES = 16 * 1024 * 1024
_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
# Of models with several parts (Gemma 3, Llama 4), the one that writes.
TEXT_PARTS = ("text_config", "language_config", "llm_config")  # of models that also see or hear


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """Lengths and counts are 0 where config.json does not say. ``numbers``: floating-point numbers
    of all tensors, ``other_bytes``: of tensors of other kinds, ``file_bytes``: as all are stored.
    ``dtype``: as config.json has it. ``quantisation``: in a word, "" where it has none."""

    name: str
    architecture: str
    dtype: str
    context_length: int
    layers: int
    heads: int
    key_value_heads: int
    head_width: int
    embedding_length: int
    feed_forward_length: int
    vocabulary: int
    numbers: int
    other_bytes: int
    file_bytes: int
    quantisation: str = ""

    @property
    def parameters(self) -> int:
        """0 of one that is quantised, whose numbers stand for several each."""
        return 0 if self.quantisation else self.numbers

    @property
    def embeds(self) -> bool:
        return False


def inspect_folder(folder: Path) -> FolderFacts:
    """Raises ``ModelFileError`` for what is no such folder, or says too little of itself."""
    whole = _config(folder / "config.json")
    described = next((whole[p] for p in TEXT_PARTS if isinstance(whole.get(p), dict)), whole)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelFileError(f"{folder} has no *.safetensors; download the model again")
    kinds: Counter[str] = Counter()
    other = size = 0
    for file in files:
        for kind, count, stored in _tensors(file):
            if kind in _FLOATS:
                kinds[kind] += count
            else:
                other += stored
        size += file.stat().st_size
    heads, width = _count(described, "num_attention_heads"), _count(described, "hidden_size")
    if not _count(described, "num_hidden_layers") or not heads or not width:
        raise ModelFileError(f"{folder}/config.json does not say how many layers or how wide it is")
    return FolderFacts(
        name=cleaned(folder.name),
        architecture=cleaned(str(whole.get("model_type", "")), 64),
        dtype=cleaned(str(whole.get("dtype") or whole.get("torch_dtype") or "float32"), 64),
        context_length=_count(described, "max_position_embeddings"),
        layers=_count(described, "num_hidden_layers"),
        heads=heads,
        key_value_heads=_count(described, "num_key_value_heads") or heads,
        head_width=_count(described, "head_dim") or width // heads,
        embedding_length=width,
        feed_forward_length=_count(described, "intermediate_size") or 4 * width,
        vocabulary=_count(described, "vocab_size"),
        numbers=sum(kinds.values()),
        other_bytes=other,
        file_bytes=size,
        quantisation=quantisation(whole),
    )


def quantisation(described: Mapping[str, Any]) -> str:
    """``EXL2 4.0bpw``, of what a config.json says; "" of a model that is not quantised."""
    method = described.get("quantization_config")
    if method is None:
        return ""
    table = method if isinstance(method, dict) else {}
    name, bits = table.get("quant_method", "quantised"), table.get("bits", "?")
    said = f"EXL2 {bits}bpw" if name == "exl2" else f"{str(name).upper()} {bits}-bit"
    return cleaned(said, 64)


def _config(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MAX_CONFIG_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"cannot read {path}: {error}") from None
    if not isinstance(found, dict):
        raise ModelFileError(f"{path} is not a JSON object; download the model again")
    return found


def _tensors(path: Path) -> Iterable[tuple[str, int, int]]:
    """(kind, numbers, bytes) of each tensor. Format: 8 bytes of the header's length, little-endian,
    then JSON (huggingface/safetensors, README, "Format")."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(MAX_HEADER_BYTES, path.stat().st_size):
                raise ValueError("its header is longer than the file")
            header = json.loads(file.read(length))
            found = [
                (
                    str(tensor["dtype"]),
                    math.prod(map(int, tensor["shape"])),
                    int(tensor["data_offsets"][1]) - int(tensor["data_offsets"][0]),
                )
                for name, tensor in header.items()
                if name != "__metadata__"
            ]
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ModelFileError(
            f"{path} is truncated or no safetensors file ({error}); download it again"
        ) from None
    return found


def _count(described: Mapping[str, Any], key: str) -> int:
    value = described.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
