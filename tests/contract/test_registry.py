"""What every registry guarantees, on its twin and on a real etcd."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Protocol
from uuid import uuid4

import aetcd
import pytest
import pytest_asyncio

from mesh.clock import SystemClock
from mesh.errors import ConfigError, DuplicateNode
from mesh.registry.base import Delete, Put, Registry
from mesh.registry.etcd import EtcdRegistry
from mesh.registry.feed import FEED_LIMIT
from mesh.registry.twin import TwinRegistry, TwinStore
from tests.etcd import EtcdServer
from tests.registry import eventually, record, running, watching

TTL_S = 2.0


class Place(Protocol):
    """Where sessions meet."""

    def session(self) -> Registry: ...

    async def lose_lease(self, session: Registry, key: str) -> None: ...

    async def delete(self, key: str) -> None: ...


class TwinPlace:
    def __init__(self) -> None:
        self._store = TwinStore()

    def session(self) -> TwinRegistry:
        return TwinRegistry(self._store, lease_ttl_s=TTL_S, clock=SystemClock())

    async def lose_lease(self, session: Registry, key: str) -> None:
        assert isinstance(session, TwinRegistry)
        self._store.drop_session(session)

    async def delete(self, key: str) -> None:
        self._store.delete(key)


class EtcdPlace:
    def __init__(self, server: EtcdServer) -> None:
        self._server = server
        self._prefix = f"/{uuid4().hex}/v1"  # one server, a place of its own for every test

    def session(self) -> EtcdRegistry:
        return EtcdRegistry(
            self._server.endpoint,
            prefix=self._prefix,
            lease_ttl_s=TTL_S,
            clock=SystemClock(),
            rng=random.Random(1),
        )

    async def lose_lease(self, session: Registry, key: str) -> None:
        host, port = self._server.endpoint.split(":")
        async with aetcd.Client(host, int(port), timeout=5) as client:
            found = await client.get(f"{self._prefix}/{key}".encode())
            await client.revoke_lease(found.lease)

    async def delete(self, key: str) -> None:
        host, port = self._server.endpoint.split(":")
        async with aetcd.Client(host, int(port), timeout=5) as client:
            await client.delete(f"{self._prefix}/{key}".encode())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def etcd() -> AsyncIterator[EtcdServer]:
    async with EtcdServer() as server:
        yield server


@pytest.fixture(params=["twin", pytest.param("etcd", marks=pytest.mark.processes)])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "twin":
        return TwinPlace()
    return EtcdPlace(request.getfixturevalue("etcd"))


async def test_a_watch_of_nothing_first_yields_an_empty_batch(place: Place) -> None:
    session = place.session()
    async with running(session), watching(session, "nodes/") as seen:
        await seen.holds({})
    assert seen.batches == [()]


async def test_a_watch_yields_what_is_there_and_then_the_changes(place: Place) -> None:
    writer, reader = place.session(), place.session()
    async with running(writer, reader):
        await writer.put("nodes/a", b"1")
        await writer.put("nodes/b", b"1")
        async with watching(reader, "nodes/") as seen:
            await seen.holds({"nodes/a": b"1", "nodes/b": b"1"})
            assert seen.batches == [(Put("nodes/a", b"1"), Put("nodes/b", b"1"))]
            await writer.put("nodes/b", b"2")
            await writer.put("nodes/c", b"1")
            writer.withdraw("nodes/a")
            await seen.holds({"nodes/b": b"2", "nodes/c": b"1"})
    assert seen.changes[2:] == [Put("nodes/b", b"2"), Put("nodes/c", b"1"), Delete("nodes/a")]


async def test_a_watch_sees_only_its_own_prefix_beside_others(place: Place) -> None:
    session = place.session()
    async with (
        running(session),
        watching(session, "nodes/") as nodes,
        watching(session, "orchestrators/") as orchestrators,
        watching(session, "") as everything,
        watching(session, "config/rules") as rules,
    ):
        session.announce("nodes/a", b"n")
        session.announce("orchestrators/a", b"o")
        await session.put("config/rules", b"r")
        await nodes.holds({"nodes/a": b"n"})
        await orchestrators.holds({"orchestrators/a": b"o"})
        await rules.holds({"config/rules": b"r"})
        await everything.holds({"nodes/a": b"n", "orchestrators/a": b"o", "config/rules": b"r"})


async def test_a_watch_begun_before_run_is_silent_until_then(place: Place) -> None:
    other, session = place.session(), place.session()
    async with running(other):
        await other.put("nodes/a", b"1")
        async with watching(session, "nodes/") as seen:
            await asyncio.sleep(0.05)
            assert seen.batches == []
            assert not session.connected
            async with running(session):
                await seen.holds({"nodes/a": b"1"})


async def test_connected_follows_run(place: Place) -> None:
    session = place.session()
    assert not session.connected
    async with running(session):
        await eventually(lambda: session.connected)
    assert not session.connected


async def test_what_is_announced_before_and_while_running_is_there(place: Place) -> None:
    session, reader = place.session(), place.session()
    session.announce("nodes/a", record("i1"), owner="i1")
    async with running(session, reader), watching(reader, "nodes/") as seen:
        await seen.holds({"nodes/a": record("i1")})
        session.announce("nodes/b", b"plain")
        await seen.holds({"nodes/a": record("i1"), "nodes/b": b"plain"})


async def test_withdrawn_keys_are_gone(place: Place) -> None:
    session = place.session()
    session.announce("nodes/a", record("i1"), owner="i1")
    session.announce("nodes/b", b"plain")
    async with running(session), watching(session, "nodes/") as seen:
        await seen.holds({"nodes/a": record("i1"), "nodes/b": b"plain"})
        session.withdraw("nodes/a")
        session.withdraw("nodes/b")
        session.withdraw("nodes/never-there")
        await seen.holds({})
        session.announce("nodes/a", record("i1", again=True), owner="i1")
        await seen.holds({"nodes/a": record("i1", again=True)})


async def test_a_burst_is_written_as_its_first_and_its_newest_value_a_second_apart(
    place: Place,
) -> None:
    session = place.session()
    async with running(session), watching(session, "nodes/") as seen:
        await seen.holds({})
        session.announce("nodes/a", b"first")
        await seen.holds({"nodes/a": b"first"})
        start = time.monotonic()
        for number in range(1, 51):
            session.announce("nodes/a", b"%d" % number)
            await asyncio.sleep(0.001)
        await seen.holds({"nodes/a": b"50"})
        assert time.monotonic() - start > 0.8
    assert seen.changes == [Put("nodes/a", b"first"), Put("nodes/a", b"50")]


async def test_a_graceful_stop_removes_the_keys_at_once(place: Place) -> None:
    session, reader = place.session(), place.session()
    session.announce("nodes/a", record("i1"), owner="i1")
    session.announce("nodes/b", b"plain")
    async with running(reader), watching(reader, "nodes/") as seen:
        async with running(session):
            await seen.holds({"nodes/a": record("i1"), "nodes/b": b"plain"})
        assert await seen.holds({}) < TTL_S / 2


async def test_a_session_that_runs_again_announces_again(place: Place) -> None:
    session, reader = place.session(), place.session()
    session.announce("nodes/a", record("i1"), owner="i1")
    async with running(reader), watching(reader, "nodes/") as seen:
        for _ in range(2):
            async with running(session):
                await seen.holds({"nodes/a": record("i1")})
            await seen.holds({})


async def test_a_lease_lost_behind_its_back_is_followed_by_a_new_announcement(
    place: Place,
) -> None:
    session, reader = place.session(), place.session()
    everything = {"nodes/a": record("i1"), "nodes/b": b"plain"}
    session.announce("nodes/a", everything["nodes/a"], owner="i1")
    session.announce("nodes/b", everything["nodes/b"])
    async with running(session, reader), watching(reader, "nodes/") as seen:
        await seen.holds(everything)
        before = len(seen.changes)
        await place.lose_lease(session, "nodes/a")
        await eventually(lambda: len(seen.changes) >= before + 4)
        assert set(seen.changes[before : before + 2]) == {Delete("nodes/a"), Delete("nodes/b")}
        await seen.holds(everything)


async def test_a_live_duplicate_is_refused_by_host_and_pid_after_one_lease(place: Place) -> None:
    first, second = place.session(), place.session()
    first.announce("nodes/a", record("i1"), owner="i1")
    second.announce("nodes/a", record("i2", host="box-b", pid=1), owner="i2")
    second.announce("nodes/b", b"plain")
    async with running(first), watching(first, "nodes/") as seen:
        await seen.holds({"nodes/a": record("i1")})
        start = time.monotonic()
        with pytest.raises(DuplicateNode, match=r"nodes/a.*pid 4711 on box-a") as caught:
            async with asyncio.timeout(TTL_S + 5):
                await second.run()
        assert TTL_S <= time.monotonic() - start < TTL_S + 4
        assert caught.value.node_id == "a"
        await seen.holds({"nodes/a": record("i1")})  # and what else it announced is gone with it


async def test_a_key_of_another_instance_is_taken_over_when_it_vanishes_in_time(
    place: Place,
) -> None:
    former, successor = place.session(), place.session()
    former.announce("nodes/a", record("i1"), owner="i1")
    successor.announce("nodes/a", record("i2"), owner="i2")
    async with running(former), watching(former, "nodes/") as seen:
        await seen.holds({"nodes/a": record("i1")})
        async with running(successor) as (task,):
            await asyncio.sleep(TTL_S / 4)
            former.withdraw("nodes/a")
            await seen.holds({"nodes/a": record("i2")})
            assert not task.done()


async def test_the_same_instance_writes_over_its_own_key(place: Place) -> None:
    # as after a connection lost between the write and its answer
    first, second = place.session(), place.session()
    first.announce("nodes/a", record("i1"), owner="i1")
    second.announce("nodes/a", record("i1", newer=True), owner="i1")
    async with running(first), watching(first, "nodes/") as seen:
        await seen.holds({"nodes/a": record("i1")})
        async with running(second):
            await seen.holds({"nodes/a": record("i1", newer=True)})


async def test_withdrawing_an_exclusive_key_leaves_another_owners_alone(place: Place) -> None:
    first, second = place.session(), place.session()
    first.announce("nodes/a", record("i1"), owner="i1")
    async with running(first, second), watching(first, "nodes/") as seen:
        await seen.holds({"nodes/a": record("i1")})
        second.announce("nodes/a", record("i2"), owner="i2")
        await asyncio.sleep(0)
        second.withdraw("nodes/a")
        second.announce("nodes/b", b"after")  # keys are settled in order
        await seen.holds({"nodes/a": record("i1"), "nodes/b": b"after"})


async def test_what_is_put_outlives_its_session(place: Place) -> None:
    session, reader = place.session(), place.session()
    async with running(session):
        await session.put("config/rules", b"rules")
    async with running(reader), watching(reader, "config/rules") as seen:
        await seen.holds({"config/rules": b"rules"})


async def test_a_reader_that_lags_gets_where_things_stand_and_not_all_that_happened(
    place: Place,
) -> None:
    session, reader = place.session(), place.session()
    async with running(session, reader):
        watch = reader.watch("config/")
        assert await anext(watch) == ()
        for number in range(FEED_LIMIT + 50):
            await session.put("config/many", b"%d" % number)
        await session.put("config/last", b"done")
        batches = 0
        state: dict[str, bytes] = {}
        async with watching(reader, "config/") as beside:  # another reader is not held up
            await eventually(lambda: "config/last" in beside.state)
        async with asyncio.timeout(10):
            while "config/last" not in state:
                batches += 1
                for change in await anext(watch):
                    assert isinstance(change, Put)
                    state[change.key] = change.value
        assert state == {"config/many": b"%d" % (FEED_LIMIT + 49), "config/last": b"done"}
        assert batches < FEED_LIMIT
        await watch.aclose()  # type: ignore[attr-defined]


async def test_too_large_a_value_is_refused_by_name(place: Place) -> None:
    session = place.session()
    with pytest.raises(ConfigError, match="nodes/a"):
        session.announce("nodes/a", bytes(1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="config/rules"):
        await session.put("config/rules", bytes(1024 * 1024 + 1))


@pytest.mark.parametrize("owner", [None, "i1"])
async def test_what_was_announced_comes_back_when_it_is_deleted_by_hand(
    place: Place, owner: str | None
) -> None:
    session, reader = place.session(), place.session()
    mine = {f"{where}/a": record("i1") for where in ("nodes", "orchestrators", "elsewhere")}
    async with running(session, reader), watching(reader, "") as seen:
        for key, value in mine.items():
            session.announce(key, value, owner=owner)
        await seen.holds(mine)
        for key in mine:
            await place.delete(key)
        await eventually(lambda: set(seen.changes) >= set(map(Delete, mine)))
        await seen.holds(mine, TTL_S + 1.5)


STRAYS = [b"x", b"", b"null", b"[" * 6_000, b'{"instance": "i2"}', record("i2"), record("i1", n=2)]


@pytest.mark.parametrize("stray", STRAYS, ids=lambda value: value[:30].decode())
async def test_a_stray_value_on_a_key_is_written_over_and_ends_nobody(
    place: Place, stray: bytes
) -> None:
    session, hand = place.session(), place.session()
    session.announce("nodes/a", record("i1"), owner="i1")
    async with running(session, hand) as tasks, watching(hand, "nodes/") as seen:
        await seen.holds({"nodes/a": record("i1")})
        await hand.put("nodes/a", stray)
        await eventually(lambda: Put("nodes/a", stray) in seen.changes)
        await seen.holds({"nodes/a": record("i1")}, TTL_S + 1.5)
        assert not tasks[0].done()


async def test_a_stray_value_that_was_there_first_is_no_duplicate(place: Place) -> None:
    hand, session = place.session(), place.session()
    async with running(hand), watching(hand, "nodes/") as seen:
        hand.announce("nodes/a", b"x")  # under a lease
        await hand.put("nodes/b", record("i2"))  # of nobody alive
        await eventually(lambda: len(seen.state) == 2)
        session.announce("nodes/a", record("i1"), owner="i1")
        session.announce("nodes/b", record("i1"), owner="i1")
        async with running(session):
            await eventually(lambda: seen.state["nodes/b"] == record("i1"), 1.5)
            await eventually(lambda: Put("nodes/a", record("i1")) in seen.changes, 1.5)


async def test_more_than_a_watch_holds_is_left_out_and_said_until_there_is_room(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mesh.registry.feed.MAX_KEYS", 20)
    writer, early, late = place.session(), place.session(), place.session()
    content = {f"nodes/{number:02}": b"x" for number in range(30)}
    async with running(writer, early, late), watching(early, "nodes/") as seen:
        await seen.holds({})
        for key, value in content.items():
            await writer.put(key, value)
        async with watching(late, "nodes/") as first:
            for session, watched in ((early, seen), (late, first)):
                await eventually(lambda w=watched: len(w.state) == 20)  # type: ignore[misc]
                await eventually(lambda s=session: "10 keys are left out" in s.shortfall)  # type: ignore[misc]
            assert "below 'nodes/'" in caplog.text
            for key in [key for key in content if key <= "nodes/14"]:
                await place.delete(key)
                del content[key]
            await seen.holds(content)
            await first.holds(content)
            assert early.shortfall == late.shortfall == ""
