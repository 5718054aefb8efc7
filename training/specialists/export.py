"""Writes a trained specialist as GGUF, the format that llama.cpp reads."""

from __future__ import annotations

from pathlib import Path

import gguf
import torch
from tokenizers import Tokenizer

from training.specialists import Specialist
from training.specialists.model import Llama
from training.specialists.tokenizer import CHAT_TEMPLATE, CONTROL, END, END_OF_TEXT, vocabulary

Q8_0 = gguf.GGMLQuantizationType.Q8_0


def write_gguf(path: Path, specialist: Specialist, model: Llama, tokenizer: Tokenizer) -> None:
    """Write weights, tokenizer and chat template to path, replacing it only once complete."""
    unfinished = path.with_suffix(".partial")
    writer = gguf.GGUFWriter(unfinished, "llama")
    _describe(writer, specialist)
    _shape(writer, model)
    _tokenizer(writer, tokenizer)
    for name, weight in model.state_dict().items():
        values = weight.detach().float().numpy()
        if values.ndim == 2:
            # Eight bits cost a tiny model nothing that its held-out score shows.
            writer.add_tensor(name, gguf.quants.quantize(values, Q8_0), raw_dtype=Q8_0)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(path)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a file that `write_gguf` wrote, as float32, by name."""
    return {
        tensor.name: torch.from_numpy(
            gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            .reshape(tensor.shape[::-1])
            .copy()
        )
        for tensor in gguf.GGUFReader(path).tensors
    }


def _describe(writer: gguf.GGUFWriter, specialist: Specialist) -> None:
    writer.add_name(f"Squadron toy {specialist.name}")
    writer.add_author("Squadron")
    writer.add_description(specialist.description)
    writer.add_license("apache-2.0")
    writer.add_tags(["toy", specialist.specialty])
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _shape(writer: gguf.GGUFWriter, model: Llama) -> None:
    shape = model.shape
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_value_heads)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)


def _tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    tokens, merges = vocabulary(tokenizer)
    kinds = [
        gguf.TokenType.CONTROL if token in CONTROL else gguf.TokenType.NORMAL for token in tokens
    ]
    end, end_of_text = tokens.index(END), tokens.index(END_OF_TEXT)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(end_of_text)
    writer.add_pad_token_id(end_of_text)
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(end)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
