"""GGUF files of chosen shapes with random weights, for estimates of memory to be checked on.

Quantised blocks are random bytes with small scales, so that a file of hundreds of megabytes is
written as fast as the disk takes it; what such a model says is noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from node.models.gguf_header import TENSOR_TYPES
from training.rigs.gguf_bytes import CONTROL, byte_characters

F32, F16, Q4_0, Q8_0, Q4_K, Q6_K = 0, 1, 2, 8, 12, 14
# Where in a block its f16 scales stand (ggml-common.h); their value, 2^-10, is bytes 00 14.
_SCALES = {Q4_0: (0,), Q8_0: (0,), Q4_K: (0, 2), Q6_K: (208,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A model to make. ``experts``: how many, each ``feed_forward`` wide, two of them used at a
    time. ``tied``: the output is the token embeddings. ``window``: sliding, 0 for none."""

    name: str
    architecture: str = "llama"
    layers: int = 4
    width: int = 512
    heads: int = 8
    groups: int = 8
    head_width: int = 0
    feed_forward: int = 1408
    vocabulary: int = 8192
    context: int = 4096
    weights: int = Q8_0
    tied: bool = False
    experts: int = 0
    window: int = 0

    @property
    def key_width(self) -> int:
        return self.head_width or self.width // self.heads


def write(path: Path, recipe: Recipe, *, empty: bool = False) -> Path:
    """Makes the file. ``empty``: its weights are a hole in the file, all zero, for loads that only
    count."""
    writer = gguf.GGUFWriter(path, recipe.architecture)
    _describe(writer, recipe)
    shapes = dict(_tensors(recipe))
    for name, (shape, kind) in shapes.items():
        writer.add_tensor_info(
            name,
            gguf.quant_shape_to_byte_shape(shape, gguf.GGMLQuantizationType(kind))
            if kind in _SCALES
            else shape,
            np.dtype(np.uint8 if kind in _SCALES else (np.float16 if kind == F16 else np.float32)),
            _bytes(shape, kind),
            gguf.GGMLQuantizationType(kind),
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    random = np.random.default_rng(0)
    with path.open("r+b") as file:
        file.seek(0, 2)
        for shape, kind in shapes.values():
            file.seek(-(-file.tell() // 32) * 32)
            if empty:
                file.truncate(file.tell() + _bytes(shape, kind))
                file.seek(0, 2)
            else:
                file.write(_random(random, shape, kind))
        file.truncate(-(-file.tell() // 32) * 32)
    return path


def _bytes(shape: tuple[int, ...], kind: int) -> int:
    _, block, block_bytes = TENSOR_TYPES[kind]
    return int(np.prod(shape, dtype=np.int64)) // block * block_bytes


def _random(random: np.random.Generator, shape: tuple[int, ...], kind: int) -> bytes:
    if len(shape) == 1:
        return np.ones(shape, np.float32).tobytes()
    if kind == F32:
        return (random.standard_normal(shape, np.float32) * 0.02).tobytes()
    if kind == F16:
        return (random.standard_normal(shape, np.float32) * 0.02).astype(np.float16).tobytes()
    block_bytes = TENSOR_TYPES[kind][2]
    blocks = np.frombuffer(bytearray(random.bytes(_bytes(shape, kind))), np.uint8)
    blocks = blocks.reshape(-1, block_bytes)
    for at in _SCALES[kind]:
        blocks[:, at : at + 2] = (0x00, 0x14)
    return blocks.tobytes()


def _describe(writer: gguf.GGUFWriter, recipe: Recipe) -> None:
    words = recipe.vocabulary - 256 - len(CONTROL)
    tokens = [*CONTROL, *byte_characters(), *(f"<t{number}>" for number in range(words))]
    writer.add_name(recipe.name)
    writer.add_context_length(recipe.context)
    writer.add_embedding_length(recipe.width)
    writer.add_block_count(recipe.layers)
    writer.add_feed_forward_length(recipe.feed_forward)
    writer.add_head_count(recipe.heads)
    writer.add_head_count_kv(recipe.groups)
    writer.add_key_length(recipe.key_width)
    writer.add_value_length(recipe.key_width)
    writer.add_layer_norm_rms_eps(1e-6)
    if recipe.experts:
        writer.add_expert_count(recipe.experts)
        writer.add_expert_used_count(2)
    if recipe.window:
        writer.add_sliding_window(recipe.window)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if t in CONTROL else gguf.TokenType.NORMAL for t in tokens]
    )
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)


def _tensors(recipe: Recipe) -> Iterator[tuple[str, tuple[tuple[int, ...], int]]]:
    """Names, shapes (rows first) and types."""
    width, kind, inner = recipe.width, recipe.weights, recipe.feed_forward
    queries, keys = recipe.heads * recipe.key_width, recipe.groups * recipe.key_width
    yield "token_embd.weight", ((recipe.vocabulary, width), kind)
    yield "output_norm.weight", ((width,), F32)
    if not recipe.tied:
        yield "output.weight", ((recipe.vocabulary, width), kind)
    for layer in range(recipe.layers):
        at = f"blk.{layer}."
        yield f"{at}attn_norm.weight", ((width,), F32)
        yield f"{at}ffn_norm.weight", ((width,), F32)
        yield f"{at}attn_q.weight", ((queries, width), kind)
        yield f"{at}attn_k.weight", ((keys, width), kind)
        yield f"{at}attn_v.weight", ((keys, width), kind)
        yield f"{at}attn_output.weight", ((width, queries), kind)
        match recipe.architecture:
            case "qwen2":
                for name, size in (("q", queries), ("k", keys), ("v", keys)):
                    yield f"{at}attn_{name}.bias", ((size,), F32)
            case "qwen3":
                yield f"{at}attn_q_norm.weight", ((recipe.key_width,), F32)
                yield f"{at}attn_k_norm.weight", ((recipe.key_width,), F32)
            case "gemma2" | "gemma3":
                yield f"{at}post_attention_norm.weight", ((width,), F32)
                yield f"{at}post_ffw_norm.weight", ((width,), F32)
                if recipe.architecture == "gemma3":
                    yield f"{at}attn_q_norm.weight", ((recipe.key_width,), F32)
                    yield f"{at}attn_k_norm.weight", ((recipe.key_width,), F32)
        if recipe.experts:
            yield f"{at}ffn_gate_inp.weight", ((recipe.experts, width), F32)
            yield f"{at}ffn_gate_exps.weight", ((recipe.experts, inner, width), kind)
            yield f"{at}ffn_up_exps.weight", ((recipe.experts, inner, width), kind)
            yield f"{at}ffn_down_exps.weight", ((recipe.experts, width, inner), kind)
        else:
            yield f"{at}ffn_gate.weight", ((inner, width), kind)
            yield f"{at}ffn_up.weight", ((inner, width), kind)
            yield f"{at}ffn_down.weight", ((width, inner), kind)
