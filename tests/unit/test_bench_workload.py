"""Prompts: from files, made up, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.bench.workload import from_file, generated
from mesh.errors import ConfigError


def test_lines_are_prompts_and_go_round(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("What is 2 + 2?\n\n  Zwölf Äpfel \n", encoding="utf-8")
    workload = from_file(file)
    assert [workload.prompt(i) for i in range(3)] == [
        "What is 2 + 2?",
        "Zwölf Äpfel",
        "What is 2 + 2?",
    ]
    assert workload.source == "prompts.txt, 2 prompts"


@pytest.mark.parametrize("name", ["prompts.jsonl", "prompts"])
def test_json_lines_hold_prompts(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text('{"prompt": "two\\nlines", "more": 1}\n\n{"prompt": "three"}\n')
    assert list(from_file(file).prompts) == ["two\nlines", "three"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"\n \n", "holds no prompt"),
        ("a.txt", b"\xff\xfe", "is not UTF-8"),
        ("a.jsonl", b'{"prompt": "x"}\n{"prompt"', "line 2: not JSON"),
        ("a.jsonl", b'{"prompt": "x"}\n\n{"text": "x"}', 'line 3: no "prompt"'),
        ("a.jsonl", b'{"prompt": 3}', 'line 1: no "prompt"'),
        ("a.jsonl", b'["x"]', 'line 1: no "prompt"'),
    ],
)
def test_a_bad_file_is_refused_with_its_line(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        from_file(tmp_path / name)
    assert said in caught.value.message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        from_file(tmp_path / "none")


def test_made_up_prompts_are_the_same_for_a_seed_and_long_enough() -> None:
    assert generated(40, 1) == generated(40, 1)
    assert generated(40, 1) != generated(40, 2)
    prompts = generated(40, 1).prompts
    assert all(len(prompt.split()) == 40 for prompt in prompts)
    assert len(set(prompts)) > 900
    assert all("?" in prompt or "." in prompt for prompt in generated(1, 1).prompts)


@pytest.mark.parametrize("words", [0, -1, 1_000_000])
def test_a_number_of_words_that_is_none_is_refused(words: int) -> None:
    with pytest.raises(ConfigError, match="--prompt-words"):
        generated(words, 1)
