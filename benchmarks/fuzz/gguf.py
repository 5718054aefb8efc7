"""A model's file: the GGUF header, what it says of the model, and what a load of it would take."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from mesh.errors import MeshError
from node.engines.base import ModelSpec
from node.engines.llama_cpp.traits import LlamaCppTraits
from node.engines.traits import Target

_U32, _I32, _F32, _BOOL, _STRING, _ARRAY, _U64 = 4, 5, 6, 7, 8, 9, 10
_F32_TENSOR, _Q4_0_TENSOR = 0, 2
_SPEC = ModelSpec(id="fuzz", source="", slots=2, context_length=64, threads=1, gpu_layers=0)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind: int, value: object) -> bytes:
    match value:
        case str():
            return struct.pack("<I", _STRING) + _text(value)
        case list():
            parts = [_text(e) if isinstance(e, str) else struct.pack("<i", e) for e in value]
            return struct.pack("<IIQ", _ARRAY, kind, len(value)) + b"".join(parts)
        case bool():
            return struct.pack("<I?", _BOOL, value)
        case float():
            return struct.pack("<If", _F32, value)
    return struct.pack("<IQ" if kind == _U64 else "<II", kind, value)


def _file(
    values: Sequence[tuple[str, int, object]],
    tensors: Sequence[tuple[str, tuple[int, ...], int]],
    version: int = 3,
) -> bytes:
    data = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values))
    for key, kind, value in values:
        data += _text(key) + _value(kind, value)
    offset = 0
    for name, shape, kind in tensors:
        data += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        data += struct.pack("<IQ", kind, offset)
        elements = 1
        for length in shape:
            elements *= length
        size = elements // 32 * 18 if kind == _Q4_0_TENSOR else 4 * elements
        offset += -(-size // 32) * 32
    return data + bytes(-len(data) % 32 + offset)


def _model(architecture: str, *more: tuple[str, int, object]) -> bytes:
    values: list[tuple[str, int, object]] = [
        ("general.architecture", _STRING, architecture),
        ("general.name", _STRING, "a model"),
        (f"{architecture}.context_length", _U32, 64),
        (f"{architecture}.block_count", _U32, 1),
        (f"{architecture}.embedding_length", _U32, 32),
        (f"{architecture}.feed_forward_length", _U32, 32),
        (f"{architecture}.attention.head_count", _U32, 2),
        (f"{architecture}.attention.head_count_kv", _U32, 1),
        (f"{architecture}.rope.freq_base", _F32, 10000.0),
        ("tokenizer.ggml.model", _STRING, "gpt2"),
        ("tokenizer.ggml.tokens", _STRING, ["a", "b", "<|im_end|>"]),
        ("tokenizer.ggml.token_type", _I32, [1, 1, 3]),
        ("tokenizer.ggml.add_bos_token", _BOOL, False),
        ("tokenizer.chat_template", _STRING, "{{ messages[0].content }}"),
    ]
    tensors = [
        ("token_embd.weight", (32, 3), _Q4_0_TENSOR),
        ("blk.0.attn_q.weight", (32, 32), _F32_TENSOR),
        ("blk.0.attn_k.weight", (32, 16), _F32_TENSOR),
        ("blk.0.attn_v.weight", (32, 16), _F32_TENSOR),
        ("blk.0.ffn_up.weight", (32, 32), _Q4_0_TENSOR),
        ("output_norm.weight", (32,), _F32_TENSOR),
    ]
    return _file([*values, *more], tensors)


SEEDS: tuple[bytes, ...] = (
    _model("llama"),
    _model("gemma2", ("gemma2.attention.sliding_window", _U32, 16)),
    _model(
        "bert",
        ("bert.pooling_type", _U32, 1),
        ("bert.attention.causal", _BOOL, False),
        ("general.alignment", _U32, 32),
    ),
    _model("llama", ("split.count", _U32, 2), ("split.no", _U32, 0)),
    _model("qwen2moe", ("qwen2moe.expert_count", _U32, 4), ("qwen2moe.expert_used_count", _U32, 2)),
    _file([("general.architecture", _STRING, "llama"), ("llama.block_count", _U64, 2**40)], []),
    _file([], [], version=2),
)
EXPECTED: tuple[type[Exception], ...] = (MeshError,)

_TRAITS = LlamaCppTraits()
_FOLDER = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp")


def decode(data: bytes) -> None:
    """As a node looks at a model before it is loaded."""
    path = _FOLDER / f"squadron-fuzz-{os.getpid()}.gguf"
    path.write_bytes(data)
    try:
        _TRAITS.check(path)
        files = _TRAITS.inspect(path)
        _TRAITS.own_context(path, files)
        _TRAITS.estimate(_SPEC, files, Target())
    finally:
        path.unlink()
