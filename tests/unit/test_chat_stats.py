"""A conversation in figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.cli.answer import PACED
from mesh.cli.chat.saved import STOPPED, SavedChat, Turn
from mesh.cli.chat.state import Known
from mesh.cli.chat.stats import stats

TURN = Turn(
    prompt="a",
    answer="b",
    ended="stop",
    asked=1.0,
    specialty="chat",
    stage="rules",
    model="smol",
    node="one",
    prompt_tokens=20,
    completion_tokens=1_000,
    ttft_ms=80.0,
    tokens_per_second=50.0,
    seconds=20.0,
)


def test_they_say_what_it_took_and_who_answered() -> None:
    turns = (
        TURN,
        replace(TURN, node="two", resumes=1, ended="length"),
        replace(TURN, ended=STOPPED, prompt_tokens=0, tokens_per_second=0.0, ttft_ms=0.0),
    )
    chat = SavedChat(name="talk", created=0.0, changed=0.0, turns=turns)
    assert stats(chat, Known({"smol": 2048})) == [
        "3 turns, kept as talk",
        "3,000 tokens answered in 60 s, 50 tokens/s (median)",
        "first token after 80 ms (median)",
        "the conversation is 1,020 of 2,048 tokens long for smol",
        "answered by one (2), two (1)",
        "as chat",
        "went on elsewhere 1 time",
        "1 answer stopped by you",
        "1 answer cut at a limit",
    ]


def test_what_no_model_made_just_now_has_no_pace_and_no_context() -> None:
    turns = (replace(TURN, stage="exact"), replace(TURN, stage="memo", ttft_ms=0.0))
    lines = stats(SavedChat(created=0.0, changed=0.0, turns=turns), Known())
    assert not any("tokens/s" in line or "long for" in line for line in lines)


def talk(*turns: Turn) -> list[str]:
    chat = SavedChat(created=1.0, changed=2.0, turns=turns)
    return stats(chat, Known({"smol": 2_048, "tiny": 1}))


def turn(**changes: Any) -> Turn:
    return replace(Turn(prompt="a", answer="b", ended="stop", asked=1.0), **changes)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("smol", "the conversation is 1,234 of 2,048 tokens long for smol"),
        ("tiny", "the conversation is 1,234 of 1 tokens long for tiny"),
        ("gone", "the conversation is 1,234 tokens long for gone"),
    ],
)
def test_how_long_it_is_is_told_by_the_last_answer_of_a_model(model: str, line: str) -> None:
    first = turn(prompt_tokens=1, completion_tokens=1, model="smol")
    last = turn(prompt_tokens=1_000, completion_tokens=234, model=model)
    exact = turn(prompt_tokens=5, completion_tokens=5, model="x", stage="exact")
    assert line in talk(first, first, last, exact)


@pytest.mark.parametrize(
    ("tokens", "rate", "stage", "paced"),
    [
        (PACED, 0.5, "rules", True),
        (PACED - 1, 50.0, "rules", False),
        (PACED, 0.0, "rules", False),
        (PACED, 50.0, "memo", False),
    ],
)
def test_a_pace_is_of_what_a_model_made_and_of_more_than_a_few(
    tokens: int, rate: float, stage: str, paced: bool
) -> None:
    lines = talk(turn(completion_tokens=tokens, tokens_per_second=rate, stage=stage))
    assert any("tokens/s" in line for line in lines) is paced


def test_names_are_cut_and_only_the_most_frequent_are_listed() -> None:
    (line,) = (each for each in talk(turn(node="n" * 99)) if each.startswith("answered by "))
    assert line == "answered by " + "n" * 59 + "…"
    turns = [turn(node=f"n{number}") for number in range(9)]
    (line,) = (each for each in talk(turns[8], *turns) if each.startswith("answered by "))
    assert line == "answered by n8 (2), " + ", ".join(f"n{n} (1)" for n in range(7))
