"""A conversation in figures."""

from __future__ import annotations

from dataclasses import replace

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
