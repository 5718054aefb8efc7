"""The cascade: order, what it keeps, and what it survives."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from mesh.types import Alternative, Message, Role, Specialty
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.cascade import Cascade

MATH, CODE, CHAT = Specialty("math"), Specialty("code"), Specialty("chat")
ASKED = Features.of((Message(role=Role.USER, content="hello"),))


class _Says:
    def __init__(self, name: str, said: Verdict | Abstain | Exception) -> None:
        self.name = name
        self._said = said
        self.asked = 0

    def decide(self, features: Features) -> Verdict | Abstain:
        self.asked += 1
        if isinstance(self._said, Exception):
            raise self._said
        return self._said


def _ticking() -> Callable[[], float]:
    """A stopwatch that moves one microsecond at each look."""
    now = 0.0

    def look() -> float:
        nonlocal now
        now += 1e-6
        return now

    return look


def test_the_first_stage_that_decides_wins_and_later_ones_are_not_asked() -> None:
    alternatives = (Alternative(specialty=MATH, probability=0.9, rule="sum"),)
    later = _Says("later", Verdict(CODE, 1.0))
    cascade = Cascade(
        [
            _Says("unsure", Abstain("do not know")),
            _Says("rules", Verdict(MATH, 0.9, "sum", alternatives, "fired: sum")),
            later,
        ],
        CHAT,
        "abc123",
        perf_counter=_ticking(),
    )
    decision = cascade.decide(ASKED)
    assert (decision.specialty, decision.stage, decision.rule) == ("math", "rules", "sum")
    assert (decision.confidence, decision.rules_version) == (0.9, "abc123")
    assert decision.alternatives == alternatives
    assert later.asked == 0
    assert [(v.stage, v.specialty, v.note) for v in decision.verdicts] == [
        ("unsure", None, "do not know"),
        ("rules", "math", "fired: sum"),
    ]
    assert [v.micros for v in decision.verdicts] == [pytest.approx(1.0), pytest.approx(1.0)]
    assert decision.micros == pytest.approx(5.0)


def test_when_all_abstain_the_fallback_answers_with_no_confidence() -> None:
    leaning = (Alternative(specialty=MATH, probability=0.5),)
    cascade = Cascade([_Says("a", Abstain("weak", leaning)), _Says("b", Abstain("none"))], CHAT)
    decision = cascade.decide(ASKED)
    assert (decision.specialty, decision.stage, decision.confidence) == ("chat", "fallback", 0.0)
    assert decision.alternatives == leaning
    assert [v.stage for v in decision.verdicts] == ["a", "b", "fallback"]


def test_no_stage_at_all_falls_back() -> None:
    assert Cascade([], CHAT).decide(ASKED).stage == "fallback"


def test_an_undecided_follow_up_stays_with_its_conversation() -> None:
    follow_up = Features.of(ASKED.messages, prior=CODE)
    decision = Cascade([_Says("rules", Abstain())], CHAT).decide(follow_up)
    assert (decision.specialty, decision.stage, decision.confidence) == (
        "code",
        "conversation",
        0.0,
    )
    decided = Cascade([_Says("rules", Verdict(MATH, 0.9))], CHAT).decide(follow_up)
    assert decided.specialty == "math"


def test_a_failing_stage_costs_only_its_own_opinion_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cascade = Cascade(
        [_Says("broken", ValueError("no such thing")), _Says("rules", Verdict(MATH, 0.9))], CHAT
    )
    with caplog.at_level(logging.ERROR):
        decisions = [cascade.decide(ASKED) for _ in range(3)]
    assert {d.specialty for d in decisions} == {"math"}
    assert decisions[0].verdicts[0].note == "failed: ValueError: no such thing"
    assert decisions[0].verdicts[0].specialty is None
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    assert "broken" in caplog.text
