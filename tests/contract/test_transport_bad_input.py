"""What breaks the protocol, at either end of every transport: its session ends, and no other."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import NodeLost
from mesh.fleet.records import Heartbeat, NodeState
from mesh.transport import frames
from mesh.transport.base import (
    Attempt,
    Sink,
)
from mesh.transport.frames import Credit, FrameType
from mesh.types import NodeId
from tests.transport_rig import (
    DEADLINE_S,
    Rig,
    attempt,
    tokens,
    until,
)

pytestmark = pytest.mark.timeout(30)


# Bad input at the node.
def _open_bytes() -> bytes:
    return frames.encode(FrameType.OPEN, 5, attempt())


BAD_FROM_A_PEER = {
    "empty": b"",
    "shorter than a header": b"\x07\x00",
    "unknown type": b"\xff" + bytes(8),
    "OPEN without a body": b"\x07" + bytes(8),
    "OPEN cut in half": _open_bytes()[: len(_open_bytes()) // 2],
    "a stream id used before": _open_bytes(),
    "oversized CANCEL": b"\x09" + bytes(8) + b"x" * 100_000,
    "oversized CREDIT": b"\x08" + bytes(8) + b"\xc4" + b"x" * 100_000,
    "CREDIT of no stream": b"\x08" + (99).to_bytes(8, "big") + b"\x81\xa6pieces\x01",
    "negative CREDIT": b"\x08" + (1).to_bytes(8, "big") + b"\x81\xa6pieces\xff",
    "CANCEL of no stream": b"\x09" + (99).to_bytes(8, "big"),
    "a node's frame": b"\x0c" + (5).to_bytes(8, "big") + b"\x93\x00\x91\x01\x91\xa1a",
    "a deep nest": b"\x07" + bytes(8) + b"\x81\xa1x" + b"\x91" * 50_000,
}


@pytest.mark.parametrize("name", BAD_FROM_A_PEER)
async def test_a_bad_frame_ends_that_peers_session_and_nothing_else(
    kind: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    cancelled: list[int] = []

    async def handle(asked: Attempt, sink: Sink) -> None:
        await sink.send(tokens(0))
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(asked.number)

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        listener, serving = rig.listen(handle)
        good = await rig.dialed(listener.endpoint)
        stream = good.link.open(attempt(number=1))
        await anext(stream)
        raw = await rig.raw_peer(listener.endpoint)
        await raw.hello()
        raw.say(FrameType.OPEN, 5, attempt(number=2))
        await raw.heard(FrameType.TOKENS)
        raw.raw(BAD_FROM_A_PEER[name])
        await raw.heard(FrameType.BYE)
        await until(lambda: cancelled == [2])
        assert "protocol error" in caplog.text
        assert good.link.up
        assert not serving.done()
        raw.got.clear()
        await raw.hello()  # and it may begin anew
        stream.cancel()
        await until(lambda: cancelled == [2, 1])


async def test_open_before_hello_is_answered_with_bye(kind: str) -> None:
    ran = False

    async def handle(asked: Attempt, sink: Sink) -> None:
        nonlocal ran
        ran = True

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(handle)
        raw = await rig.raw_peer(listener.endpoint)
        raw.say(FrameType.OPEN, 1, attempt())
        assert "HELLO" in (await raw.heard(FrameType.BYE)).body.reason  # type: ignore[union-attr]
        assert not ran


async def test_a_second_hello_replaces_the_session(kind: str) -> None:
    running: set[int] = set()

    async def handle(asked: Attempt, sink: Sink) -> None:
        running.add(asked.number)
        try:
            await asyncio.Event().wait()
        finally:
            running.discard(asked.number)

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(handle)
        raw = await rig.raw_peer(listener.endpoint)
        await raw.hello()
        raw.say(FrameType.OPEN, 1, attempt(number=1))
        await until(lambda: running == {1})
        raw.got.clear()
        await raw.hello()
        raw.say(FrameType.OPEN, 1, attempt(number=2))
        await until(lambda: running == {2})


# Bad input at the dialing end.
@pytest.mark.parametrize(
    "wrong",
    ["gap", "repetition", "beyond credit", "unknown stream", "garbage", "peer's frame", "other id"],
)
async def test_a_node_that_breaks_the_protocol_loses_the_link(kind: str, wrong: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        node = rig.raw_node()
        dialed = rig.dial(node.wire.endpoint)
        await node.welcome()
        await until(lambda: dialed.link.up)
        stream = dialed.link.open(attempt(credit=4))
        number = (await node.heard(FrameType.OPEN)).stream
        node.say(FrameType.TOKENS, number, tokens(0, 2))
        match wrong:
            case "gap":
                node.say(FrameType.TOKENS, number, tokens(3))
            case "repetition":
                node.say(FrameType.TOKENS, number, tokens(1))
            case "beyond credit":
                node.say(FrameType.TOKENS, number, tokens(2, 3))
            case "unknown stream":
                node.say(FrameType.TOKENS, number + 1, tokens(0))
            case "garbage":
                node.raw(b"\x0c" + bytes(8) + b"garbage")
            case "peer's frame":
                node.say(FrameType.CREDIT, number, Credit(pieces=1))
            case _:
                other = Heartbeat(node=NodeId("other"), state=NodeState.READY)
                node.say(FrameType.HEARTBEAT, 0, other)
        assert await anext(stream) == tokens(0, 2)  # what was right is still delivered
        with pytest.raises(NodeLost, match="protocol error"):
            await anext(stream)
        await until(lambda: dialed.ups == [True, False])
        await node.heard(FrameType.BYE)
        assert dialed.heartbeats == []
