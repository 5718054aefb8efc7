"""The chain around an answer, link by link, each tried on a list of events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from mesh.clock import ManualClock
from mesh.errors import InvalidRequest, NoCandidate, Overloaded
from mesh.quarantine.quarantine import Quarantine
from mesh.stream import Assigned, Decided, Done, Tokens
from mesh.types import (
    Continuation,
    FinishReason,
    Message,
    ModelId,
    NodeId,
    Piece,
    Priority,
    Request,
    Role,
    StageVerdict,
)
from orchestrator.answering.admit import Door, admitted
from orchestrator.answering.ask import Answer, Ask, Routed
from orchestrator.answering.authorise import authorised
from orchestrator.answering.chain import chain
from orchestrator.answering.decide import REQUESTED, RESUMED
from orchestrator.answering.log import logged
from orchestrator.answering.remember import recalled, remembered
from orchestrator.answering.trace import traced
from orchestrator.picture.affinity import Affinity
from orchestrator.router.base import Features
from orchestrator.router.cascade import Outcome
from tests.answering_rig import (
    DONE,
    HALF,
    ID,
    KNOWN,
    MATH,
    TOKENS,
    Fixed,
    Listed,
    Log,
    Recorded,
    ask,
    decider,
    events_of,
    said,
    spans_ended,
)

# every link that passes events on: made around an answer, and what it is asked
LINKS: dict[str, tuple[Callable[[Answer], Answer], Ask]] = {
    "traced": (traced, ask()),
    "authorised": (lambda inner: authorised(inner, max_request_bytes=1000), ask()),
    "admitted": (lambda inner: admitted(inner, Door(1)), ask()),
    "logged": (lambda inner: logged(inner, Log()), ask(outcome=Outcome(said()))),
    "remembered": (remembered, ask(outcome=Outcome(said()))),
    "recalled": (
        lambda inner: recalled(inner, affinity=Affinity(), clock=ManualClock(), name="o"),
        ask(outcome=Outcome(said())),
    ),
}


@pytest.mark.parametrize("name", LINKS)
async def test_a_link_passes_all_events_on_in_order(name: str) -> None:
    make, asked = LINKS[name]
    inner = Listed()
    assert await events_of(make(inner), asked) == [TOKENS, DONE]
    assert inner.asks[0].request is asked.request


@pytest.mark.parametrize("name", LINKS)
async def test_a_link_that_is_closed_closes_what_it_wraps(name: str) -> None:
    make, asked = LINKS[name]
    inner = Listed()
    async with aclosing(make(inner)(asked)) as events:
        assert await anext(events) == TOKENS
    assert inner.closed == 1


@pytest.mark.parametrize("name", LINKS)
async def test_a_link_lets_errors_through(name: str) -> None:
    make, asked = LINKS[name]
    with pytest.raises(NoCandidate, match="nobody"):
        await events_of(make(Listed([NoCandidate("nobody")])), asked)


async def test_an_error_leaves_with_the_id_of_its_request() -> None:
    with pytest.raises(NoCandidate) as caught:
        await events_of(traced(Listed([TOKENS, NoCandidate("nobody")])), ask())
    assert caught.value.request_id == ID


async def test_what_refuses_at_once_leaves_with_the_id_too() -> None:
    answer = traced(authorised(Listed(), max_request_bytes=1000))
    with pytest.raises(InvalidRequest) as caught:
        await events_of(answer, ask(" "))
    assert caught.value.request_id == ID


async def test_the_links_behind_the_trace_have_its_span(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Listed()
    with spans_ended(monkeypatch) as seen:
        await events_of(
            traced(inner), structs.replace(ask(), traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
        )
    (ended,) = seen()
    assert inner.asks[0].span.get_span_context().span_id == ended.context.span_id
    assert format(ended.context.trace_id, "032x") == "a" * 32
    assert ended.attributes is not None
    assert ended.attributes["squadron.request.id"] == ID


@pytest.mark.parametrize(
    "bad",
    [
        {"text": " "},
        {"text": "x" * 1001},
        {"timeout_s": -1.0},
        {"continuation": Continuation(pieces=HALF.pieces * 300)},
        {"continuation": Continuation(pieces=(Piece(id=1, text="x" * 1001),))},
    ],
    ids=["empty", "too large", "no time", "longer than allowed", "begun too large"],
)
async def test_what_may_not_be_asked_asks_nobody(bad: dict[str, Any]) -> None:
    inner = Listed()
    text = bad.pop("text", "hello")
    with pytest.raises(InvalidRequest):
        await events_of(authorised(inner, max_request_bytes=1000), ask(text, **bad))
    assert not inner.asks


async def test_the_door_refuses_at_its_limit_and_opens_as_soon_as_one_leaves() -> None:
    door, inner = Door(2), Listed()
    answer = admitted(inner, door)
    async with aclosing(answer(ask())) as first, aclosing(answer(ask())) as second:
        await anext(first)
        await anext(second)
        assert door.inside[Priority.NORMAL] == 2
        with pytest.raises(Overloaded, match=r"2 requests of priority 'normal'.*try again") as full:
            await events_of(answer, ask())
        assert full.value.retry_after_s
        assert len(inner.asks) == 2  # nothing was done for it
        await first.aclose()
        assert await events_of(answer, ask()) == [TOKENS, DONE]
    assert door.inside == dict.fromkeys(Priority, 0)


async def test_a_flood_of_one_priority_leaves_the_others_their_room() -> None:
    door = Door(1)
    answer = admitted(Listed(), door)
    async with aclosing(answer(ask(priority=Priority.BATCH))) as held:
        await anext(held)
        assert await events_of(answer, ask(priority=Priority.INTERACTIVE)) == [TOKENS, DONE]
        with pytest.raises(Overloaded):
            await events_of(answer, ask(priority=Priority.BATCH))


async def test_who_has_a_part_of_the_answer_is_not_turned_away() -> None:
    door = Door(1)
    answer = admitted(Listed(), door)
    async with aclosing(answer(ask())) as held:
        await anext(held)
        assert await events_of(answer, ask(continuation=HALF)) == [TOKENS, DONE]
        with pytest.raises(Overloaded):
            await events_of(answer, ask(continuation=Continuation()))


async def test_an_error_inside_leaves_the_door_open() -> None:
    door = Door(1)
    with pytest.raises(NoCandidate):
        await events_of(admitted(Listed([NoCandidate("nobody")]), door), ask())
    assert door.inside[Priority.NORMAL] == 0


@pytest.mark.parametrize(
    ("stage", "kept"), [("rules", 1), ("fallback", 1), (REQUESTED, 0), (RESUMED, 0)]
)
async def test_only_what_the_cascade_decided_is_logged(stage: str, kept: int) -> None:
    log = Log()
    await events_of(logged(Listed(), log), ask(outcome=Outcome(said(stage=stage))))
    assert [decision.stage for _, decision in log.rows] == [stage] * kept
    assert all(features.last_user == "what is 2 + 2?" for features, _ in log.rows)


def recorded(outcome: Outcome, **given: Any) -> tuple[Recorded, Ask]:
    keeper = Recorded()
    asked = ask(**given)
    cascade = Fixed(outcome, keeper=keeper)
    features = Features.of(asked.request.messages)
    routed = Routed(cascade=cascade, features=features, outcome=outcome)
    return keeper, Ask(request=asked.request, arrived=1.0, deadline=2.0, routed=routed)


async def test_a_whole_answer_is_kept_decision_and_all() -> None:
    keeper, asked = recorded(Outcome(said()))
    inner = Listed()
    await events_of(remembered(inner), asked)
    assert inner.asks == [asked]
    assert keeper.taken == [Decided(request_id=ID, decision=said()), TOKENS, DONE]
    assert keeper.kept == 1


async def test_it_is_kept_before_its_client_can_leave() -> None:
    keeper, asked = recorded(Outcome(said()))
    async with aclosing(remembered(Listed())(asked)) as events:
        async for event in events:
            if isinstance(event, Done):
                break
    assert keeper.kept == 1


@pytest.mark.parametrize(
    ("outcome", "given"),
    [
        (Outcome(said(), passing=True), {}),
        (Outcome(said()), {"continuation": HALF}),
        (Outcome(said()), {"continuation": Continuation()}),
        (Outcome(said(), answer=KNOWN), {}),
    ],
    ids=["a stage was hindered", "half an answer", "another orchestrator's", "known already"],
)
async def test_what_would_not_come_again_is_not_kept(
    outcome: Outcome, given: dict[str, Any]
) -> None:
    keeper, asked = recorded(outcome, **given)
    await events_of(remembered(Listed()), asked)
    assert not keeper.taken
    assert not keeper.kept


async def test_an_answer_that_breaks_is_not_kept() -> None:
    keeper, asked = recorded(Outcome(said()))
    with pytest.raises(NoCandidate):
        await events_of(remembered(Listed([TOKENS, NoCandidate("lost")])), asked)
    assert not keeper.kept


async def test_a_known_answer_streams_and_nobody_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inner, clock, affinity = Listed(), ManualClock(), Affinity()
    answer = recalled(inner, affinity=affinity, clock=clock, name="front")
    asked = ask(outcome=Outcome(said(), answer=KNOWN))
    with spans_ended(monkeypatch) as seen:
        tokens, done = await events_of(traced(answer), asked)
    assert seen()[0].attributes["squadron.source"] == "memo"  # type: ignore[index]
    assert tokens == TOKENS
    assert isinstance(done, Done)
    assert (done.source, done.node_name, done.reason) == ("memo", "front", FinishReason.STOP)
    assert done.ttft_ms == 1000.0 * (clock.now() - asked.arrived)
    assert not inner.asks


async def test_a_known_answer_leaves_the_conversation_where_it_was() -> None:
    home = (NodeId("n"), ModelId("m"))
    affinity = Affinity()
    first = (Message.of(Role.USER, "hello"),)
    affinity.keep("", first, "hi", home)
    turn = (*first, Message.of(Role.ASSISTANT, "hi"), Message.of(Role.USER, "again"))
    asked = ask(outcome=Outcome(said(), answer=KNOWN))
    request = Request(id=ID, messages=turn)
    answer = recalled(Listed(), affinity=affinity, clock=ManualClock(), name="front")
    await events_of(answer, Ask(request=request, arrived=0, deadline=1, routed=asked.routed))
    after = (*turn, Message.of(Role.ASSISTANT, "four"), Message.of(Role.USER, "and now?"))
    assert affinity.homes("", after) == (home,)


async def test_the_whole_chain_in_order() -> None:
    """Refused before the door, refused at the door, decided, logged, answered."""
    log, door, inner = (
        Log(),
        Door(1),
        Listed(
            [Assigned(node=NodeId("n"), node_name="n", model=ModelId("m"), attempt=1), TOKENS, DONE]
        ),
    )
    answer = chain(
        inner,
        door=door,
        decider=decider(Fixed(Outcome(said()))),
        affinity=Affinity(),
        quarantine=Quarantine(ManualClock()),
        clock=ManualClock(),
        name="front",
        max_request_bytes=1000,
        log=log,
        notes_in_traces=False,
    )
    kinds = [type(event) for event in await events_of(answer, ask())]
    assert kinds == [Decided, Assigned, Tokens, Done]
    with door.through(Priority.NORMAL):
        with pytest.raises(InvalidRequest):
            await events_of(answer, ask(""))
        with pytest.raises(Overloaded) as full:
            await events_of(answer, ask())
    assert full.value.request_id == ID
    assert len(log.rows) == len(inner.asks) == 1


async def test_the_chain_gives_what_is_known_in_its_own_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    affinity, clock, inner = Affinity(), ManualClock(), Listed()
    home = (NodeId("n"), ModelId("m"))
    first = (Message.of(Role.USER, "hello"),)
    affinity.keep("", first, "hi", home)
    turn = (*first, Message.of(Role.ASSISTANT, "hi"), Message.of(Role.USER, "again"))
    word = StageVerdict(
        stage="exact", specialty=MATH, confidence=1.0, rule=None, micros=1.0, note="squared"
    )
    answer = chain(
        inner,
        door=Door(1),
        decider=decider(Fixed(Outcome(replace(said(), verdicts=(word,)), answer=KNOWN))),
        affinity=affinity,
        quarantine=Quarantine(clock),
        clock=clock,
        name="front",
        max_request_bytes=1000,
        log=None,
        notes_in_traces=True,
    )
    request = Request(id=ID, messages=turn)
    with spans_ended(monkeypatch) as seen:
        asked = Ask(request=request, arrived=clock.now() - 1, deadline=9)
        *_, done = await events_of(answer, asked)
    assert "squared" in seen()[0].to_json()
    assert isinstance(done, Done)
    assert (done.node_name, done.ttft_ms) == ("front", 1000.0)
    after = (*turn, Message.of(Role.ASSISTANT, "four"), Message.of(Role.USER, "and now?"))
    assert affinity.homes("", after) == (home,)
    assert not inner.asks
