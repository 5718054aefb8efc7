"""The line under an answer: who decided, who answered, how fast, and what went wrong."""

from __future__ import annotations

import pytest

from mesh.cli.answer import cut_off, summary
from mesh.stream import Done, Resume, rate
from mesh.types import Decision, FinishReason, Specialty

DECISION = Decision(
    specialty=Specialty("math"), stage="rules", rule="word_problem", confidence=0.97
)
WENT_ON = Resume(
    from_node="attic",
    to_node="cellar",
    at_token=40,
    gap_ms=210.0,
    reason="node_lost",
    same_weights=True,
)


def done(**changes: object) -> Done:
    values: dict[str, object] = {
        "reason": "stop",
        "node": "n1",
        "node_name": "attic",
        "model": "m",
        "prompt_tokens": 3,
        "completion_tokens": 8,
        "cached_tokens": 0,
        "ttft_ms": 12.0,
        "tokens_per_second": 240.0,
        "resumed": False,
        "attempts": 1,
        "trace_id": "0" * 32,
        "queue_ms": 0.0,
    }
    return Done(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "node attic · first token 12 ms · 240 tokens/s"),
        # All of it in one event: there is no rate to give.
        ({"tokens_per_second": 0.0}, "node attic · first token 12 ms"),
        (
            {"source": "memo", "tokens_per_second": 0.0},
            "remembered, from node attic · first token 12 ms",
        ),
        (
            {"source": "exact", "node": "", "node_name": "hub", "tokens_per_second": 0.0},
            "answered by hub itself, no GPU asked · first token 12 ms",
        ),
        (
            {"source": "exact", "node": "", "node_name": "orchestrator", "tokens_per_second": 0.0},
            "answered by the orchestrator itself, no GPU asked · first token 12 ms",
        ),
        (
            {"resumed": True, "resumes": (WENT_ON,)},
            "node attic · first token 12 ms · 240 tokens/s"
            " · resumed attic -> cellar at token 40 after 210 ms (node_lost)",
        ),
    ],
)
def test_the_closing_line(changes: dict[str, object], line: str) -> None:
    assert summary(DECISION, done(**changes)) == f"math via rules/word_problem (0.97) · {line}"


@pytest.mark.parametrize("reason", FinishReason)
def test_an_answer_that_is_not_whole_says_so_and_what_to_do(reason: FinishReason) -> None:
    said = cut_off(done(reason=reason, completion_tokens=1_234))
    match reason:
        case FinishReason.STOP | FinishReason.STOP_STRING | FinishReason.TOOL_CALLS:
            assert not said
        case FinishReason.LENGTH:
            assert "cut off at its limit of 1,234 tokens; a larger --max-tokens" in said
        case FinishReason.CONTEXT:
            assert "context is full; shorten the prompt" in said
        case _:
            assert "not whole: content_filter" in said


@pytest.mark.parametrize(
    ("tokens", "spread_s", "pace"),
    [(1, 5.0, 0.0), (0, 0.0, 0.0), (11, 1.0, 10.0), (41, 0.02, 2_000.0), (2_000, 0.0019, 0.0)],
)
def test_a_pace_needs_a_span_that_can_be_measured(
    tokens: int, spread_s: float, pace: float
) -> None:
    assert rate(tokens, spread_s) == pytest.approx(pace)
