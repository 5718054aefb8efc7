"""The table of links: wanted ones, ones by need, their limit, and what ends them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import NodeLost, Overloaded, Unreachable
from mesh.transport.links import Links
from mesh.types import NodeId
from tests.fleet_rig import A, B, HandDialer, HandLink, record

C = NodeId("c")
IDLE_S = 60.0
AT_ONCE_S = 0.001  # for what never comes up
LONG_S = 30.0


class Breaking(HandDialer):
    """``refuses``: endpoints that are none; ``ends``: those whose links end by themselves."""

    refuses = ends = ""

    def link(self, endpoint: str, *rest: Any) -> HandLink:
        if endpoint == self.refuses:
            raise Unreachable("that is no address")
        link = super().link(endpoint, *rest)
        if endpoint == self.ends:
            link.run = self._ends  # type: ignore[method-assign]
        return link

    async def _ends(self) -> None:
        raise Unreachable("nobody listens")


class Rig:
    def __init__(self, *, limit: int | None = None, idle_s: float | None = IDLE_S) -> None:
        self.clock = ManualClock()
        self.dialer = Breaking()
        self.beats: list[NodeId] = []
        self.moves: list[tuple[NodeId, bool]] = []
        self.links = Links(
            {"zeromq": self.dialer},
            self.clock,
            on_heartbeat=lambda heartbeat: self.beats.append(heartbeat.node),
            on_link=lambda node, up: self.moves.append((node, up)),
            limit=limit,
            idle_s=idle_s,
        )

    @property
    def dialed(self) -> list[HandLink]:
        return self.dialer.links

    def link(self, node: NodeId = A) -> HandLink:
        """The newest."""
        return [link for link in self.dialed if link.node == node][-1]

    async def used(self, node: NodeId = A, **given: Any) -> HandLink:
        """Its link, after one use."""
        async with self.using(node, **given) as link:
            return link

    @asynccontextmanager
    async def using(self, node: NodeId = A, **given: Any) -> AsyncIterator[HandLink]:
        """Dials it, and has it come up."""
        context = self.links.use(record(node, **given), LONG_S)
        async with asyncio.TaskGroup() as group:
            entered = group.create_task(context.__aenter__())
            await self.clock.settle()
            if not entered.done() and not self.link(node).up:
                self.link(node).move(True)
        try:
            yield self.link(node)
        finally:
            await context.__aexit__(None, None, None)


@asynccontextmanager
async def running(**given: Any) -> AsyncIterator[Rig]:
    rig = Rig(**given)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(rig.links.run())
        await rig.clock.settle()
        yield rig
        task.cancel()


async def test_a_wanted_link_is_dialled_once_and_outlives_any_idleness() -> None:
    async with running() as rig:
        rig.links.want(record())
        rig.links.want(record())
        await rig.clock.advance(10 * IDLE_S)
        (link,) = rig.dialed
        assert (link.running, len(rig.links)) == (True, 1)


async def test_what_is_wanted_before_it_runs_runs_then_and_ends_with_it() -> None:
    rig = Rig()
    rig.links.want(record())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(rig.links.run())
        await rig.clock.settle()
        assert rig.link().running
        task.cancel()
    assert (rig.link().running, len(rig.links)) == (False, 0)


async def test_a_node_that_listens_elsewhere_is_dialled_there_and_its_old_link_not_heard() -> None:
    async with running() as rig:
        rig.links.want(record())
        old = rig.link()
        old.move(True)
        old.beat()
        rig.links.want(record(endpoint="elsewhere"))
        await rig.clock.settle()
        old.beat()
        old.on_link(False)
        new = rig.link()
        assert (old.running, new.endpoint, new.running) == (False, "elsewhere", True)
        assert (rig.beats, rig.moves) == ([A], [(A, True)])


async def test_a_heartbeat_that_names_another_node_is_not_heard() -> None:
    async with running() as rig:
        rig.links.want(record())
        rig.links.want(record(B))
        other = rig.link(B)
        other.node = A
        other.beat()
        assert rig.beats == []


async def test_a_wanted_link_outlives_its_record_while_it_is_up() -> None:
    async with running() as rig:
        rig.links.want(record())
        rig.link().move(True)
        rig.links.release(A)
        assert rig.links.up(A)
        rig.link().move(False)
        await rig.clock.settle()
        assert (rig.link().running, len(rig.links)) == (False, 0)
        assert rig.moves == [(A, True), (A, False)]


async def test_a_wanted_link_that_is_down_goes_with_its_record() -> None:
    async with running() as rig:
        rig.links.want(record())
        rig.links.release(A)
        rig.links.release(B)
        assert len(rig.links) == 0


async def test_a_record_that_came_back_holds_its_link_again() -> None:
    async with running() as rig:
        rig.links.want(record())
        rig.link().move(True)
        rig.links.release(A)
        rig.links.want(record())
        rig.link().move(False)
        assert len(rig.links) == 1


async def test_attempts_are_opened_on_the_link_that_is_there() -> None:
    async with running() as rig:
        with pytest.raises(NodeLost, match="no link"):
            rig.links.open(A, "attempt")  # type: ignore[arg-type]
        assert not rig.links.up(A)
        rig.links.want(record())
        rig.link().move(True)
        rig.links.open(A, "attempt")  # type: ignore[arg-type]
        assert rig.link().opened == ["attempt"]


async def test_what_cannot_be_dialled_is_told_and_costs_its_own_link_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as rig:
        rig.dialer.refuses, rig.dialer.ends = "there-a", "there-b"
        with caplog.at_level(logging.WARNING):
            for each in (record(), record(B), record(C, transport="quic"), record(NodeId("d"))):
                rig.links.want(each)
            await rig.clock.settle()
        assert "box a is not linked: cannot dial box a at there-a: that is no" in caplog.text
        assert "link to node b at there-b ended: nobody listens" in caplog.text
        assert "box c is not linked: it speaks 'quic', and this version zeromq" in caplog.text
        assert rig.link(NodeId("d")).running


async def test_a_link_by_need_is_dialled_when_it_is_used_and_stays_warm() -> None:
    async with running() as rig:
        first = await rig.used()
        await rig.clock.advance(IDLE_S / 2)
        assert await rig.used() is first
        await rig.clock.advance(IDLE_S * 0.9)
        assert len(rig.links) == 1
        await rig.clock.advance(IDLE_S / 2)
        assert (len(rig.links), first.running) == (0, False)
        assert await rig.used() is not first


async def test_a_link_in_use_is_never_idle() -> None:
    async with running() as rig:
        async with rig.using():
            await rig.clock.advance(3 * IDLE_S)
            rig.links.release(A)
            assert rig.link().running
        await rig.clock.advance(IDLE_S * 0.7)
        assert rig.link().running, "idle since its last use, and no longer"


async def test_without_an_idle_time_a_link_by_need_stays() -> None:
    async with running(idle_s=None) as rig:
        await rig.used()
        await rig.clock.advance(100 * IDLE_S)
        assert len(rig.links) == 1


async def test_an_idle_link_by_need_goes_with_its_record() -> None:
    async with running() as rig:
        await rig.used()
        rig.links.release(A)
        await rig.clock.settle()
        assert (len(rig.links), rig.link().running) == (0, False)


async def test_at_the_limit_the_idlest_makes_room_and_nobody_who_is_used_or_wanted() -> None:
    async with running(limit=3) as rig:
        rig.links.want(record())
        for node in (B, C, B):
            await rig.used(node)
            await rig.clock.advance(1.0)
        async with rig.using(NodeId("d")):
            await rig.clock.settle()
            assert [rig.link(node).running for node in (A, B, C)] == [True, True, False]
            async with rig.using(B):
                with pytest.raises(Overloaded, match="all 3 links to nodes are in use"):
                    async with rig.links.use(record(C), LONG_S):
                        pass
        assert len(rig.links) == 3


async def test_a_node_beyond_the_limit_rests_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(limit=1) as rig:
        rig.links.want(record(A))
        rig.links.want(record(B))
        assert [link.node for link in rig.dialed] == [A]
        assert rig.links.rests(B)
        assert "all 1 links that this process may have are taken" in caplog.text
        rig.links.want(record(endpoint="elsewhere"))
        assert rig.link().endpoint == "elsewhere", "its own link makes room for its next"


async def test_a_link_that_is_not_up_in_time_is_lost_and_hopeless_until_it_comes_up() -> None:
    async with running() as rig:
        assert rig.links.hopeful(record())
        with pytest.raises(NodeLost, match=r"no link to box a at there-a within 0\.001 s") as lost:
            async with rig.links.use(record(), AT_ONCE_S):
                pass
        assert lost.value.node_id == A
        assert (rig.links.hopeful(record()), len(rig.links)) == (False, 1)
        rig.link().move(True)
        assert rig.links.hopeful(record())
        rig.link().move(False)
        assert not rig.links.hopeful(record())
        with pytest.raises(NodeLost):
            async with rig.links.use(record(), AT_ONCE_S):
                pass
        assert rig.links.hopeful(record(endpoint="elsewhere")), "a restart: nobody tried it there"


async def test_a_link_that_is_coming_up_is_hopeful() -> None:
    async with running() as rig:
        rig.links.want(record())
        assert rig.links.hopeful(record())


async def test_a_link_that_ended_is_dialled_anew_when_it_is_used() -> None:
    async with running() as rig:
        rig.dialer.ends = "there-a"
        with pytest.raises(NodeLost):
            async with rig.links.use(record(), AT_ONCE_S):
                pass
        assert not rig.links.hopeful(record())
        rig.dialer.ends = ""
        assert (await rig.used()).running
        assert len(rig.dialed) == 2


async def test_a_link_by_need_that_is_wanted_later_is_kept() -> None:
    async with running() as rig:
        await rig.used()
        rig.links.want(record())
        await rig.clock.advance(3 * IDLE_S)
        assert len(rig.links) == 1
