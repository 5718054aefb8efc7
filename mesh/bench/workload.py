"""What is asked: prompts from a file, or made up in three kinds so that the router has work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

from mesh.errors import ConfigError

DEFAULT_WORDS = 16
MAX_WORDS = 100_000
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_PROMPTS = 100_000

_KINDS = (
    "What is {a} + {b}?",
    "Write a Python function that multiplies a number by {a} and adds {b}.",
    "Tell me a short story about {a} ships and {b} birds.",
)
# Neutral: none of these words may tip a prompt towards another specialist.
_FILLER = "north wind over quiet hills and slow rivers under an early moon beside old stone walls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Prompts, asked in order and round again. ``source`` names where they come from."""

    prompts: Sequence[str]
    source: str

    def prompt(self, number: int) -> str:
        """The prompt of request ``number``, from 0."""
        return self.prompts[number % len(self.prompts)]


def generated(words: int, seed: int, *, count: int = 999) -> Workload:
    """``count`` different prompts of at least ``words`` words, in turn about numbers, code and
    talk; the same for the same seed. Raises ``ConfigError``."""
    if not 1 <= words <= MAX_WORDS:
        raise ConfigError(f"--prompt-words must be 1 to {MAX_WORDS}, not {words}")
    random = Random(seed)
    filler = _FILLER.split()
    prompts = []
    for number in range(count):
        kind = _KINDS[number % len(_KINDS)]
        question = kind.format(a=random.randint(2, 999), b=random.randint(2, 999))
        missing = words - len(question.split())
        # In front, so that prompts do not share a long beginning that a prefix cache would serve.
        padding = [random.choice(filler) for _ in range(missing)]
        prompts.append(f"{' '.join(padding).capitalize()}. {question}" if padding else question)
    return Workload(prompts=tuple(prompts), source=f"generated, {words} words or more")


def from_file(path: Path) -> Workload:
    """One prompt a line, or JSON Lines with ``"prompt"``. Raises ``ConfigError`` with the line."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is over {MAX_FILE_BYTES // 2**20} MiB; split it")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not kept:
        raise ConfigError(f"{path} holds no prompt; write one a line")
    as_json = path.suffix in {".jsonl", ".ndjson"} or kept[0][1].lstrip().startswith("{")
    prompts = tuple(
        _json_prompt(path, number, line) if as_json else line.strip()
        for number, line in islice(kept, MAX_PROMPTS)
    )
    return Workload(prompts=prompts, source=f"{path.name}, {len(prompts)} prompts")


def _json_prompt(path: Path, number: int, line: str) -> str:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}, line {number}: not JSON: {error.msg}") from None
    prompt = value.get("prompt") if isinstance(value, dict) else None
    if not isinstance(prompt, str) or not prompt.strip():
        raise ConfigError(f'{path}, line {number}: no "prompt" with text in it')
    return prompt
