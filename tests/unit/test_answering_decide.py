"""Who decides what a request is for, and what stands behind the decision."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mesh.errors import InternalError
from mesh.manners import DEFAULT_MANNER
from mesh.stream import Decided
from mesh.types import (
    Continuation,
    Decision,
    Message,
    ModelId,
    Request,
    Role,
    Specialty,
    StageVerdict,
)
from orchestrator.answering.decide import REQUESTED, RESUMED, decided
from orchestrator.answering.log import logged
from orchestrator.answering.trace import traced
from orchestrator.router.base import Features, Verdict
from orchestrator.router.cascade import Outcome
from tests.answering_rig import (
    CHAT,
    CODE,
    DONE,
    HALF,
    ID,
    KNOWN,
    MATH,
    TOKENS,
    Fixed,
    Listed,
    Log,
    ask,
    decider,
    events_of,
    said,
    spans_ended,
)


def mannerly(decision: Decision) -> Decision:
    return replace(decision, manner=DEFAULT_MANNER)


@pytest.mark.parametrize(
    ("given", "specialty", "stage"),
    [
        ({}, MATH, "rules"),
        ({"specialty": CODE}, CODE, REQUESTED),
        ({"model": ModelId("coder")}, CODE, REQUESTED),
        ({"model": ModelId("unheard")}, CHAT, REQUESTED),
        ({"model": ModelId("coder"), "specialty": MATH}, MATH, REQUESTED),
        ({"continuation": Continuation(specialty=CODE)}, CODE, RESUMED),
        ({"continuation": HALF}, MATH, "rules"),
        ({"continuation": Continuation()}, MATH, "rules"),
        ({"continuation": Continuation(), "specialty": CODE}, CODE, REQUESTED),
    ],
)
async def test_who_decides(given: dict[str, Any], specialty: Specialty, stage: str) -> None:
    routed = await decider(Fixed(Outcome(said())), models={"coder": CODE}).routed(
        ask(**given).request
    )
    assert (routed.outcome.decision.specialty, routed.outcome.decision.stage) == (specialty, stage)


async def test_a_begun_answer_is_never_given_from_the_start() -> None:
    cascade = Fixed(Outcome(said(), answer=KNOWN))
    routed = await decider(cascade).routed(ask(continuation=HALF).request)
    assert routed.outcome.answer is None


async def test_the_memory_answers_for_a_specialist_that_is_named() -> None:
    known = Outcome(said(CODE, "memo"), answer=KNOWN)
    cascade = Fixed(Outcome(said()), recalls=known)
    routed = await decider(cascade).routed(ask(specialty=CODE).request)
    assert routed.outcome.answer is KNOWN
    assert routed.outcome.decision.stage == "memo"


@pytest.mark.parametrize("passing", [True, False])
async def test_what_hindered_the_memory_is_known_behind_the_decision(passing: bool) -> None:
    cascade = Fixed(Outcome(said()), recalls=Outcome(said(), passing=passing))
    routed = await decider(cascade).routed(ask(specialty=CODE).request)
    assert routed.outcome.passing is passing


@pytest.mark.parametrize(
    ("given", "substitutes"),
    [({}, (CODE, CHAT)), ({"specialty": MATH}, (CODE,)), ({"model": ModelId("m")}, (CHAT,))],
)
async def test_who_stands_in(given: dict[str, Any], substitutes: tuple[Specialty, ...]) -> None:
    cascade = Fixed(Outcome(said()))
    routed = await decider(cascade, instead={"math": "code"}).routed(ask(**given).request)
    assert routed.substitutes == substitutes


async def test_stages_see_what_the_request_says_and_whether_it_is_a_dry_run() -> None:
    cascade = Fixed(Outcome(said()))
    request = ask(tenant="t", cacheable=False).request
    await decider(cascade).routed(request, dry_run=True)
    await decider(cascade).routed(request)
    dry, wet = cascade.seen
    assert (dry.tenant, dry.cacheable, dry.sampling) == ("t", False, request.sampling)
    assert (dry.dry_run, wet.dry_run) == (True, False)


async def test_the_decision_is_the_first_event_and_the_answer_is_asked_with_it() -> None:
    inner = Listed()
    cascade = Fixed(Outcome(said()))
    answer = decided(inner, decider(cascade), notes_in_traces=False)
    events = await events_of(answer, ask())
    assert events == [Decided(request_id=ID, decision=mannerly(said())), TOKENS, DONE]
    assert inner.asks[0].decision == mannerly(said())
    assert inner.asks[0].known.cascade is cascade


async def test_a_client_that_leaves_after_the_decision_leaves_nothing_open() -> None:
    log = Log()
    answer = decided(logged(Listed(), log), decider(Fixed(Outcome(said()))), notes_in_traces=False)
    async with aclosing(answer(ask())) as events:
        await anext(events)
    assert [decision for _, decision in log.rows] == [mannerly(said())]


def test_a_link_behind_the_decision_refuses_an_ask_without_one() -> None:
    with pytest.raises(InternalError):
        _ = ask().decision


@dataclass(frozen=True)
class Says:
    """A quick stage that always says the same."""

    specialty: Specialty
    name: str = "rules"

    def decide(self, features: Features) -> Verdict:
        return Verdict(self.specialty, 0.9)


@pytest.mark.parametrize(
    ("turns", "prior"), [(1, None), (2, CODE), (3, CODE)], ids=["first", "second", "third"]
)
async def test_a_conversation_has_a_prior_from_its_second_turn_on(
    turns: int, prior: Specialty | None
) -> None:
    cascade = Fixed(Outcome(said()), quick=(Says(CODE),))
    said_so_far = [Message.of(Role.USER, "a"), Message.of(Role.ASSISTANT, "b")] * (turns - 1)
    messages = (*said_so_far, Message.of(Role.USER, "c"))
    await decider(cascade).routed(Request(id=ID, messages=messages))
    (features,) = cascade.seen
    assert features.prior == prior
    assert features.messages == messages


@pytest.mark.parametrize("notes", [True, False])
async def test_the_routes_span_stands_below_the_requests_and_tells_what_each_stage_said(
    monkeypatch: pytest.MonkeyPatch, notes: bool
) -> None:
    word = StageVerdict(
        stage="rules", specialty=MATH, confidence=0.9, rule="sum", micros=1.0, note="2 + 2"
    )
    decision = replace(said(), rule="sum", verdicts=(word,), rules_version="v1")
    answer = decided(Listed(), decider(Fixed(Outcome(decision))), notes_in_traces=notes)
    with spans_ended(monkeypatch) as seen:
        await events_of(traced(answer), ask())
    route, request = seen()
    assert (route.name, request.name) == ("route", "orchestrator.generate")
    assert route.parent is not None
    assert route.parent.span_id == request.context.span_id
    assert dict(route.attributes or {}) == {
        "squadron.specialty": "math",
        "squadron.stage": "rules",
        "squadron.rule": "sum",
        "squadron.confidence": 0.9,
        "squadron.rules_version": "v1",
    }
    (event,) = route.events
    told = {
        "squadron.specialty": "math",
        "squadron.confidence": 0.9,
        "squadron.rule": "sum",
        "squadron.micros": 1.0,
    }
    assert event.name == "rules"
    assert dict(event.attributes or {}) == told | ({"squadron.note": "2 + 2"} if notes else {})
