"""Tiny models as Hugging Face folders, made in code: what ``tests/gguf.py`` is for llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTEXT = 256


def write_random(folder: Path, *, seed: int = 0, kind: str = "llama", **changes: Any) -> Path:
    """A model with random weights, of which every next token depends on all before it; its answers
    do not end. ``changes``: of its config."""
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    size = write_tokenizer(folder)
    values: dict[str, Any] = {
        "vocab_size": size + 5,  # models are padded, so ids beyond the tokenizer's exist
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": None,
        "eos_token_id": size - 1,
        "pad_token_id": None,
        "tie_word_embeddings": False,
    }
    config = transformers.AutoConfig.for_model(kind, **(values | changes))
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, 2.0 / weight.shape[-1] ** 0.5)
            if name == "lm_head.weight":
                weight[size - 3 :] = 0  # never the likeliest, so no answer ends early
    model.save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path, *, template: str | None = CHATML) -> int:
    """A byte-level BPE trained on a few words; returns its number of tokens, of which the last
    three are ``END_OF_TEXT``, ``START`` and ``END``."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=270,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["hello user assistant system one two four"] * 4, trainer)
    control = [AddedToken(text, special=True) for text in (END_OF_TEXT, START, END)]
    tokenizer.add_special_tokens(control)
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {"eos_token": END, "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    size: int = tokenizer.get_vocab_size(with_added_tokens=True)
    return size
