"""Tiny llama models as GGUF files, written in milliseconds: real files for real llama.cpp.

Two kinds. ``write_random``: random weights, whose every next token depends on all before it, so
that a wrong cache, position or batch shows. ``write_chain``: weights built so that each byte of a
given text is followed by the next one and then by the end of the turn, so that a test chooses what
the model says.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from training.rigs.gguf_bytes import CONTROL, END, END_OF_TEXT, byte_characters

MERGES = ("h e", "l l", "he ll", "u s", "e r", "us er")
CONTEXT = 256
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tokens() -> list[str]:
    """The vocabulary: 256 bytes, what ``MERGES`` make, the control tokens."""
    return [*byte_characters(), *(m.replace(" ", "") for m in MERGES), *CONTROL]


def write_random(path: Path, *, seed: int = 0, **changes: Any) -> Path:
    """A model with random weights. ``changes``: see ``_write``."""
    random = np.random.default_rng(seed)

    def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        values = random.standard_normal(shape) * (2.0 / np.sqrt(shape[-1]))
        if name == "output.weight":
            values[-len(CONTROL) :] = 0  # never the likeliest, so no answer ends early
        return np.asarray(values, np.float32)

    return _write(path, weights, **changes)


def write_chain(path: Path, text: str, *, start: str = "\n", **changes: Any) -> Path:
    """A model that says ``text`` after ``start`` (the template's last character) and ends its turn.
    No byte may appear twice in ``start + text``. From any other byte it goes on with itself."""
    data = (start + text).encode()
    if len(set(data)) != len(data):
        raise ValueError("a byte appears twice")
    vocabulary = tokens()
    following = {token: token for token in range(len(vocabulary))}
    following |= dict(pairwise(data))
    following[data[-1]] = vocabulary.index(END)
    random = np.random.default_rng(0)
    embedding = random.standard_normal((len(vocabulary), 128)).astype(np.float32)

    def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
        match name:
            case "token_embd.weight":
                return embedding
            case "output.weight":
                # The row of a token is the sum of the embeddings that it shall follow.
                rows = np.zeros_like(embedding)
                for before, after in following.items():
                    rows[after] += embedding[before]
                return rows
        return np.ones(shape, np.float32) if len(shape) == 1 else np.zeros(shape, np.float32)

    return _write(path, weights, width=128, **changes)


def _write(
    path: Path,
    weights: Any,
    *,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    context: int = CONTEXT,
    architecture: str = "llama",
    template: str | None = CHATML,
    name: str = "tiny",
    pooling: gguf.PoolingType | None = None,
) -> Path:
    vocabulary = tokens()
    hidden, key_value = 2 * width, width // heads * 2
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(vocabulary)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if t in CONTROL else gguf.TokenType.NORMAL for t in vocabulary]
    )
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(vocabulary.index(END_OF_TEXT))
    writer.add_eos_token_id(vocabulary.index(END))
    writer.add_eot_token_id(vocabulary.index(END))
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (len(vocabulary), width)}
    for layer in range(layers):
        shapes |= {
            f"blk.{layer}.attn_norm.weight": (width,),
            f"blk.{layer}.attn_q.weight": (width, width),
            f"blk.{layer}.attn_k.weight": (key_value, width),
            f"blk.{layer}.attn_v.weight": (key_value, width),
            f"blk.{layer}.attn_output.weight": (width, width),
            f"blk.{layer}.ffn_norm.weight": (width,),
            f"blk.{layer}.ffn_gate.weight": (hidden, width),
            f"blk.{layer}.ffn_up.weight": (hidden, width),
            f"blk.{layer}.ffn_down.weight": (width, hidden),
        }
    shapes |= {"output_norm.weight": (width,), "output.weight": (len(vocabulary), width)}
    for tensor, shape in shapes.items():
        writer.add_tensor(tensor, np.ascontiguousarray(weights(tensor, shape)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
