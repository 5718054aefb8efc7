"""The first of two attempts to deliver wins, and the other is cancelled: streams said by hand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import NodeLost
from mesh.transport.base import Accepted, AttemptEvent, Finished, Progress, Refused, Tokens
from mesh.types import FinishReason, ModelId, NodeId, Piece, Usage
from orchestrator.attempts.race import next_within, race

ACCEPTED = Accepted(node=NodeId("a"), model=ModelId("toy"))
QUEUED = Progress(phase="queued", done=1)
TOKENS = Tokens(first=0, pieces=(Piece(id=1, text="one"),))
MORE = Tokens(first=1, pieces=(Piece(id=2, text="two"),))
DONE = Finished(reason=FinishReason.STOP, usage=Usage(prompt_tokens=1, completion_tokens=0))
REFUSED = Refused(code="overloaded", message="full")


class Said:
    """An ``AttemptStream`` that yields what a test says. One reader, as the real one."""

    def __init__(self, *events: AttemptEvent) -> None:
        self.unread = deque(events)
        self.cancelled = False
        self._ended = self._lost = False
        self._reader: asyncio.Future[None] | None = None

    def say(self, *events: AttemptEvent) -> None:
        self.unread.extend(events)
        self._ended |= isinstance(events[-1], Finished | Refused)
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

    def lose(self) -> None:
        self._lost = True
        self._wake()

    def cancel(self) -> None:
        self.cancelled = True

    @property
    def read(self) -> bool:
        """Somebody waits for the next event."""
        return self._reader is not None

    def __aiter__(self) -> Said:
        return self

    async def __anext__(self) -> AttemptEvent:
        while not self.unread:
            if self._ended:
                raise StopAsyncIteration
            if self._lost:
                raise NodeLost("gone")
            assert self._reader is None, "one reader"
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self.unread.popleft()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


@asynccontextmanager
async def under_way(
    clock: ManualClock, work: Coroutine[Any, Any, Any]
) -> AsyncIterator[asyncio.Task[Any]]:
    """The task, as far as it gets; nothing of it is left afterwards."""
    before = asyncio.all_tasks()
    task = asyncio.ensure_future(work)
    await clock.settle()
    yield task
    task.cancel()
    await asyncio.wait([task])
    await clock.settle()
    assert asyncio.all_tasks() == before, "nothing goes on after it"


# The next event within a time.


async def test_what_is_there_already_is_next_however_short_the_time() -> None:
    assert await next_within(Said(ACCEPTED, TOKENS), ManualClock(), 0.0) == ACCEPTED


async def test_what_comes_in_time_is_next_and_what_follows_stays_unread() -> None:
    clock, stream = ManualClock(), Said()
    async with under_way(clock, next_within(stream, clock, 1.0)) as task:
        await clock.advance(0.9)
        assert not task.done()
        stream.say(QUEUED, TOKENS)
        await clock.settle()
        assert task.result() == QUEUED
    assert list(stream.unread) == [TOKENS]


async def test_nothing_in_time_is_none_and_the_stream_can_be_read_on() -> None:
    clock, stream = ManualClock(), Said()
    async with under_way(clock, next_within(stream, clock, 1.0)) as task:
        await clock.advance(0.99)
        assert not task.done()
        await clock.advance(0.01)
        assert task.result() is None
        assert not stream.read
        assert not stream.cancelled
    stream.say(TOKENS)
    assert await anext(stream) == TOKENS


async def test_an_ended_stream_is_none_at_once() -> None:
    clock, stream = ManualClock(), Said()
    async with under_way(clock, next_within(stream, clock, 1.0)) as task:
        stream.end()
        await clock.settle()
        assert task.result() is None


async def test_a_lost_node_is_raised_as_itself() -> None:
    clock, stream = ManualClock(), Said()
    async with under_way(clock, next_within(stream, clock, 1.0)) as task:
        stream.lose()
        await clock.settle()
        with pytest.raises(NodeLost, match="gone"):
            task.result()


async def test_whoever_gives_up_waiting_leaves_no_reader_behind() -> None:
    clock, stream = ManualClock(), Said()
    async with under_way(clock, next_within(stream, clock, 1.0)) as task:
        assert stream.read
        task.cancel()
        await clock.settle()
        assert task.cancelled()
        assert not stream.read


# The race.


@pytest.mark.parametrize("winner", [0, 1, 2])
@pytest.mark.parametrize("delivered", [TOKENS, DONE], ids=["tokens", "a whole answer"])
async def test_the_first_to_deliver_wins_and_all_others_are_cancelled(
    winner: int, delivered: AttemptEvent
) -> None:
    clock, streams = ManualClock(), [Said(), Said(), Said()]
    async with under_way(clock, race(streams, clock, 60.0)) as task:
        for stream in streams:
            stream.say(ACCEPTED, QUEUED)
        await clock.advance(1.0)
        assert not task.done(), "signs of life deliver nothing"
        streams[winner].say(delivered)
        await clock.settle()
        assert task.result() == (winner, (ACCEPTED, QUEUED, delivered))
        assert [stream.cancelled for stream in streams] == [n != winner for n in range(3)]
        assert not any(stream.read for stream in streams)


async def test_the_winner_is_read_no_further_than_it_delivered() -> None:
    streams = [Said(ACCEPTED), Said(ACCEPTED, TOKENS, MORE)]
    assert await race(streams, ManualClock(), 60.0) == (1, (ACCEPTED, TOKENS))
    assert list(streams[1].unread) == [MORE]


async def test_of_two_that_deliver_at_once_the_first_attempt_wins() -> None:
    streams = [Said(TOKENS), Said(TOKENS)]
    assert await race(streams, ManualClock(), 60.0) == (0, (TOKENS,))
    assert [stream.cancelled for stream in streams] == [False, True]


@pytest.mark.parametrize("falls", [lambda stream: stream.say(REFUSED), Said.lose, Said.end])
@pytest.mark.parametrize("fallen", [0, 1])
async def test_who_refuses_or_breaks_leaves_the_race_to_the_other(falls: Any, fallen: int) -> None:
    clock, streams = ManualClock(), [Said(), Said()]
    other = 1 - fallen
    async with under_way(clock, race(streams, clock, 60.0)) as task:
        streams[other].say(ACCEPTED)
        await clock.advance(1.0)
        assert not task.done()
        falls(streams[fallen])
        await clock.settle()
        assert task.result() == (other, (ACCEPTED,))
        assert (streams[fallen].cancelled, streams[other].cancelled) == (True, False)
        assert not streams[other].read
    streams[other].say(TOKENS)
    assert await anext(streams[other]) == TOKENS


@pytest.mark.parametrize("last", [0, 1])
async def test_of_three_the_one_that_is_left_is_read_on_to_its_end(last: int) -> None:
    clock, streams = ManualClock(), [Said(), Said(), Said()]
    async with under_way(clock, race(streams, clock, 60.0)) as task:
        streams[1 - last].lose()
        await clock.advance(1.0)
        assert not task.done(), "two are left"
        streams[last].say(ACCEPTED)
        streams[2].say(REFUSED)
        await clock.settle()
        assert task.result() == (last, (ACCEPTED,))
        assert [stream.cancelled for stream in streams] == [n != last for n in range(3)]


async def test_where_all_end_at_once_the_last_to_end_is_what_counts() -> None:
    streams = [Said(ACCEPTED, REFUSED), Said(REFUSED)]
    for stream in streams:
        stream.end()
    assert await race(streams, ManualClock(), 60.0) == (1, (REFUSED,))
    assert [stream.cancelled for stream in streams] == [True, False]


async def test_where_all_are_lost_whoever_reads_on_meets_it() -> None:
    clock, streams = ManualClock(), [Said(), Said()]
    async with under_way(clock, race(streams, clock, 60.0)) as task:
        streams[0].lose()
        streams[1].lose()
        await clock.settle()
        assert task.result() == (1, ())
    with pytest.raises(NodeLost):
        await anext(streams[1])


async def test_a_race_that_nobody_wins_leaves_the_first_when_its_time_is_up_and_not_before() -> (
    None
):
    clock, streams = ManualClock(), [Said(ACCEPTED), Said(QUEUED)]
    async with under_way(clock, race(streams, clock, 5.0)) as task:
        await clock.advance(4.99)
        assert not task.done()
        await clock.advance(0.01)
        assert task.result() == (0, (ACCEPTED,))
        assert [stream.cancelled for stream in streams] == [False, True]
        assert not any(stream.read for stream in streams)


async def test_one_that_refused_is_not_left_when_the_time_is_up() -> None:
    clock, streams = ManualClock(), [Said(), Said(), Said()]
    async with under_way(clock, race(streams, clock, 5.0)) as task:
        streams[0].say(REFUSED)
        await clock.advance(5.0)
        assert task.result() == (1, ())
        assert [stream.cancelled for stream in streams] == [True, False, True]


async def test_what_was_delivered_at_the_last_moment_counts() -> None:
    streams = [Said(), Said(TOKENS)]
    assert await race(streams, ManualClock(), 0.0) == (1, (TOKENS,))


async def test_a_client_that_goes_away_ends_the_race() -> None:
    clock, streams = ManualClock(), [Said(), Said()]
    async with under_way(clock, race(streams, clock, 5.0)) as task:
        task.cancel()
        await clock.settle()
        assert task.cancelled()
        assert not any(stream.read for stream in streams)
