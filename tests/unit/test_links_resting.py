"""Of more nodes than may be linked or dialled at once: whose turn it is, and who makes room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hypothesis import given
from hypothesis import strategies as st

from mesh.clock import ManualClock
from mesh.transport.links import PATIENCE_S, TURN_S, Links
from mesh.transport.resting import PAUSE_S, Resting
from mesh.types import NodeId
from tests.fleet_rig import HandDialer, HandLink, record

MANY = [NodeId(f"n{number:04}") for number in range(200)]


class Rig:
    def __init__(self, limit: int | None) -> None:
        self.clock = ManualClock()
        self.dialer = HandDialer()
        self.rests: list[tuple[NodeId, bool]] = []
        self.links = Links(
            {"zeromq": self.dialer},
            self.clock,
            on_heartbeat=lambda heartbeat: None,
            on_link=lambda node, up: None,
            on_rest=lambda node, failed: self.rests.append((node, failed)),
            limit=limit,
        )

    @property
    def running(self) -> list[HandLink]:
        return [link for link in self.dialer.links if link.running]

    def dialled(self, node: NodeId) -> int:
        return sum(link.node == node for link in self.dialer.links)

    async def turns(self, seconds: float) -> None:
        for _ in range(round(seconds / TURN_S)):
            await self.clock.advance(TURN_S)
            await self.clock.settle()

    def refuse_all(self) -> None:
        for link in self.running:
            link.tries += not link.up


@asynccontextmanager
async def rig(limit: int | None = None) -> AsyncIterator[Rig]:
    made = Rig(limit)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.links.run())
        await made.clock.settle()
        yield made
        task.cancel()


async def test_so_many_are_dialled_at_once_and_each_has_its_turn() -> None:
    async with rig() as made:
        for node in MANY:
            made.links.want(record(node))
        for _ in range(100):
            await made.turns(TURN_S)
            assert len(made.running) <= 64
            made.refuse_all()
        assert {link.node for link in made.dialer.links} == set(MANY)
        assert all(failed for _, failed in made.rests)


async def test_one_that_lives_is_linked_among_many_that_do_not() -> None:
    async with rig() as made:
        for node in MANY:
            made.links.want(record(node))
        for _ in range(100):
            await made.turns(TURN_S)
            for link in made.running:
                if link.node == MANY[-1] and not link.up:
                    link.move(True)
            made.refuse_all()
        assert made.links.up(MANY[-1])
        assert made.dialled(MANY[-1]) == 1


async def test_who_does_not_answer_loses_its_place_after_a_while_if_others_wait() -> None:
    async with rig(limit=2) as made:
        first, second = MANY[:2]
        made.links.want(record(first))
        made.links.want(record(second))
        await made.turns(PATIENCE_S - TURN_S)
        assert made.dialled(second) == 0
        await made.turns(3 * TURN_S)
        assert made.rests == [(first, True)]
        assert made.links.tries(second)


async def test_of_few_nobody_rests_however_long_it_is_away() -> None:
    async with rig() as made:
        made.links.want(record(MANY[0]))
        made.refuse_all()
        await made.turns(10 * PATIENCE_S)
        assert made.rests == []
        assert made.links.tries(MANY[0])


async def test_at_the_limit_who_is_asked_for_takes_the_place_of_the_idlest() -> None:
    async with rig(limit=2) as made:
        old, used, asked, other = MANY[:4]
        for node in (old, used):
            made.links.want(record(node))
            await made.turns(TURN_S)
            made.dialer.links[-1].move(True)
        made.links.want(record(other))
        made.links.want(record(asked))
        await made.turns(1.0)
        assert made.rests == []  # nobody needs them
        with made.links.hold(used), made.links.hold(old):
            made.links.ask([asked])
            await made.turns(1.0)
            assert made.rests == []  # what is in use is kept
        with made.links.hold(used):
            await made.turns(TURN_S)
            assert made.rests == [(old, False)]
            assert made.links.tries(asked)
            assert not made.links.tries(other)
        assert made.links.up(used)


async def test_whose_record_is_gone_is_not_dialled() -> None:
    async with rig(limit=1) as made:
        made.links.want(record(MANY[0]))
        made.links.want(record(MANY[1]))
        made.links.release(MANY[1])
        made.links.release(MANY[0])
        await made.turns(1.0)
        assert made.links.resting == 0
        assert made.dialled(MANY[1]) == 0


def test_a_pause_doubles_and_an_answer_forgives() -> None:
    resting, node = Resting(), record(MANY[0])
    pauses = []
    now = 0.0
    for _ in range(10):
        resting.failed(node, now)
        assert resting.paused(node.id, now)
        due = now
        while resting.next(due, asked_only=False) is None:
            due += 0.5
        pauses.append(due - now)
        now = due
    assert pauses[:3] == [1.0, 2.0, 4.0]
    assert max(pauses) == PAUSE_S[1]
    resting.discard(node.id)
    resting.answered(node.id)
    resting.failed(node, now)
    assert resting.next(now + 1.0, asked_only=False) == node


def test_the_order_is_asked_then_fresh_then_failed() -> None:
    resting = Resting()
    failed, fresh, asked = (record(node) for node in MANY[:3])
    resting.failed(failed, 0.0)
    resting.add(fresh)
    resting.add(asked)
    resting.ask(asked.id)
    resting.ask(failed.id)  # it has its pause all the same
    order = []
    while (found := resting.next(100.0, asked_only=False)) is not None:
        order.append(found.id)
        resting.discard(found.id)
    assert order == [asked.id, fresh.id, failed.id]
    assert resting.next(100.0, asked_only=True) is None


@given(st.lists(st.tuples(st.sampled_from("abcdefg"), st.sampled_from(MANY[:5])), max_size=60))
def test_whatever_happens_who_rests_has_a_turn_in_the_end(steps: list[tuple[str, NodeId]]) -> None:
    resting, now = Resting(), 0.0
    rests: set[NodeId] = set()
    for step, node in steps:
        now += 1.0
        match step:
            case "a":
                resting.add(record(node))
                rests.add(node)
            case "b":
                resting.failed(record(node), now)
                rests.add(node)
            case "c":
                resting.ask(node)
            case "d":
                resting.discard(node)
                rests.discard(node)
            case "e":
                resting.forget(node)
                rests.discard(node)
            case "f":
                resting.answered(node)
            case _:
                resting.next(now, asked_only=node == MANY[0])
    assert len(resting) == len(rests)
    served = set()
    while (found := resting.next(now + 1000.0, asked_only=False)) is not None:
        served.add(found.id)
        resting.discard(found.id)
    assert served == rests
