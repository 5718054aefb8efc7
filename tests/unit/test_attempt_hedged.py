"""A second attempt for a late first token: when there is one, who wins, what the loser leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.errors import DeadlineExceeded
from mesh.fleet.work import Work
from mesh.types import ModelId, Specialty
from orchestrator.attempts.hedge import ENOUGH, HedgePolicy
from tests.attempt_rig import MATH, FakeNode, Reading, Rig, rig, word

AFTER_S = 1.0
CHAT = Specialty("chat")


def policy(after_s: float = AFTER_S, share: float = 1.0) -> HedgePolicy:
    return HedgePolicy(after_s=after_s, share=share)


async def raced(here: Rig, **given: object) -> Reading:
    """A request that the first node accepted, and then the second was asked too."""
    asked = here.ask(**given)  # type: ignore[arg-type]
    await here.settle()
    here.fleet.nodes[0].stream.accept()
    await here.advance(AFTER_S)
    assert here.held == {"a": 1, "b": 1}
    return asked


async def test_a_first_token_in_time_asks_nobody_else() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), hedging=policy()) as here:
        asked = here.ask()
        await here.advance(0.5)
        a.stream.accept()
        a.stream.prefill(3)
        await here.settle()
        assert [type(event).__name__ for event in asked.events] == ["Assigned", "Progress"]
        await here.advance(0.4)
        a.stream.tokens(2)
        await here.advance(2.0)
        assert not b.streams
        a.stream.tokens(1)
        a.stream.finish()
        await here.settle()
        assert len(asked.pieces) == 3
        assert asked.done.attempts == 1
        assert not here.held


async def test_a_late_one_is_asked_for_on_another_node_too() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), hedging=policy()) as here:
        await raced(here)
        first, second = a.stream.attempt, b.stream.attempt
        assert (first.number, second.number) == (1, 2)
        assert second.timeout_s == pytest.approx(first.timeout_s - AFTER_S)
        assert second.messages == first.messages
        assert here.fleet.taken[-1].exclude == {a.id}


async def test_the_second_wins_by_delivering_first() -> None:
    other = ModelId("other")
    b = FakeNode("b", model=other, tokenizer="another")
    async with rig(a := FakeNode("a"), b, hedging=policy()) as here:
        asked = await raced(here)
        assert b.stream.attempt.model == other
        b.stream.accept()
        b.stream.prefill(4)
        await here.settle()
        assert not a.stream.cancelled, "a sign is no token"
        b.stream.tokens(2)
        await here.settle()
        assert a.stream.cancelled
        assert here.held == {"b": 1}, "the loser is left at once"
        assert asked.assigned == ["a", "b"]
        b.stream.tokens(1)
        await here.settle()
        b.stream.lose()
        await here.settle()
        assert here.fleet.said[-1][:2] == ("failed", "b")
        assert a.stream.attempt.tokenizer_hash == "another"
        assert a.stream.attempt.delivered == (word(0), word(1), word(2))
        a.stream.accept()
        a.stream.finish()
        await here.settle()
        assert [(each.from_node, each.to_node) for each in asked.done.resumes] == [("b", "a")]
        assert not here.held


async def test_the_winner_is_the_one_that_is_praised_and_named() -> None:
    async with rig(FakeNode("a"), b := FakeNode("b"), hedging=policy()) as here:
        asked = await raced(here)
        b.stream.accept()
        b.stream.tokens(1)
        b.stream.finish()
        await here.settle()
        assert (asked.done.node_name, asked.done.attempts) == ("b", 2)
        assert here.fleet.said == [("accepted", "a"), ("accepted", "b"), ("succeeded", "b")]
        assert not here.held


async def test_the_first_wins_by_delivering_first() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), hedging=policy()) as here:
        asked = await raced(here)
        b.stream.accept()
        await here.settle()
        a.stream.tokens(2)
        await here.settle()
        assert b.stream.cancelled
        assert here.held == {"a": 1}
        a.stream.tokens(1)
        a.stream.finish()
        await here.settle()
        assert asked.pieces == [word(0), word(1), word(2)]
        assert (asked.done.node_name, asked.done.attempts) == ("a", 1)
        assert not here.held


async def test_an_answer_without_a_token_wins_too() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), hedging=policy()) as here:
        asked = await raced(here)
        b.stream.accept()
        b.stream.finish()
        await here.settle()
        assert a.streams[0].cancelled
        assert len(a.streams) == 2, "another is asked before that is believed"
        a.stream.accept()
        a.stream.finish()
        await here.settle()
        assert asked.done.completion_tokens == 0


@pytest.mark.parametrize("last", ["a", "b"])
async def test_when_both_break_the_last_end_counts_and_a_third_is_asked(last: str) -> None:
    nodes = [FakeNode(name) for name in "abc"]
    async with rig(*nodes, hedging=policy()) as here:
        asked = await raced(here)
        first, second = (nodes[1], nodes[0]) if last == "a" else (nodes[0], nodes[1])
        first.stream.refuse()
        await here.settle()
        assert not nodes[2].streams, "the other may still deliver"
        second.stream.lose()
        await here.settle()
        assert here.fleet.said[-1][:2] == ("failed", last)
        assert here.held == {"a": 1} if last == "b" else {"b": 1}
        await asked.cancel()
        assert not here.held


async def test_one_that_breaks_leaves_the_race_to_the_other() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), hedging=policy()) as here:
        asked = await raced(here)
        a.stream.lose()
        await here.advance(3.0)
        b.stream.accept()
        b.stream.tokens(1)
        b.stream.finish()
        await here.settle()
        assert asked.done.node_name == "b"


@pytest.mark.parametrize("how", ["lose", "refuse"])
async def test_a_first_attempt_that_ends_before_is_no_race(how: str) -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), hedging=policy()) as here:
        here.ask()
        await here.settle()
        a.stream.accept()
        await here.advance(0.5)
        a.slots = 0
        getattr(a.stream, how)()
        await here.settle()
        assert here.fleet.said[-1][:2] == ("failed" if how == "lose" else "refused", "a")
        assert len(b.streams) == 1
        assert here.held == {"b": 1}


async def test_a_race_ends_at_the_deadline() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), hedging=policy()) as here:
        asked = await raced(here, timeout_s=5.0)
        await here.advance(4.0)
        assert isinstance(asked.error, DeadlineExceeded)
        assert a.stream.cancelled
        assert b.stream.cancelled
        assert not here.held
        assert here.fleet.said == [("accepted", "a")]


async def test_a_deadline_before_the_hedge_is_due_holds() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), hedging=policy(8.0)) as here:
        asked = here.ask(timeout_s=5.0)
        await here.settle()
        a.stream.accept()
        await here.advance(5.1)
        assert isinstance(asked.error, DeadlineExceeded)
        assert not b.streams
        assert not here.held


@pytest.mark.parametrize("when", ["before", "in the race", "after it"])
async def test_a_client_that_goes_away_cancels_all(when: str) -> None:
    async with rig(FakeNode("a"), b := FakeNode("b"), hedging=policy()) as here:
        asked = here.ask()
        await here.advance(0.5 if when == "before" else 1.5)
        if when == "after it":
            b.stream.tokens(1)
            await here.settle()
            assert here.open == ["b"]
        await asked.cancel()
        assert not here.held
        assert not here.open


async def test_without_a_budget_there_is_no_second_attempt() -> None:
    spent = policy(share=0.0)
    assert spent.spend()
    async with rig(a := FakeNode("a"), b := FakeNode("b"), hedging=spent) as here:
        asked = here.ask()
        await here.advance(2.0)
        assert not b.streams
        assert here.held == {"a": 1}, "the slot that was looked for is free"
        a.stream.accept()
        a.stream.tokens(1)
        a.stream.finish()
        await here.settle()
        assert asked.done.attempts == 1


@pytest.mark.parametrize("why", ["busy", "alone"])
async def test_without_a_free_slot_there_is_none_and_no_budget_is_spent(why: str) -> None:
    saved = policy(share=0.0)
    nodes = [FakeNode("a"), FakeNode("b", slots=0)][: 2 if why == "busy" else 1]
    async with rig(*nodes, hedging=saved) as here:
        asked = here.ask()
        await here.advance(2.0)
        assert not nodes[-1].streams[1:]
        assert not asked.over
        assert saved.spend()


async def test_a_second_that_cannot_be_opened_is_none() -> None:
    async with rig(a := FakeNode("a"), FakeNode("b", down=True), hedging=policy()) as here:
        asked = here.ask()
        await here.advance(2.0)
        a.stream.accept()
        a.stream.tokens(1)
        a.stream.finish()
        await here.settle()
        assert asked.done.attempts == 1
        assert not here.held
        assert here.fleet.said == [("accepted", "a"), ("succeeded", "a")]


async def test_a_resumed_answer_is_not_hedged() -> None:
    nodes = [FakeNode(name) for name in "abc"]
    async with rig(*nodes, hedging=policy()) as here:
        here.ask()
        await here.settle()
        nodes[0].stream.accept()
        nodes[0].stream.tokens(1)
        await here.settle()
        nodes[0].stream.lose()
        await here.advance(3.0)
        assert len(nodes[1].streams) == 1
        assert not nodes[2].streams


async def test_a_stall_after_the_race_is_seen() -> None:
    a, b, c = FakeNode("a"), FakeNode("b"), FakeNode("c")
    async with rig(a, b, c, hedging=policy()) as here:
        await raced(here)
        a.slots = 0
        b.stream.accept()
        for _ in range(8):
            b.stream.tokens(1)
            await here.advance(0.05)
        await here.advance_until(lambda: bool(c.streams), 3.0)
        assert here.held == {"c": 1}


async def test_the_times_of_first_tokens_are_learnt_where_they_are_asked_for() -> None:
    learning = HedgePolicy(after_s=0.0)
    async with rig(a := FakeNode("a"), b := FakeNode("b"), hedging=learning) as here:
        for _ in range(ENOUGH):
            assert learning.delay_s(a.model) is None
            learning.first_token(a.model, 0.5)
        asked = here.ask()
        await here.advance(0.4)
        a.stream.accept()
        a.stream.tokens(1)
        a.stream.finish()
        await here.settle()
        assert asked.over
        times = list(learning._times[a.model])
        assert times[-1] == pytest.approx(0.4)
        assert not b.streams


async def test_where_all_others_are_known_to_be_too_small_there_is_none() -> None:
    nodes = [FakeNode("a", context_length=100), FakeNode("b", context_length=1000)]
    async with rig(*nodes, hedging=policy()) as here:
        asked = here.ask()
        await here.settle()
        nodes[0].stream.refuse("context_overflow")
        await here.advance(2 * AFTER_S)
        assert here.held == {"b": 1}
        nodes[1].stream.accept()
        nodes[1].stream.tokens(1)
        nodes[1].stream.finish()
        await here.settle()
        assert asked.done.node_name == "b"


@pytest.mark.parametrize("how", ["cannot be opened", "refuses", "breaks"])
async def test_a_stall_of_the_first_is_seen_once_the_second_is_out(how: str) -> None:
    a, b, c = FakeNode("a"), FakeNode("b", down=how == "cannot be opened"), FakeNode("c")
    async with rig(a, b, c, hedging=policy()) as here:
        here.ask()
        await here.advance(AFTER_S)
        if how != "cannot be opened":
            assert here.held == {"a": 1, "b": 1}
            (b.stream.refuse if how == "refuses" else b.stream.lose)()
            await here.settle()
        assert here.held == {"a": 1}, "the second's slot is free at once"
        b.slots = 0
        await here.advance_until(lambda: bool(c.streams), 30.0)
        assert here.held == {"c": 1}


@pytest.mark.parametrize("serves", [MATH, CHAT])
async def test_a_substitute_is_no_second_for_who_is_only_slow(
    monkeypatch: pytest.MonkeyPatch, serves: Specialty
) -> None:
    async with rig(FakeNode("a", specialties=(serves,)), hedging=policy()) as here:
        work_of = here.dispatch.work_of

        def with_fallback(*given: Any) -> Work:
            return replace(work_of(*given), substitutes=(CHAT,))

        monkeypatch.setattr(here.dispatch, "work_of", with_fallback)
        asked = here.ask()
        await here.advance(AFTER_S)
        assert [(work.specialty, work.substitutes) for work in here.fleet.taken] == [
            (MATH, (CHAT,)),
            (serves, ()),
        ]
        await asked.cancel()


async def test_a_race_in_which_both_stand_still_is_left_for_a_third() -> None:
    nodes = [FakeNode("a"), FakeNode("b"), c := FakeNode("c")]
    async with rig(*nodes, hedging=policy()) as here:
        asked = await raced(here)
        nodes[1].stream.accept()
        await here.advance(200.0)
        assert c.streams, "nobody waits for both until the deadline"
        c.stream.accept()
        c.stream.tokens(2)
        c.stream.finish()
        await here.settle()
        assert asked.done.node_name == "c"
        assert not here.held
        assert not here.open
