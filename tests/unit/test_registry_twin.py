"""The twin's own knobs, on a clock that is moved by hand."""

from __future__ import annotations

import pytest

from mesh.clock import ManualClock
from mesh.errors import DuplicateNode, RegistryUnavailable
from mesh.registry.base import Put
from mesh.registry.twin import TwinRegistry, TwinStore
from tests.registry import record, running, watching

TTL_S = 4.0


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = TwinStore()

    def session(self) -> TwinRegistry:
        return TwinRegistry(self.store, lease_ttl_s=TTL_S, clock=self.clock)


async def test_a_session_that_is_cut_off_loses_its_keys_when_its_lease_ends() -> None:
    world = World()
    lost, other = world.session(), world.session()
    lost.announce("nodes/a", record("i1"), owner="i1")
    async with running(lost, other), watching(other, "nodes/") as seen:
        await world.clock.settle()
        assert seen.state == {"nodes/a": record("i1")}
        world.store.partition(lost, True)
        await world.clock.advance(TTL_S - 0.1)
        assert seen.state == {"nodes/a": record("i1")}
        assert not lost.connected
        await world.clock.advance(0.2)
        assert seen.state == {}
        world.store.partition(lost, False)
        await world.clock.settle()
        assert seen.state == {"nodes/a": record("i1")}
        assert lost.connected


async def test_a_cut_watch_is_silent_and_then_yields_only_what_differs() -> None:
    world = World()
    cut, other = world.session(), world.session()
    async with running(cut, other), watching(cut, "") as seen:
        await other.put("config/rules", b"1")
        await other.put("config/kept", b"1")
        await world.clock.settle()
        before = len(seen.batches)
        world.store.partition(cut, True)
        with pytest.raises(RegistryUnavailable):
            await cut.put("config/rules", b"x")
        await other.put("config/passing", b"1")
        await other.put("config/rules", b"2")
        other.withdraw("config/passing")
        await world.clock.advance(1)
        assert len(seen.batches) == before
        world.store.partition(cut, False)
        await world.clock.settle()
        assert seen.batches[before:] == [(Put("config/rules", b"2"),)]


async def test_a_short_cut_keeps_the_lease_and_what_was_announced_meanwhile_is_written() -> None:
    world = World()
    session, other = world.session(), world.session()
    session.announce("nodes/a", record("i1"), owner="i1")
    async with running(session, other), watching(other, "nodes/") as seen:
        await world.clock.settle()
        world.store.partition(session, True)
        session.announce("nodes/a", record("i1", newer=True), owner="i1")
        await world.clock.advance(TTL_S / 2)
        world.store.partition(session, False)
        await world.clock.settle()
        assert seen.changes == [
            Put("nodes/a", record("i1")),
            Put("nodes/a", record("i1", newer=True)),
        ]


async def test_a_dropped_session_finds_out_at_its_next_refresh() -> None:
    world = World()
    session = world.session()
    session.announce("nodes/a", record("i1"), owner="i1")
    async with running(session), watching(session, "nodes/") as seen:
        await world.clock.settle()
        world.store.drop_session(session)
        await world.clock.settle()
        assert seen.state == {}
        await world.clock.advance(TTL_S / 3)
        assert seen.state == {"nodes/a": record("i1")}


async def test_a_duplicate_is_refused_after_one_lease_and_a_second() -> None:
    world = World()
    first, second = world.session(), world.session()
    first.announce("nodes/a", record("i1"), owner="i1")
    second.announce("nodes/a", record("i2"), owner="i2")
    async with running(first):
        await world.clock.settle()
        async with running(second) as (task,):
            await world.clock.advance(TTL_S + 0.9)
            assert not task.done()
            await world.clock.advance(0.2)
            with pytest.raises(DuplicateNode):
                task.result()


async def test_the_successor_of_a_process_that_fell_silent_takes_its_key_over() -> None:
    world = World()
    dead, successor = world.session(), world.session()
    dead.announce("nodes/a", record("i1"), owner="i1")
    successor.announce("nodes/a", record("i2"), owner="i2")
    async with running(dead), watching(successor, "nodes/") as seen:
        await world.clock.settle()
        world.store.partition(dead, True)
        async with running(successor) as (task,):
            await world.clock.advance(TTL_S + 0.5)
            assert seen.state == {"nodes/a": record("i2")}
            assert not task.done()


async def test_an_idle_session_does_not_spin() -> None:
    world = World()
    session = world.session()
    async with running(session):
        await world.clock.advance(3600)
        assert session.connected
