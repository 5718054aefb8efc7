"""One byte-level BPE for all three specialists, trained on their own text.

The pre-tokenizer is llama.cpp's `qwen2`: it cuts every digit off on its own, which is what lets
a tiny model learn arithmetic digit by digit.

The trained tokenizer is kept in `tokenizer.json` beside this file, because the three models share
it: retraining one of them must not change what a token is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from training.specialists.text import Generator, Turn

END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL = (END_OF_TEXT, START, END)
VOCABULARY = 1024
KEPT = Path(__file__).with_name("tokenizer.json")

# llama.cpp's LLAMA_VOCAB_PRE_TYPE_QWEN2, spelled as in Qwen's tokenizer.json.
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def load_or_build(path: Path, generators: Sequence[Generator], seed: int) -> Tokenizer:
    """The tokenizer kept at path, or, if there is none yet, a new one that is then kept there."""
    if path.is_file():
        return Tokenizer.from_file(str(path))
    tokenizer = build(generators, seed)
    tokenizer.save(str(path))
    return tokenizer


def build(generators: Sequence[Generator], seed: int, samples: int = 6000) -> Tokenizer:
    """Train the tokenizer; the same seed and generators give the same one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN2), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(generators, seed, samples), trainer)
    return tokenizer


def _texts(generators: Sequence[Generator], seed: int, samples: int) -> Iterable[str]:
    for generate in generators:
        rng = Random(f"tokenizer/{seed}")
        for _ in range(samples):
            yield from (f"{turn.role}\n{turn.content}" for turn in generate(rng).turns)


def encode(tokenizer: Tokenizer, turns: Iterable[Turn]) -> tuple[list[int], list[bool]]:
    """ChatML token ids, and for each whether the model is to learn to say it.

    Only what an assistant says, with the mark that ends it, is learnt.
    """
    ids: list[int] = []
    learnt: list[bool] = []
    for turn in turns:
        head = tokenizer.encode(f"{START}{turn.role}\n").ids
        said = tokenizer.encode(f"{turn.content}{END}").ids
        tail = tokenizer.encode("\n").ids
        ids += head + said + tail
        mine = turn.role == "assistant"
        learnt += [False] * len(head) + [mine] * len(said) + [False] * len(tail)
    return ids, learnt


def vocabulary(tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """Tokens in id order and merges, both as GGUF stores them."""
    tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda kv: kv[1])]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return tokens, [" ".join(pair) for pair in merges]
