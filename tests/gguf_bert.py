"""A tiny BERT with random weights as a GGUF file: what most embedding models are."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CONTEXT = 64


def tokens() -> list[str]:
    """Every word can be spelled: a letter at its start, and letters that go on. llama.cpp wants a
    word's start marked and what goes on bare, as converters write a WordPiece vocabulary."""
    return [*SPECIAL, *(f"\u2581{letter}" for letter in LETTERS), *LETTERS]


def write_bert(
    path: Path,
    *,
    pooling: gguf.PoolingType | None = gguf.PoolingType.CLS,
    width: int = 48,
    layers: int = 2,
    heads: int = 4,
    context: int = CONTEXT,
    seed: int = 0,
) -> Path:
    """``pooling`` None: the file does not say."""
    vocabulary = tokens()
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("tiny-bert")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(heads)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    writer.add_vocab_size(len(vocabulary))
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocabulary)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if t in SPECIAL else gguf.TokenType.NORMAL for t in vocabulary]
    )
    writer.add_bos_token_id(vocabulary.index("[CLS]"))
    writer.add_sep_token_id(vocabulary.index("[SEP]"))
    writer.add_unk_token_id(vocabulary.index("[UNK]"))
    writer.add_pad_token_id(vocabulary.index("[PAD]"))
    writer.add_mask_token_id(vocabulary.index("[MASK]"))
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (len(vocabulary), width),
        "position_embd.weight": (context, width),
        "token_types.weight": (2, width),
        "token_embd_norm.weight": (width,),
        "token_embd_norm.bias": (width,),
    }
    for layer in range(layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes |= {f"blk.{layer}.{name}.weight": (width, width)}
            shapes |= {f"blk.{layer}.{name}.bias": (width,)}
        for name in ("attn_output_norm", "layer_output_norm"):
            shapes |= {f"blk.{layer}.{name}.weight": (width,), f"blk.{layer}.{name}.bias": (width,)}
        shapes |= {
            f"blk.{layer}.ffn_up.weight": (2 * width, width),
            f"blk.{layer}.ffn_up.bias": (2 * width,),
            f"blk.{layer}.ffn_down.weight": (width, 2 * width),
            f"blk.{layer}.ffn_down.bias": (width,),
        }
    random = np.random.default_rng(seed)
    for name, shape in shapes.items():
        if name.endswith("norm.weight"):
            values = np.ones(shape)
        elif name.endswith("bias"):
            values = np.zeros(shape)
        else:
            values = random.standard_normal(shape) * (2.0 / np.sqrt(shape[-1]))
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
