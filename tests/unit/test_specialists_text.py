"""The text that the specialists learn from is deterministic and right."""

from __future__ import annotations

import copy
import re
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from training.specialists.text import Generator, Sample, is_held_out
from training.specialists.text import chat as chat_text
from training.specialists.text import code as code_text
from training.specialists.text import math as math_text
from training.specialists.text.arithmetic import add, divide, multiply, places, subtract
from training.specialists.text.functions import TASKS

ALL = (math_text.generate, code_text.generate, chat_text.generate)


def draw(generate: Generator, count: int, seed: int = 5) -> list[Sample]:
    rng = Random(seed)
    return [generate(rng) for _ in range(count)]


@pytest.mark.parametrize("generate", ALL)
def test_the_same_seed_gives_the_same_text(generate: Generator) -> None:
    assert draw(generate, 300) == draw(generate, 300)
    assert draw(generate, 300) != draw(generate, 300, seed=6)


@pytest.mark.parametrize("generate", ALL)
def test_turns_alternate_and_have_clean_edges(generate: Generator) -> None:
    for sample in draw(generate, 500):
        assert [turn.role for turn in sample.turns] == ["user", "assistant"] * (
            len(sample.turns) // 2
        )
        for turn in sample.turns:
            assert turn.content == turn.content.strip() != ""
            assert "<|" not in turn.content


@pytest.mark.parametrize("generate", ALL)
def test_about_one_prompt_in_twenty_is_held_out(generate: Generator) -> None:
    prompts = {sample.prompt for sample in draw(generate, 4000)}
    share = sum(map(is_held_out, prompts)) / len(prompts)
    assert 0.02 < share < 0.09


def value(expression: str) -> Fraction:
    """Evaluate `a op b op ...` with * and / before + and -, apart from the code under test."""
    total = Fraction(0)
    for sign, term in re.findall(r"([+-]?) ?(\d+(?: [*/] \d+)*)", expression):
        factor = Fraction(1)
        for operation, number in re.findall(r"([*/]?) ?(\d+)", term):
            factor = factor / int(number) if operation == "/" else factor * int(number)
        total += -factor if sign == "-" else factor
    return total


def test_every_step_of_every_working_holds_and_leads_to_the_answer() -> None:
    for sample in draw(math_text.generate, 3000):
        if sample.answer is None:
            continue
        *lines, last = sample.reply.split("\n")
        assert last == f"The answer is {sample.answer}."
        assert 0 <= sample.answer <= 9999
        for line in lines:
            tenth = re.fullmatch(r"10% of (\d+) = (\d+)", line)
            if tenth:
                assert int(tenth[1]) == 10 * int(tenth[2])
                continue
            sides = {value(side) for side in line.rpartition(": ")[2].split(" = ")}
            assert len(sides) == 1, line
        assert lines[-1].endswith(f"= {sample.answer}")


@pytest.mark.parametrize(
    ("question", "answer"),
    [(r"What is (\d+) \+ (\d+)\?", lambda a, b: a + b),
     (r"What is (\d+) - (\d+)\?", lambda a, b: a - b),
     (r"What is (\d+) [*×x] (\d+)\?", lambda a, b: a * b),
     (r"What is (\d+) [/÷] (\d+)\?", lambda a, b: a // b),
     (r"What is (\d+)% of (\d+)\?", lambda a, b: a * b // 100),
     (r"\w+ has (\d+) \w+ and gives away (\d+)\. How many \w+ are left\?", lambda a, b: a - b),
     (r"A \w+ holds (\d+) \w+\. How many \w+ are in (\d+) \w+\?", lambda a, b: a * b),
     (r"\w+ shares (\d+) \w+ equally among (\d+) friends\. How many does each friend get\?",
      lambda a, b: a // b)],
)  # fmt: skip
def test_answers_agree_with_a_reading_of_the_question(question: str, answer: Any) -> None:
    found = 0
    for sample in draw(math_text.generate, 20_000):
        match = re.fullmatch(question, sample.prompt)
        if match:
            found += 1
            assert sample.answer == answer(int(match[1]), int(match[2])), sample.prompt
    assert found >= 20


@pytest.mark.parametrize(
    ("working", "text", "result"),
    [
        (add(17, 25), "17 + 25 = 17 + 20 + 5 = 37 + 5 = 42", 42),
        (add(12, 30), "12 + 30 = 42", 42),
        (subtract(83, 47), "83 - 47 = 83 - 40 - 7 = 43 - 7 = 36", 36),
        (multiply(6, 7), "6 * 7 = 42", 42),
        (divide(96, 4), "96 / 4 = 80 / 4 + 16 / 4 = 20 + 4 = 24", 24),
    ],
)
def test_workings_read_as_intended(working: tuple[str, int], text: str, result: int) -> None:
    assert working == (text, result)


def test_places_leave_out_zeros() -> None:
    assert places(405) == [400, 5]
    assert places(0) == [0]


def run(sample: Sample) -> None:
    assert sample.check is not None
    code = code_text.extract(sample.reply)
    assert code is not None
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    for given, wanted in sample.check.calls:
        assert namespace[sample.check.function](*copy.deepcopy(given)) == wanted, sample.prompt


def test_generated_functions_run_and_return_what_is_right() -> None:
    samples = [sample for sample in draw(code_text.generate, 3000) if sample.check]
    for sample in samples:
        run(sample)
    assert {task.name for task in TASKS} <= {s.check.function for s in samples if s.check}


def test_one_request_never_has_two_different_answers() -> None:
    for generate in (code_text.generate, math_text.generate):
        replies: dict[str, str] = {}
        for sample in draw(generate, 20_000):
            assert replies.setdefault(sample.prompt, sample.reply) == sample.reply


def test_chat_has_text_beyond_ascii_and_an_honest_refusal() -> None:
    replies = [sample.reply for sample in draw(chat_text.generate, 2000)]
    assert sum(not reply.isascii() for reply in replies) > 100
    assert chat_text.UNKNOWN in replies
