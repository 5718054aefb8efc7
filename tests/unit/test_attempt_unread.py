"""A client that reads nothing: who waits gets its slot, and its answer goes on when it reads."""

from __future__ import annotations

from mesh.errors import NotResumable
from orchestrator.attempts.stall import UNREAD_AWAITED_S, UNREAD_S
from orchestrator.attempts.watch import RETRY_S, TICK_S
from tests.attempt_rig import FakeNode, Reading, Rig, rig, word

SLACK_S = 2.0 + 2 * TICK_S + RETRY_S


async def unread(here: Rig, node: FakeNode, **given: object) -> Reading:
    """A request that has eight pieces and whose client has stopped reading."""
    asked = here.ask(**given)  # type: ignore[arg-type]
    await here.settle()
    node.stream.accept()
    node.stream.tokens(8)
    await here.settle()
    asked.reads.clear()
    node.stream.tokens()
    await here.settle()
    return asked


async def test_a_slot_that_nobody_reads_goes_to_who_waits_and_its_answer_goes_on_later() -> None:
    async with rig(a := FakeNode("a", slots=1)) as here:
        asleep = await unread(here, a)
        other = here.ask()
        took = await here.advance_until(lambda: len(a.streams) == 2, UNREAD_AWAITED_S + SLACK_S)
        assert took >= UNREAD_AWAITED_S - 0.1
        assert a.streams[0].cancelled
        a.stream.accept()
        a.stream.tokens(3)
        a.stream.finish()
        await here.settle()
        assert other.done.attempts == 1
        assert not here.held
        asleep.reads.set()
        await here.settle()
        assert a.stream.attempt.delivered == tuple(word(index) for index in range(9))
        a.stream.accept()
        a.stream.tokens(2)
        a.stream.finish()
        await here.settle()
        assert asleep.pieces == [word(index) for index in range(11)]
        assert [resume.reason for resume in asleep.done.resumes] == ["unread"]
        assert not [said for said in here.fleet.said if said[0] in ("failed", "refused")]


async def test_while_nobody_waits_it_is_kept_for_a_while_and_no_longer() -> None:
    async with rig(a := FakeNode("a")) as here:
        await unread(here, a)
        await here.advance(UNREAD_S - 1.0)
        assert here.held == {"a": 1}
        await here.advance(1.0 + SLACK_S)
        assert not here.held
        assert a.stream.cancelled


async def test_an_answer_that_may_not_be_resumed_ends_with_a_reason() -> None:
    async with rig(a := FakeNode("a", slots=1)) as here:
        asleep = await unread(here, a, resumable=False)
        here.ask()
        await here.advance(UNREAD_AWAITED_S + SLACK_S)
        assert len(a.streams) == 2
        asleep.reads.set()
        await here.settle()
        assert isinstance(asleep.error, NotResumable)
        assert "its client has read nothing for" in asleep.error.message
        assert "9 tokens were delivered" in asleep.error.message


async def test_who_pauses_again_and_again_is_no_poison() -> None:
    async with rig(a := FakeNode("a"), max_attempts=2) as here:
        asked = await unread(here, a)
        for _ in range(4):
            await here.advance(UNREAD_S + SLACK_S)
            asked.reads.set()
            await here.settle()
            a.stream.accept()
            asked.reads.clear()
            a.stream.tokens()
            await here.settle()
        asked.reads.set()
        a.stream.finish()
        await here.settle()
        assert asked.done.attempts == 5
