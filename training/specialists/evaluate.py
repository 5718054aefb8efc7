"""Measures the toy specialists on prompts that training never saw, through llama.cpp.

    python -m training.specialists.evaluate --samples 300

Decoding is greedy. `math` counts if the last sentence names the right number, `code` if the
function runs and returns the right thing for every probe, `chat` if the reply is word for word
the intended one.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from llama_cpp import Llama

from training.specialists import CATALOGUE, FOLDER
from training.specialists.text import Check, Generator, Sample, is_held_out
from training.specialists.text import chat as chat_text
from training.specialists.text import code as code_text
from training.specialists.text import math as math_text

GENERATORS: dict[str, Generator] = {
    "math": math_text.generate,
    "code": code_text.generate,
    "chat": chat_text.generate,
}

# Runs a model's code in a process of its own: it may loop for ever or fail in any way.
_PROBE = """
import json, sys
code, name, calls = eval(sys.stdin.read())
namespace = {}
exec(code, namespace)
print(json.dumps(all(namespace[name](*given) == wanted for given, wanted in calls)))
"""


def held_out(name: str, samples: int, seed: int = 1) -> Iterator[Sample]:
    """Different last questions that training left out, in an order set by the seed."""
    rng = Random(f"evaluate/{seed}")
    asked: set[str] = set()
    while len(asked) < samples:
        sample = GENERATORS[name](rng)
        if is_held_out(sample.prompt) and sample.prompt not in asked:
            asked.add(sample.prompt)
            yield sample


def ask(model: Llama, sample: Sample, limit: int = 320) -> str:
    """The model's greedy reply to the last question of a conversation."""
    messages: list[Any] = [{"role": t.role, "content": t.content} for t in sample.turns[:-1]]
    answer: Any = model.create_chat_completion(messages, temperature=0.0, max_tokens=limit)
    return str(answer["choices"][0]["message"]["content"])


def is_right(sample: Sample, reply: str) -> bool:
    """Whether a reply is right by the measure that its sample carries."""
    if sample.answer is not None:
        found = re.findall(r"The answer is (\d+)\.", reply)
        return bool(found) and int(found[-1]) == sample.answer
    if sample.check is not None:
        code = code_text.extract(reply)
        return code is not None and runs(code, sample.check)
    return reply == sample.reply


def runs(code: str, check: Check, seconds: float = 5.0) -> bool:
    """Whether the code defines the function and returns the right thing for every call."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _PROBE],
            input=repr((code, check.function, check.calls)),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and json.loads(done.stdout.splitlines()[-1]) is True


def main() -> None:
    """Print the share of right replies for each specialist."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=300, help="for each specialist")
    parser.add_argument("--specialty", choices=[*GENERATORS, "all"], default="all")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--wrong", type=int, default=0, help="show this many wrong replies")
    arguments = parser.parse_args()
    for specialist in CATALOGUE:
        if arguments.specialty not in (specialist.name, "all"):
            continue
        path = str(arguments.folder / specialist.file)
        model = Llama(path, n_ctx=specialist.context_length, n_threads=1, verbose=False)
        right, show = 0, arguments.wrong
        for sample in held_out(specialist.name, arguments.samples):
            reply = ask(model, sample)
            if is_right(sample, reply):
                right += 1
            elif show:
                show -= 1
                print(f"? {sample.prompt}\nwanted {sample.reply}\nsaid   {reply}\n")
        print(f"{specialist.name}: {right}/{arguments.samples} held-out prompts right", flush=True)


if __name__ == "__main__":
    main()
