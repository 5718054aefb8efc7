"""One attempt: credit, its pace, what ends it, and what is delivered of it."""

from __future__ import annotations

import pytest

from mesh.errors import DeadlineExceeded, NodeLost
from mesh.stream import Assigned, Progress, Tokens
from mesh.transport.base import DEFAULT_CREDIT, Finished, Vectors
from mesh.types import Candidate
from orchestrator.attempts.attempt import EARLY_S, GRANT_STEP, AttemptRun, Broken
from orchestrator.attempts.collect import TokenCollector
from orchestrator.attempts.stall import OPENING_S, PREFILL_FLOOR_S, PREPARING_S, TOKEN_FLOOR_S
from orchestrator.attempts.watch import RETRY_S, TICK_S
from tests.attempt_rig import FakeNode, FakeStream, Rig, request, rig, word

SLACK_S = 2 * TICK_S + RETRY_S


async def began(here: Rig, node: FakeNode, count: int, each_s: float = 0.05) -> None:
    """The newest attempt of the node is accepted and brings so many tokens, evenly."""
    node.stream.accept()
    for _ in range(count):
        node.stream.tokens()
        await here.advance(each_s)


async def test_an_answer_goes_through_in_order_and_frees_its_slot() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask()
        await here.settle()
        assert here.held == {"a": 1}
        a.stream.accept()
        a.stream.prefill(5)
        a.stream.tokens(3)
        a.stream.tokens(2)
        a.stream.finish()
        await here.settle()
        assert asked.pieces == [word(index) for index in range(5)]
        kinds = [type(event).__name__ for event in asked.events]
        assert kinds == ["Assigned", "Progress", "Tokens", "Tokens", "Done"]
        assert asked.events[0] == Assigned(
            node=a.id,
            node_name="a",
            model=a.model,
            attempt=1,
            tokenizer_hash="tok",
            specialty="math",
        )
        assert here.fleet.said == [("accepted", "a"), ("succeeded", "a")]
        assert not here.held
        assert not a.stream.cancelled, "it had ended"


async def test_credit_goes_back_in_steps_of_a_quarter_and_never_beyond_the_window() -> None:
    async with rig(a := FakeNode("a")) as here:
        here.ask()
        await here.settle()
        a.stream.accept()
        a.stream.tokens(GRANT_STEP - 1)
        await here.settle()
        assert a.stream.credit == DEFAULT_CREDIT - GRANT_STEP + 1, "not a step yet"
        a.stream.tokens(1)
        await here.settle()
        assert a.stream.credit == DEFAULT_CREDIT
        a.stream.tokens(GRANT_STEP + 7)
        a.stream.tokens(GRANT_STEP - 8)
        await here.settle()
        assert a.stream.credit == DEFAULT_CREDIT - GRANT_STEP + 8, "each piece is owed once"


async def test_a_client_that_stays_away_grants_nothing() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask()
        await here.settle()
        a.stream.accept()
        await here.settle()
        asked.reads.clear()
        for _ in range(DEFAULT_CREDIT):
            a.stream.tokens()
            await here.settle()
        assert a.stream.credit == 0
        asked.reads.set()
        await here.settle()
        assert a.stream.credit == DEFAULT_CREDIT
        assert len(asked.pieces) == DEFAULT_CREDIT


async def test_a_client_that_stays_away_is_no_stall_of_its_node() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask()
        await here.settle()
        await began(here, a, 8)
        asked.reads.clear()
        a.stream.tokens()
        await here.advance(100.0)
        assert here.held == {"a": 1}
        asked.reads.set()
        await here.advance(TOKEN_FLOOR_S - TICK_S)
        assert not b.streams, "its silence counts from when more was waited for"
        await here.advance(SLACK_S + TICK_S)
        assert len(b.streams) == 1


async def test_a_stream_that_hangs_after_its_first_window_counts_as_stalled() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask()
        await here.settle()
        await began(here, a, 2 * DEFAULT_CREDIT, 0.01)
        assert a.stream.credit == DEFAULT_CREDIT, "it may send, and does not"
        took = await here.advance_until(lambda: bool(b.streams), TOKEN_FLOOR_S + SLACK_S)
        assert took >= TOKEN_FLOOR_S - TICK_S
        assert a.stream.cancelled
        assert b.stream.attempt.delivered == tuple(asked.pieces)
        assert ("failed", "a") in [said[:2] for said in here.fleet.said]


@pytest.mark.parametrize(
    ("signs", "allowed_s"),
    [
        ([], OPENING_S),
        (["accept"], PREPARING_S),
        (["accept", "prefill"], PREFILL_FLOOR_S),
        (["accept", "token"], PREFILL_FLOOR_S),
    ],
)
async def test_each_phase_has_its_own_patience(signs: list[str], allowed_s: float) -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        here.ask()
        await here.settle()
        for sign in signs:
            await here.advance(1.0)
            match sign:
                case "accept":
                    a.stream.accept()
                case "prefill":
                    a.stream.prefill(1)
                case _:
                    a.stream.tokens()
            await here.settle()
        took = await here.advance_until(lambda: bool(b.streams), allowed_s + SLACK_S)
        assert took >= allowed_s


async def test_progress_that_grows_is_a_sign_of_life_and_is_shown() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask()
        await here.settle()
        a.stream.accept()
        for done in range(1, 5):
            await here.advance(0.9 * PREFILL_FLOOR_S)
            a.stream.prefill(done)
        await here.settle()
        assert not b.streams
        shown = [event for event in asked.events if isinstance(event, Progress)]
        assert [(event.phase, event.done) for event in shown] == [
            ("prefilling", done) for done in range(1, 5)
        ]


async def test_what_is_sent_twice_is_delivered_once() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask()
        await here.settle()
        await began(here, a, 4)
        a.stream.lose()
        await here.settle()
        b.stream.accept()
        b.stream.tokens(4, first=2)
        b.stream.tokens(2, first=3)
        b.stream.finish()
        await here.settle()
        assert asked.pieces == [word(index) for index in range(6)]
        assert asked.done.completion_tokens == 6


async def test_repeated_tokens_are_no_event_but_their_credit_goes_back() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask()
        await here.settle()
        await began(here, a, GRANT_STEP)
        a.stream.lose()
        await here.settle()
        b.stream.accept()
        b.stream.tokens(GRANT_STEP, first=0)
        await here.settle()
        assert b.stream.credit == DEFAULT_CREDIT
        assert sum(isinstance(event, Tokens) for event in asked.events) == GRANT_STEP


async def test_a_gap_ends_the_attempt_and_its_node_is_to_blame() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask()
        await here.settle()
        await began(here, a, 3)
        a.stream.tokens(1, first=5)
        await here.settle()
        assert a.stream.cancelled
        assert here.fleet.said[-1][:2] == ("failed", "a")
        b.stream.accept()
        b.stream.tokens()
        await here.settle()
        assert len(asked.pieces) == 4


async def test_vectors_are_no_answer() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        here.ask()
        await here.settle()
        a.stream.accept()
        a.stream.feed(Vectors(first=0, dimension=1, data=b"\0\0\x80\x3f"))
        await here.settle()
        assert here.fleet.said[-1][:2] == ("failed", "a")
        assert len(b.streams) == 1


async def test_a_stream_that_just_ends_is_a_lost_node() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        here.ask()
        await here.settle()
        await began(here, a, 2)
        a.stream.stop()
        await here.settle()
        assert here.fleet.said[-1] == (
            "failed",
            "a",
            "the node's stream ended without a last word",
        )
        assert len(b.streams) == 1


async def test_the_deadline_ends_an_attempt_and_blames_nobody() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask(timeout_s=5.0)
        await here.settle()
        await began(here, a, 2)
        took = await here.advance_until(lambda: asked.over, 5.0 + SLACK_S)
        assert took >= 5.0 - 0.2
        assert isinstance(asked.error, DeadlineExceeded)
        assert a.stream.cancelled
        assert not here.held
        assert not b.streams
        assert here.fleet.said == [("accepted", "a")]


async def test_the_deadline_holds_for_a_client_that_comes_back_too_late() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask(timeout_s=5.0)
        await here.settle()
        a.stream.accept()
        await here.settle()
        asked.reads.clear()
        a.stream.tokens(2)
        await here.advance(6.0)
        asked.reads.set()
        await here.settle()
        assert isinstance(asked.error, DeadlineExceeded)
        assert not here.held


async def test_a_node_that_says_the_time_is_up_ends_the_request() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        begun = here.clock.now()
        asked = here.ask(timeout_s=5.0)
        await here.settle()
        await began(here, a, 1)
        await here.advance(5.0 - EARLY_S - here.clock.now() + begun)
        a.stream.tokens()
        await here.settle()
        a.stream.fail("deadline_exceeded")
        await here.settle()
        assert isinstance(asked.error, DeadlineExceeded)
        assert not b.streams
        assert not here.held
        assert here.fleet.said == [("accepted", "a")]


async def test_a_node_that_says_so_too_early_is_left() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask()
        await here.settle()
        await began(here, a, 1)
        a.stream.fail("deadline_exceeded")
        await here.settle()
        assert here.fleet.said[1][:2] == ("failed", "a")
        assert "the node gave up" in here.fleet.said[1][2]
        b.stream.accept()
        b.stream.tokens()
        b.stream.finish()
        await here.settle()
        assert asked.done.node_name == "b"


async def test_what_is_asked_of_a_node_says_how_long_it_has() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        here.ask(timeout_s=20.0)
        await here.settle()
        assert a.stream.attempt.timeout_s == 20.0
        assert (a.stream.attempt.number, a.stream.attempt.tokenizer_hash) == (1, "")
        await began(here, a, 2, each_s=2.5)
        a.stream.lose()
        await here.settle()
        assert b.stream.attempt.timeout_s == 15.0
        assert (b.stream.attempt.number, b.stream.attempt.tokenizer_hash) == (2, "tok")


def alone(here: Rig, node: FakeNode, seconds: float = 10.0) -> tuple[AttemptRun, FakeStream]:
    """An attempt that nobody watches."""
    collector = TokenCollector(request())
    stream = FakeStream(node, collector.attempt(node.model, 1, seconds, ""))
    row = Candidate(node=node.id, node_name="a", model=node.model, eligible=True, reason="")
    deadline = here.clock.now() + seconds
    return AttemptRun(row, node.record, stream, collector, here.clock, deadline=deadline), stream


async def test_the_first_reason_to_abandon_an_attempt_is_its_end() -> None:
    async with rig(a := FakeNode("a")) as here:
        run, stream = alone(here, a)
        first = Broken(NodeLost("silent"), blame=False)
        run.abandon(first)
        run.abandon(Broken(DeadlineExceeded(""), blame=False))
        assert stream.cancelled
        assert not run.movable
        assert [event async for event in run.events()] == []
        assert run.outcome is first


async def test_an_attempt_that_has_ended_is_not_abandoned() -> None:
    async with rig(a := FakeNode("a")) as here:
        run, stream = alone(here, a)
        assert run.movable
        stream.finish()
        assert [event async for event in run.events()] == []
        run.abandon(Broken(NodeLost("silent"), blame=False))
        assert isinstance(run.outcome, Finished)
        assert not stream.cancelled
        assert not run.movable


async def test_at_its_deadline_nothing_more_is_read() -> None:
    async with rig(a := FakeNode("a")) as here:
        run, stream = alone(here, a, 5.0)
        stream.tokens()
        await here.advance(5.0)
        with pytest.raises(DeadlineExceeded):
            await anext(run.events())
