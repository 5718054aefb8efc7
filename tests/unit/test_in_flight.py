"""What a node has in hand: counted, within its time, and ended together."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import DeadlineExceeded, Draining
from node.serve.in_flight import InFlight

LONG_S = 60.0


def nowhere() -> str:
    raise AssertionError("nobody asked where the time went")


async def held(flight: InFlight, release: asyncio.Event, timeout_s: float = LONG_S) -> None:
    async with flight.within(timeout_s, "attempt", nowhere):
        await release.wait()


async def soon(rounds: int = 10) -> None:
    """Lets what is ready run."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def test_what_runs_is_counted_until_it_ends_however_it_ends() -> None:
    flight, release = InFlight(), asyncio.Event()
    assert flight.count == 0
    async with asyncio.TaskGroup() as group:
        first = group.create_task(held(flight, release))
        second = group.create_task(held(flight, release))
        await soon()
        assert flight.count == 2
        second.cancel()
        await soon()
        assert flight.count == 1
        release.set()
        await first
    assert flight.count == 0
    with pytest.raises(KeyError):
        async with flight.within(LONG_S, "attempt", nowhere):
            raise KeyError
    assert flight.count == 0


async def test_it_is_idle_when_the_last_has_ended_and_from_the_start() -> None:
    flight, releases = InFlight(), (asyncio.Event(), asyncio.Event())
    async with asyncio.TaskGroup() as group:
        await flight.idle()
        for release in releases:
            group.create_task(held(flight, release))
        await soon()
        idle = group.create_task(flight.idle())
        releases[0].set()
        await soon()
        assert not idle.done()
        releases[1].set()
        await soon()
        assert idle.done()
    await flight.idle()


async def test_what_goes_from_one_hand_to_another_is_in_flight_all_the_while() -> None:
    flight, releases = InFlight(), (asyncio.Event(), asyncio.Event())

    async def handed_over() -> None:
        for release in releases:
            await held(flight, release)

    async with asyncio.TaskGroup() as group:
        group.create_task(handed_over())
        await soon()
        idle = group.create_task(flight.idle())
        releases[0].set()
        await soon()
        assert (flight.count, idle.done()) == (1, False)
        releases[1].set()


async def test_time_that_is_used_up_says_whose_and_where() -> None:
    flight, place = InFlight(), "in a line"

    async def slow() -> None:
        nonlocal place
        async with flight.within(0.0125, "attempt", lambda: place):
            place = "on the node"
            await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded) as raised:
        await slow()
    assert raised.value.message == "the attempt's 0.0125 s were used up on the node"
    assert flight.count == 0
    assert not flight.draining


async def test_somebody_elses_timeout_is_passed_on_as_it_is() -> None:
    flight = InFlight()
    with pytest.raises(TimeoutError, match="somebody else's"):
        async with flight.within(LONG_S, "attempt", nowhere):
            raise TimeoutError("somebody else's")


async def test_ending_all_ends_each_at_once_and_says_what_it_was() -> None:
    flight = InFlight()

    async def ends(what: str) -> str:
        with pytest.raises(Draining) as raised:
            async with flight.within(LONG_S, what, nowhere):
                await asyncio.Event().wait()
        return raised.value.message

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        tasks = [group.create_task(ends(what)) for what in ("attempt", "hand-over")]
        await soon()
        assert (flight.draining, flight.ended) == (False, False)
        flight.end_all()
        assert (flight.draining, flight.ended) == (True, True)
        await flight.idle()
    assert [task.result() for task in tasks] == [
        "the node is going away and ended this attempt",
        "the node is going away and ended this hand-over",
    ]


async def test_ending_all_passes_over_what_is_ending_by_itself_and_what_it_ended_before() -> None:
    flight, cleaned, release = InFlight(), asyncio.Event(), asyncio.Event()

    async def late() -> None:
        async with flight.within(0.001, "attempt", nowhere):
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.set()
                await release.wait()

    async def ends() -> None:
        with pytest.raises(Draining):
            await late()

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(ends())
        await cleaned.wait()
        flight.end_all()
        flight.end_all()
        assert flight.count == 1
        release.set()
