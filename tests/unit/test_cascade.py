"""The cascade: order, what it keeps, and what it survives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from mesh.types import Alternative, Decision, FinishReason, Message, ModelId, Piece, Role, Specialty
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.cascade import Cascade
from orchestrator.router.ready import ReadyAnswer
from tests.stage_rig import placed

MATH, CODE, CHAT = Specialty("math"), Specialty("code"), Specialty("chat")
ASKED = Features.of((Message.of(Role.USER, "hello"),))


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


class _Slow:
    """A slow stage that answers once it is told to."""

    def __init__(self, name: str, said: Verdict | Abstain, timeout_s: float = 30.0) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self.told = asyncio.Event()
        self.cancelled = False
        self._said = said

    async def consult(self, features: Features) -> Verdict | Abstain:
        try:
            await self.told.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return self._said

    async def run(self) -> None:
        """Lives on nothing."""


async def _decided(cascade: Cascade, asked: Features = ASKED) -> Decision:
    return (await cascade.decide(asked)).decision


def _ticking() -> Callable[[], float]:
    """A stopwatch that moves one microsecond at each look."""
    now = 0.0

    def look() -> float:
        nonlocal now
        now += 1e-6
        return now

    return look


async def test_the_first_stage_that_decides_wins_and_later_ones_are_not_asked() -> None:
    alternatives = (Alternative(specialty=MATH, probability=0.9, rule="sum"),)
    later = _Says("later", Verdict(CODE, 1.0))
    cascade = Cascade(
        placed(
            _Says("unsure", Abstain("do not know")),
            _Says("rules", Verdict(MATH, 0.9, "sum", alternatives, "fired: sum")),
            later,
        ),
        CHAT,
        "abc123",
        perf_counter=_ticking(),
    )
    decision = await _decided(cascade)
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


async def test_when_all_abstain_the_fallback_answers_with_no_confidence() -> None:
    leaning = (Alternative(specialty=MATH, probability=0.5),)
    cascade = Cascade(
        placed(_Says("a", Abstain("weak", leaning)), _Says("b", Abstain("none"))), CHAT
    )
    decision = await _decided(cascade)
    assert (decision.specialty, decision.stage, decision.confidence) == ("chat", "fallback", 0.0)
    assert decision.alternatives == leaning
    assert [v.stage for v in decision.verdicts] == ["a", "b", "fallback"]


async def test_no_stage_at_all_falls_back() -> None:
    assert (await _decided(Cascade(placed(), CHAT))).stage == "fallback"


async def test_an_undecided_follow_up_stays_with_its_conversation() -> None:
    follow_up = Features.of(ASKED.messages, prior=CODE)
    decision = await _decided(Cascade(placed(_Says("rules", Abstain())), CHAT), follow_up)
    assert (decision.specialty, decision.stage, decision.confidence) == (
        "code",
        "conversation",
        0.0,
    )
    decided = await _decided(Cascade(placed(_Says("rules", Verdict(MATH, 0.9))), CHAT), follow_up)
    assert decided.specialty == "math"


async def test_a_failing_stage_costs_only_its_own_opinion_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cascade = Cascade(
        placed(_Says("broken", ValueError("no such thing")), _Says("rules", Verdict(MATH, 0.9))),
        CHAT,
    )
    with caplog.at_level(logging.ERROR):
        decisions = [await _decided(cascade) for _ in range(3)]
    assert {d.specialty for d in decisions} == {"math"}
    assert decisions[0].verdicts[0].note == "failed: ValueError: no such thing"
    assert decisions[0].verdicts[0].specialty is None
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    assert "broken" in caplog.text


async def test_a_slow_stage_is_waited_for_and_its_answer_comes_with_the_decision() -> None:
    ready = ReadyAnswer(
        source="exact",
        pieces=(Piece(id=0, text="12"),),
        reason=FinishReason.STOP,
        model=ModelId("tools"),
    )
    stage = _Slow("exact", Verdict(MATH, 1.0, answer=ready))
    cascade = Cascade(placed(stage, _Says("rules", Verdict(CODE, 0.9))), CHAT)
    async with asyncio.TaskGroup() as tasks:
        deciding = tasks.create_task(cascade.decide(ASKED))
        await asyncio.sleep(0)
        assert not deciding.done()
        stage.told.set()
    outcome = deciding.result()
    assert (outcome.decision.stage, outcome.answer) == ("exact", ready)


async def test_a_stage_that_is_too_slow_is_cancelled_and_the_next_one_asked() -> None:
    stage = _Slow("judge", Verdict(MATH, 1.0), timeout_s=0.001)
    decision = await _decided(Cascade(placed(stage, _Says("rules", Verdict(CODE, 0.9))), CHAT))
    assert (decision.specialty, decision.verdicts[0].note) == ("code", "had no verdict in time")
    assert stage.cancelled


async def test_cancelling_the_request_cancels_the_stage_that_it_waits_for() -> None:
    stage = _Slow("judge", Verdict(MATH, 1.0))
    async with asyncio.TaskGroup() as tasks:
        deciding = tasks.create_task(Cascade(placed(stage), CHAT).decide(ASKED))
        await asyncio.sleep(0)
        deciding.cancel()
    assert stage.cancelled
    assert deciding.cancelled()


async def test_stages_that_do_not_wait_are_decided_without_giving_up_the_loop() -> None:
    deciding = Cascade(placed(_Says("rules", Verdict(MATH, 0.9))), CHAT).decide(ASKED)
    with pytest.raises(StopIteration):
        deciding.send(None)


async def test_a_stage_sees_what_those_before_it_leaned_to() -> None:
    seen: list[tuple[Alternative, ...]] = []

    class _Looks(_Says):
        def decide(self, features: Features) -> Verdict | Abstain:
            seen.append(features.leaning)
            return super().decide(features)

    weak = (Alternative(specialty=MATH, probability=0.5),)
    better = (Alternative(specialty=CODE, probability=0.6),)
    stages = [
        _Looks("a", Abstain("weak", weak)),
        _Looks("b", Abstain("has no idea")),
        _Looks("c", Abstain("leans", better)),
        _Looks("d", Verdict(CHAT, 0.9)),
    ]
    await _decided(Cascade(placed(*stages), CHAT))
    assert seen == [(), weak, weak, better]


async def test_a_slow_stage_that_answers_at_once_costs_no_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timers: list[float] = []
    loop = asyncio.get_running_loop()
    scheduled = loop.call_at

    def noted(when: float, *rest: Any, **named: Any) -> asyncio.TimerHandle:
        timers.append(when)
        return scheduled(when, *rest, **named)

    monkeypatch.setattr(loop, "call_at", noted)
    stage = _Slow("memo", Verdict(MATH, 1.0))
    stage.told.set()
    assert (await _decided(Cascade(placed(stage), CHAT))).specialty == "math"
    assert timers == []


class _Waits(_Slow):
    """Waits several times over, and notes all that happens to it."""

    def __init__(self, name: str, error: Exception | None = None, timeout_s: float = 30.0) -> None:
        super().__init__(name, Verdict(MATH, 1.0), timeout_s)
        self.error = error
        self.seen: list[str] = []
        self.cleaned = asyncio.Event()

    async def consult(self, features: Features) -> Verdict | Abstain:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
            self.seen.append("first")
            try:
                async with asyncio.timeout(0.001):
                    await asyncio.Event().wait()
            except TimeoutError:
                self.seen.append("its own deadline")
            await self.told.wait()
            if self.error is not None:
                raise self.error
            return self._said
        finally:
            await asyncio.sleep(0)
            self.cleaned.set()


async def test_a_stage_may_wait_many_times_and_have_deadlines_of_its_own() -> None:
    stage = _Waits("judge")
    stage.told.set()
    assert (await _decided(Cascade(placed(stage), CHAT))).specialty == "math"
    assert stage.seen == ["first", "its own deadline"]
    assert stage.cleaned.is_set()


async def test_what_a_stage_raises_after_it_waited_counts_as_abstaining() -> None:
    stage = _Waits("judge", ValueError("too late"))
    stage.told.set()
    decision = await _decided(Cascade(placed(stage, _Says("rules", Verdict(CODE, 0.9))), CHAT))
    assert decision.verdicts[0].note == "failed: ValueError: too late"
    assert decision.specialty == "code"


async def test_a_stage_that_is_cut_off_cleans_up_before_the_next_one_is_asked() -> None:
    stage = _Waits("judge", timeout_s=0.02)

    class _After(_Says):
        def decide(self, features: Features) -> Verdict | Abstain:
            assert stage.cleaned.is_set()
            return super().decide(features)

    decision = await _decided(Cascade(placed(stage, _After("rules", Verdict(CODE, 0.9))), CHAT))
    assert (decision.specialty, decision.verdicts[0].note) == ("code", "had no verdict in time")
