"""Who is there, on every transport: heartbeats, silence, handshakes."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mesh.errors import NodeLost, PortInUse
from mesh.fleet.records import PROTOCOL_VERSION, Heartbeat, NodeState
from mesh.transport.base import (
    Attempt,
    Sink,
)
from mesh.transport.frames import Bye, FrameType, Hello, Reject
from mesh.types import NodeId
from tests.transport_rig import (
    DEADLINE_S,
    END,
    NODE,
    PATIENT,
    TIMING,
    Rig,
    attempt,
    counting,
    read,
    tokens,
    until,
)

pytestmark = pytest.mark.timeout(30)


# Liveness.
async def test_heartbeats_are_sent_at_once_and_repeated(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(counting(1))
        dialed = await rig.dialed(listener.endpoint)
        first = Heartbeat(node=NODE, state=NodeState.READY, free_vram_bytes=(1,))
        second = Heartbeat(node=NODE, state=NodeState.DRAINING, reason="stopping")
        listener.heartbeat(first)
        await until(lambda: dialed.heartbeats.count(first) >= 3)
        listener.heartbeat(second)
        await until(lambda: dialed.heartbeats[-1] == second)
        late = await rig.dialed(listener.endpoint)  # a newcomer gets the newest one
        await until(lambda: late.heartbeats[:1] == [second])


async def test_a_node_that_stops_loses_its_streams_at_once_and_comes_back(kind: str) -> None:
    async def handle(asked: Attempt, sink: Sink) -> None:
        await sink.send(tokens(0))
        await asyncio.Event().wait()

    async with Rig(kind, PATIENT) as rig, asyncio.timeout(DEADLINE_S):
        listener, serving = rig.listen(handle)
        dialed = await rig.dialed(listener.endpoint)
        stream = dialed.link.open(attempt())
        assert await anext(stream) == tokens(0)
        serving.cancel()
        with pytest.raises(NodeLost) as lost:
            await asyncio.wait_for(anext(stream), PATIENT.peer_timeout_s / 3)
        assert lost.value.node_id == NODE
        assert lost.value.request_id == "0" * 32
        assert not dialed.link.up
        with pytest.raises(NodeLost):
            dialed.link.open(attempt())
        await asyncio.wait([serving])
        again = rig.make_listener(bind=listener.endpoint)
        await until(lambda: _binds(again))
        rig.spawn(again.run(counting(5)))
        await until(lambda: dialed.link.up)
        assert len((await read(dialed.link.open(attempt()))).pieces) == 5
        assert dialed.ups == [True, False, True]


async def test_a_silent_node_is_lost_within_the_peer_timeout(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        node = rig.raw_node()
        dialed = rig.dial(node.wire.endpoint)
        await node.welcome()
        await until(lambda: dialed.link.up)
        stream = dialed.link.open(attempt())
        began = rig.clock.now()
        with pytest.raises(NodeLost, match="nothing heard"):
            await anext(stream)
        assert TIMING.peer_timeout_s / 2 < rig.clock.now() - began < TIMING.peer_timeout_s + 1
        assert not dialed.link.up


async def test_a_silent_peer_has_its_handlers_cancelled(kind: str) -> None:
    cancelled = asyncio.Event()

    async def handle(asked: Attempt, sink: Sink) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(handle)
        raw = await rig.raw_peer(listener.endpoint)
        await raw.hello()
        raw.say(FrameType.OPEN, 1, attempt())
        await asyncio.wait_for(cancelled.wait(), TIMING.peer_timeout_s + 1)
        assert "nothing heard" in (await raw.heard(FrameType.BYE)).body.reason  # type: ignore[union-attr]


async def test_an_idle_link_stays_up(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(counting(1))
        dialed = await rig.dialed(listener.endpoint)
        await asyncio.sleep(2 * TIMING.peer_timeout_s)  # the span itself is what is tested
        assert dialed.ups == [True]
        assert (await read(dialed.link.open(attempt()))).last == END


async def test_a_bye_from_a_node_that_restarted_loses_the_streams_at_once(kind: str) -> None:
    async with Rig(kind, PATIENT) as rig, asyncio.timeout(DEADLINE_S):
        node = rig.raw_node()
        dialed = rig.dial(node.wire.endpoint)
        await node.welcome()
        await until(lambda: dialed.link.up)
        stream = dialed.link.open(attempt())
        await node.heard(FrameType.OPEN)
        node.say(FrameType.BYE, 0, Bye(reason="no session"))
        with pytest.raises(NodeLost, match="no session"):
            await asyncio.wait_for(anext(stream), PATIENT.peer_timeout_s / 3)


# Handshake.
async def test_another_node_at_the_address_is_not_trusted(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(counting(1), NodeId("usurper"))
        with caplog.at_level(logging.WARNING):
            dialed = rig.dial(listener.endpoint)
            await until(lambda: "another node answers" in caplog.text)
        assert not dialed.link.up
        assert dialed.ups == []
        with pytest.raises(NodeLost):
            dialed.link.open(attempt())


async def test_another_protocol_version_is_answered_with_a_reason(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(counting(1))
        raw = await rig.raw_peer(listener.endpoint)
        raw.say(FrameType.HELLO, 0, Hello(protocol=99, name="raw"))
        answer = await raw.heard(FrameType.REJECT)
        assert f"protocol {PROTOCOL_VERSION}, you speak 99" in answer.body.reason  # type: ignore[union-attr]
        raw.say(FrameType.OPEN, 1, attempt())
        await raw.heard(FrameType.BYE)


@pytest.mark.parametrize("answer", ["reject", "welcome"])
async def test_a_refused_handshake_keeps_the_link_down_and_is_retried(
    kind: str, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        node = rig.raw_node()
        dialed = rig.dial(node.wire.endpoint)
        for tries in range(1, 4):
            await until(lambda n=tries: _hellos(node) == n)  # type: ignore[misc]
            if answer == "reject":
                node.say(FrameType.REJECT, 0, Reject(reason="too old"))
            else:
                await node.welcome(protocol=99)
        await until(lambda: _hellos(node) == 4)
        await node.welcome()
        await until(lambda: dialed.link.up)
        assert dialed.ups == [True]
        assert ("too old" if answer == "reject" else "protocol 99") in caplog.text


async def test_a_handshake_that_nobody_answers_is_tried_again(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        node = rig.raw_node()
        rig.dial(node.wire.endpoint)
        await until(lambda: _hellos(node) == 2)
        assert len({peer for peer, _ in node.got}) == 2  # a fresh identity each time


async def test_a_port_that_is_taken_is_named(kind: str) -> None:
    async with Rig(kind) as rig:
        listener, _ = rig.listen(counting(1))
        with pytest.raises(PortInUse, match=listener.endpoint):
            rig.make_listener(bind=listener.endpoint).bind()


def _binds(listener: object) -> bool:
    try:
        listener.bind()  # type: ignore[attr-defined]
    except PortInUse:
        return False
    return True


def _hellos(node: object) -> int:
    return sum(frame.kind is FrameType.HELLO for _, frame in node.got)  # type: ignore[attr-defined]
