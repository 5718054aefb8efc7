"""Trains the toy specialists from scratch on text that this package makes itself.

    python -m training.specialists.train --specialty all --minutes 12

Needs torch and tokenizers, which no running node needs. The questions and their order follow
from the seed; how many of them a run gets to follows from the minutes given, so two machines of
different speed train on the same text but not for equally many steps.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as functional
from tokenizers import Tokenizer
from torch import Tensor

from training.specialists import CATALOGUE, FOLDER, write_checksums
from training.specialists.export import read_weights, write_gguf
from training.specialists.model import Llama, Shape, parameter_count
from training.specialists.text import Generator, Turn, is_held_out
from training.specialists.text import chat as chat_text
from training.specialists.text import code as code_text
from training.specialists.text import math as math_text
from training.specialists.tokenizer import KEPT, VOCABULARY, encode, load_or_build

GENERATORS: dict[str, Generator] = {
    "math": math_text.generate,
    "code": code_text.generate,
    "chat": chat_text.generate,
}
SYSTEM_PROMPTS = (
    "You are a helpful assistant.", "You are helpful.", "You are a friendly assistant.",
    "Answer briefly.", "You are a specialist of Squadron.", "Be concise.",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How one training run goes; `minutes` is wall-clock time and sets the schedule."""

    minutes: float = 12.0
    seed: int = 7
    tokens_a_step: int = 2048
    short_window: int = 128
    window: int = 256
    long_window: int = 1024
    long_every: int = 8
    short_share: float = 0.4
    peak_rate: float = 3e-3
    warm_up: float = 0.03
    decay: float = 0.1
    clip: float = 1.0


def window_at(step: int, progress: float, plan: Plan) -> int:
    """How long the rows are: single questions first, then several, now and then a full context.

    Copying a number out of the question is what a tiny model finds hardest to begin with, and it
    finds it sooner where nothing but that question is in sight.
    """
    if progress < plan.short_share:
        return plan.short_window
    return plan.long_window if step % plan.long_every == 0 else plan.window


def batch(
    generate: Generator, tokenizer: Tokenizer, rng: Random, rows: int, window: int
) -> tuple[Tensor, Tensor]:
    """Inputs and targets, each (rows, window); -100 marks what is not learnt.

    A row is one long conversation of unrelated questions, so the model meets every position up
    to the window's end and learns that only the last question counts.
    """
    filled = [_row(generate, tokenizer, rng, window + 1) for _ in range(rows)]
    ids = torch.tensor([ids for ids, _ in filled])
    learnt = torch.tensor([marks for _, marks in filled])
    return ids[:, :-1], ids[:, 1:].masked_fill(~learnt[:, 1:], -100)


def _row(
    generate: Generator, tokenizer: Tokenizer, rng: Random, length: int
) -> tuple[list[int], list[bool]]:
    turns: list[Turn] = []
    if rng.random() < 0.1:
        turns.append(Turn("system", rng.choice(SYSTEM_PROMPTS)))
    ids, learnt = encode(tokenizer, turns)
    while len(ids) < length:
        sample = generate(rng)
        if any(is_held_out(turn.content) for turn in sample.turns if turn.role == "user"):
            continue
        more, marks = encode(tokenizer, sample.turns)
        ids += more
        learnt += marks
    return ids[:length], learnt[:length]


def rate(progress: float, plan: Plan) -> float:
    """The learning rate after this share of the time: a short rise, then a cosine to nothing."""
    if progress < plan.warm_up:
        return plan.peak_rate * progress / plan.warm_up
    done = (progress - plan.warm_up) / (1 - plan.warm_up)
    return plan.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def train(
    specialty: str, tokenizer: Tokenizer, plan: Plan, start: dict[str, Tensor] | None = None
) -> Llama:
    """Train one specialist for the plan's minutes, from scratch or from the weights in start."""
    torch.manual_seed(plan.seed)
    model = Llama(Shape(vocabulary=VOCABULARY))
    if start is not None:
        model.load_state_dict(start)
    matrices = [weight for weight in model.parameters() if weight.dim() == 2]
    norms = [weight for weight in model.parameters() if weight.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": plan.decay}, {"params": norms, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
        fused=True,
    )
    print(f"{specialty}: {parameter_count(model):,} weights", flush=True)
    began, seen, total = time.monotonic(), 0, 0.0
    rng = Random(f"train/{plan.seed}")
    for step in itertools.count(1):
        progress = (time.monotonic() - began) / (60 * plan.minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate(progress, plan)
        window = window_at(step, progress, plan)
        rows = plan.tokens_a_step // window
        inputs, targets = batch(GENERATORS[specialty], tokenizer, rng, rows, window)
        loss = _loss(model, inputs, targets)
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
        optimizer.step()
        optimizer.zero_grad()
        seen, total = seen + inputs.numel(), total + loss.item()
        if step % 100 == 0:
            speed = seen / (time.monotonic() - began)
            print(f"{progress:4.0%} {step} {speed:.0f} tokens/s loss {total / 100:.4f}", flush=True)
            total = 0.0
    return model


def _loss(model: Llama, inputs: Tensor, targets: Tensor) -> Tensor:
    # bfloat16 is twice as fast as float32 on CPUs that have it, and emulated on the others.
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(inputs)
    return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def main() -> None:
    """Train the specialists asked for and write their files and checksums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specialty", choices=[*GENERATORS, "all"], default="all")
    parser.add_argument("--minutes", type=float, default=Plan.minutes, help="for each specialist")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--rate", type=float, default=Plan.peak_rate, help="peak learning rate")
    parser.add_argument("--resume", action="store_true", help="go on from the files in --out")
    parser.add_argument(
        "--threads", type=int, default=0, help="0: all cores; 1 where others share them"
    )
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    plan = replace(Plan(), minutes=arguments.minutes, seed=arguments.seed, peak_rate=arguments.rate)
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer = load_or_build(KEPT, list(GENERATORS.values()), plan.seed)
    for specialist in CATALOGUE:
        if arguments.specialty in (specialist.name, "all"):
            path = arguments.out / specialist.file
            start = read_weights(path) if arguments.resume else None
            model = train(specialist.name, tokenizer, plan, start)
            write_gguf(path, specialist, model, tokenizer)
    write_checksums(arguments.out)


if __name__ == "__main__":
    main()
