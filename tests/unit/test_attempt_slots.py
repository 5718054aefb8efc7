"""Slots: each is given back, however an attempt, a wait or a request ends."""

from __future__ import annotations

import pytest

from mesh.errors import AttemptFailed, DeadlineExceeded, NotResumable, Overloaded
from mesh.stream import Progress
from orchestrator.attempts.stall import PREFILL_FLOOR_S, TOKEN_FLOOR_S
from orchestrator.attempts.watch import RETRY_S, TICK_S
from tests.attempt_rig import FakeNode, Reading, Rig, rig

SLACK_S = 2 * TICK_S + RETRY_S


async def stalled(here: Rig, node: FakeNode, **given: object) -> Reading:
    """A request whose attempt on the node brings 8 tokens and then hangs."""
    asked = here.ask(**given)  # type: ignore[arg-type]
    await here.settle()
    node.stream.accept()
    for _ in range(8):
        node.stream.tokens()
        await here.advance(0.05)
    return asked


async def test_a_stalled_attempt_is_left_only_with_a_slot_elsewhere_in_hand() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b", slots=0)) as here:
        asked = await stalled(here, a)
        await here.advance(30.0)
        assert here.open == ["a"], "there is nowhere to go, so it may as well come back"
        b.slots = 1
        await here.advance_until(lambda: bool(b.streams), SLACK_S)
        assert here.held == {"b": 1}, "the slot that was held is the one that it goes on in"
        how, name, why = here.fleet.said[-1]
        assert (how, name) == ("failed", "a")
        assert why.startswith("no sign of the answer for 30 s")
        b.stream.accept()
        b.stream.tokens(2)
        b.stream.finish()
        await here.settle()
        assert len(asked.pieces) == 10
        assert not here.held


async def test_a_search_elsewhere_does_not_look_at_the_node_itself_and_takes_its_time() -> None:
    async with rig(a := FakeNode("a", slots=4)) as here:
        await stalled(here, a)
        before = len(here.fleet.taken)
        await here.advance(TOKEN_FLOOR_S + 10 * RETRY_S)
        searches = here.fleet.taken[before:]
        assert 8 <= len(searches) <= 11
        assert all(a.id in work.exclude and work.resuming for work in searches)
        assert here.held == {"a": 1}


async def test_a_node_that_answers_again_is_not_left() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b", slots=0)) as here:
        asked = await stalled(here, a)
        await here.advance(10.0)
        a.stream.tokens()
        await here.settle()
        b.slots = 1
        await here.advance(1.0)
        assert not b.streams
        a.stream.finish()
        await here.settle()
        assert asked.done.attempts == 1
        assert not here.held


async def test_a_client_that_goes_away_while_its_attempt_moves_leaves_nothing_held() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = await stalled(here, a)
        asked.reads.clear()
        a.stream.tokens()
        await here.settle()
        here.fleet.suspects[a.id] = here.clock.now()
        await here.advance(1.0)
        assert a.stream.cancelled
        assert here.held == {"a": 1, "b": 1}, "it will go on in the one when the client comes back"
        await asked.cancel()
        assert not here.held
        assert not b.streams


async def test_an_attempt_that_cannot_be_opened_where_a_slot_was_held_gives_it_back() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), c := FakeNode("c")) as here:
        b.down = True
        asked = await stalled(here, a)
        await here.advance_until(lambda: bool(c.streams), TOKEN_FLOOR_S + SLACK_S)
        assert here.held == {"c": 1}
        assert not b.streams
        c.stream.accept()
        c.stream.finish()
        await here.settle()
        assert asked.done.attempts == 3
        assert asked.assigned == ["a", "c"]
        assert ("failed", "b", "there is no link to the node any more") in here.fleet.said


async def test_a_silent_node_is_left_at_once_and_blamed_for_nothing_more() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = await stalled(here, a)
        here.fleet.suspects[a.id] = here.clock.now() - 1.0
        await here.advance_until(lambda: bool(b.streams), 2 * TICK_S)
        assert here.held == {"b": 1}
        assert here.fleet.said[1:] == [("refused", "a", a.model, None)]
        b.stream.accept()
        b.stream.finish()
        await here.settle()
        (resume,) = asked.done.resumes
        assert (resume.from_node, resume.to_node, resume.at_token) == ("a", "b", 8)


async def test_a_silent_nodes_deadline_holds_too() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = await stalled(here, a, timeout_s=5.0)
        here.fleet.suspects[a.id] = here.clock.now()
        await here.advance(5.0)
        assert isinstance(asked.error, DeadlineExceeded)
        assert not here.held


async def test_what_may_not_be_resumed_is_not_moved_once_it_has_delivered() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = await stalled(here, a, resumable=False)
        here.fleet.suspects[a.id] = here.clock.now()
        await here.advance(100.0)
        assert here.held == {"a": 1}
        assert not b.streams
        a.stream.lose()
        await here.settle()
        assert isinstance(asked.error, NotResumable)
        assert not here.held


async def test_what_may_not_be_resumed_is_moved_before_it_has() -> None:
    async with rig(a := FakeNode("a"), FakeNode("b")) as here:
        here.ask(resumable=False)
        await here.settle()
        a.stream.accept()
        a.stream.prefill(1)
        await here.advance(PREFILL_FLOOR_S + 2 * SLACK_S)
        assert here.held == {"b": 1}


async def test_another_prefill_on_the_same_model_makes_the_watch_patient() -> None:
    async with rig(a := FakeNode("a", slots=2), b := FakeNode("b")) as here:
        await stalled(here, a)
        here.ask()
        await here.settle()
        a.stream.accept()
        a.stream.prefill(1)
        await here.advance(TOKEN_FLOOR_S + SLACK_S)
        assert not b.streams, "its steps may be longer for the other's prefill"
        a.stream.tokens()
        await here.advance(SLACK_S)
        assert len(b.streams) == 1


@pytest.mark.parametrize("elsewhere", ["other node", "other model"])
async def test_a_prefill_elsewhere_does_not(elsewhere: str) -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), c := FakeNode("c")) as here:
        await stalled(here, a)
        here.ask()
        await here.settle()
        assert len(b.streams) == 1
        await here.advance(TOKEN_FLOOR_S + SLACK_S)
        assert len(c.streams) == 1


@pytest.mark.parametrize(
    "ending", ["finish", "lose", "stop", "engine_failed", "draining", "invalid_request", "internal"]
)
async def test_however_an_attempt_ends_its_slot_is_free(ending: str) -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask()
        await here.settle()
        a.stream.accept()
        a.stream.tokens()
        await here.settle()
        end = getattr(a.stream, ending, None)
        if end is not None:
            end()
        else:
            a.stream.fail(ending)
        await here.settle()
        if ending == "draining":  # asked again, since its next word says whether it takes more
            assert here.held == {"a": 1}
            await asked.cancel()
        assert not here.held
        assert not here.open


async def test_a_request_waits_for_a_slot_and_says_so() -> None:
    async with rig(a := FakeNode("a")) as here:
        first, second = here.ask(), here.ask()
        await here.settle()
        assert second.events == [Progress(phase="queued")]
        await here.advance(3.0)
        a.stream.accept()
        a.stream.finish()
        await here.settle()
        assert first.over
        assert len(a.streams) == 2
        a.stream.accept()
        a.stream.finish()
        await here.settle()
        assert second.done.queue_ms == pytest.approx(3000.0)
        assert first.done.queue_ms == 0.0
        assert not here.held


async def test_a_resumed_answer_waits_without_a_word() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = await stalled(here, a)
        a.stream.lose()
        await here.advance(3.0)
        assert not any(isinstance(event, Progress) for event in asked.events)
        here.back(a)
        await here.settle()
        a.stream.accept()
        a.stream.prefill(3)
        a.stream.finish()
        await here.settle()
        assert not any(isinstance(event, Progress) for event in asked.events)
        assert asked.done.queue_ms == pytest.approx(3000.0)


async def test_a_cancelled_wait_leaves_the_slot_to_the_next() -> None:
    async with rig(a := FakeNode("a")) as here:
        first, second, third = here.ask(), here.ask(), here.ask()
        await here.settle()
        await second.cancel()
        await first.cancel()
        await here.settle()
        assert a.streams[0].cancelled
        assert here.held == {"a": 1}
        assert not third.over
        await third.cancel()
        assert not here.held


async def test_a_slot_that_was_granted_to_a_client_that_is_away_goes_back_when_it_leaves() -> None:
    async with rig(FakeNode("a")) as here:
        first, second = here.ask(), here.ask()
        await here.settle()
        second.reads.clear()
        third = here.ask()
        third.reads.clear()
        await here.settle()
        await first.cancel()
        await here.settle()
        await second.cancel()
        await here.settle()
        await third.cancel()
        assert not here.held


async def test_a_request_whose_wait_is_refused_holds_nothing() -> None:
    async with rig(a := FakeNode("a"), queue_limit=0) as here:
        here.ask()
        await here.settle()
        second = here.ask()
        await here.settle()
        assert isinstance(second.error, Overloaded)
        assert here.held == {"a": 1}
        assert len(a.streams) == 1


async def test_giving_up_gives_back() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), max_attempts=2) as here:
        asked = here.ask()
        await here.settle()
        a.stream.fail()
        await here.settle()
        b.stream.fail()
        await here.settle()
        assert isinstance(asked.error, AttemptFailed)
        assert not here.held
