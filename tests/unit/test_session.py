"""A dialing session on a wire that a test holds in its hand: handshake, streams, signs of life."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from mesh.errors import DeadlineExceeded, InvalidRequest, NodeLost
from mesh.fleet.records import PROTOCOL_VERSION, Heartbeat, NodeState
from mesh.transport import frames
from mesh.transport.base import Accepted, Progress, Vectors
from mesh.transport.frames import MAX_OPEN_BYTES, Bye, Credit, Frame, FrameType, Hello, Reject
from mesh.transport.session import DialSession
from mesh.types import Message, ModelId, NodeId, Role
from tests.session_rig import TIMING, SessionRig
from tests.transport_rig import END, NODE, attempt, tokens

BEAT = Heartbeat(node=NODE, state=NodeState.READY)


async def test_it_greets_first_and_is_up_once_the_node_has_answered() -> None:
    rig = SessionRig(up=False)
    hello = Hello(protocol=PROTOCOL_VERSION, name="o")
    assert rig.wire.sent == [Frame(FrameType.HELLO, 0, hello)]
    assert not rig.session.up
    assert not rig.session.heard
    rig.say(FrameType.HEARTBEAT, 0, BEAT)
    assert rig.heartbeats == []
    rig.welcome()
    assert rig.session.up
    assert rig.session.heard
    rig.say(FrameType.HEARTBEAT, 0, BEAT)
    assert (rig.ups, rig.heartbeats, rig.reason) == ([True], [BEAT], None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"protocol": 99}, "it speaks protocol 99"), ({"node": "other"}, "another node answers")],
)
async def test_a_welcome_of_another_node_or_protocol_is_answered_with_the_reason(
    changes: dict[str, object], reason: str
) -> None:
    rig = SessionRig(up=False)
    rig.welcome(**changes)
    assert rig.reason is not None
    assert rig.reason.startswith(reason)
    assert rig.sent == [Frame(FrameType.BYE, 0, Bye(reason=rig.reason))]
    assert (rig.session.up, rig.ups, rig.wire.closed) == (False, [], 1)


async def test_a_refused_handshake_ends_it_without_a_word() -> None:
    rig = SessionRig(up=False)
    rig.say(FrameType.REJECT, 0, Reject(reason="x" * 300))
    assert rig.reason == f"it refused the handshake: {'x' * 200!r}"
    assert (rig.sent, rig.ups) == ([], [])


@pytest.mark.parametrize(
    ("kind", "stream", "body"),
    [
        (FrameType.REJECT, 0, Reject(reason="late")),
        (FrameType.HELLO, 0, Hello(protocol=PROTOCOL_VERSION)),
        (FrameType.OPEN, 1, attempt()),
        (FrameType.CREDIT, 1, Credit(pieces=1)),
        (FrameType.CANCEL, 1, None),
        (FrameType.HEARTBEAT, 0, replace(BEAT, node=NodeId("other"))),
        (FrameType.TOKENS, 0, tokens(0)),
        (FrameType.TOKENS, 2, tokens(0)),
        (FrameType.FINISHED, 3, END),
    ],
)
async def test_what_a_node_may_not_say_ends_it_with_a_word(
    kind: FrameType, stream: int, body: frames.Body
) -> None:
    rig = SessionRig()
    stream_one = rig.session.open(attempt())
    rig.say(kind, stream, body)
    assert rig.reason is not None
    assert rig.reason.startswith("protocol error")
    assert rig.kinds == [FrameType.OPEN, FrameType.BYE]
    assert rig.ups == [True, False]
    with pytest.raises(NodeLost):
        await anext(stream_one)


async def test_a_second_welcome_is_out_of_place() -> None:
    rig = SessionRig()
    rig.welcome()
    assert rig.kinds == [FrameType.BYE]
    assert rig.ups == [True, False]


async def test_pings_are_answered_and_pongs_are_not() -> None:
    rig = SessionRig()
    rig.say(FrameType.PING)
    assert rig.sent == [Frame(FrameType.PONG, 0, None)]
    rig.say(FrameType.PONG)
    assert len(rig.sent) == 1
    assert rig.reason is None


async def test_a_node_s_farewell_ends_it() -> None:
    rig = SessionRig()
    rig.say(FrameType.BYE, 0, Bye(reason="y" * 300))
    assert rig.reason == f"it ended the session: {'y' * 200!r}"
    assert rig.sent == []


async def test_streams_are_numbered_from_one_and_only_what_is_sent_has_a_number() -> None:
    rig = SessionRig()
    large = attempt(messages=(Message.of(Role.USER, "x" * (MAX_OPEN_BYTES + 1)),))
    first = rig.session.open(attempt())
    with pytest.raises(InvalidRequest, match="cannot be sent") as refused:
        rig.session.open(large)
    assert refused.value.request_id == large.request_id
    second = rig.session.open(attempt(number=2))
    assert (first.id, second.id) == (1, 2)
    assert rig.sent == [
        Frame(FrameType.OPEN, 1, attempt()),
        Frame(FrameType.OPEN, 2, attempt(number=2)),
    ]


@pytest.mark.parametrize("left", [0.0, -1.0])
async def test_no_attempt_is_opened_without_time(left: float) -> None:
    rig = SessionRig()
    with pytest.raises(DeadlineExceeded) as refused:
        rig.session.open(attempt(timeout_s=left))
    assert refused.value.request_id == attempt().request_id
    assert rig.sent == []
    rig.session.open(attempt(timeout_s=0.5))
    assert rig.kinds == [FrameType.OPEN]


async def test_no_attempt_is_opened_before_the_node_has_answered() -> None:
    rig = SessionRig(up=False)
    with pytest.raises(NodeLost) as lost:
        rig.session.open(attempt())
    assert (lost.value.node_id, lost.value.request_id) == (NODE, attempt().request_id)
    assert rig.sent == []


async def test_events_reach_their_own_stream_until_it_ends() -> None:
    rig = SessionRig()
    one, two = rig.session.open(attempt()), rig.session.open(attempt(texts=("a",), credit=1))
    accepted = Accepted(node=NODE, model=ModelId("m"))
    vectors = Vectors(first=0, dimension=1, data=bytes(4))
    for stream, kind, body in [
        (1, FrameType.ACCEPTED, accepted),
        (1, FrameType.PROGRESS, Progress(phase="queued")),
        (2, FrameType.VECTORS, vectors),
        (1, FrameType.TOKENS, tokens(0)),
        (1, FrameType.FINISHED, END),
        (1, FrameType.TOKENS, tokens(9)),  # after its end: nobody's, and no harm
        (2, FrameType.FINISHED, END),
    ]:
        rig.say(kind, stream, body)
    assert [e async for e in one] == [accepted, Progress(phase="queued"), tokens(0), END]
    assert [e async for e in two] == [vectors, END]
    assert rig.reason is None


async def test_cancelling_says_so_once_and_what_still_comes_is_ignored() -> None:
    rig = SessionRig()
    stream = rig.session.open(attempt())
    stream.cancel()
    stream.cancel()
    rig.session.cancelled(stream)
    assert rig.sent[1:] == [Frame(FrameType.CANCEL, 1, None)]
    rig.say(FrameType.TOKENS, 1, tokens(0))
    assert rig.reason is None


async def test_the_end_comes_once_and_takes_every_stream_along() -> None:
    rig = SessionRig()
    streams = [rig.session.open(attempt()), rig.session.open(attempt())]
    rig.session.on_lost("reset")
    rig.session.end("again", bye=True)
    assert (rig.reason, rig.wire.closed, rig.ups) == ("reset", 1, [True, False])
    assert rig.kinds == [FrameType.OPEN, FrameType.OPEN]
    for stream in streams:
        with pytest.raises(NodeLost, match=f"node {NODE} was lost: reset"):
            await anext(stream)
    rig.say(FrameType.HEARTBEAT, 0, BEAT)
    rig.say(FrameType.PING)
    rig.session.on_writable()
    assert (rig.heartbeats, len(rig.sent)) == ([], 2)


async def test_a_session_that_never_was_up_reports_no_link_down() -> None:
    rig = SessionRig(up=False)
    rig.session.end("z" * 300, bye=True)
    assert rig.ups == []
    assert rig.sent == [Frame(FrameType.BYE, 0, Bye(reason="z" * 200))]


async def test_it_may_end_before_it_has_a_wire() -> None:
    rig = SessionRig(up=False)
    bare = DialSession(
        hello=Hello(protocol=PROTOCOL_VERSION),
        node=NODE,
        timing=TIMING,
        clock=rig.clock,
        on_heartbeat=rig.heartbeats.append,
        on_link=rig.ups.append,
    )
    bare.on_writable()
    bare.end("never dialed", bye=True)
    assert await asyncio.wait_for(bare.ended, 1) == "never dialed"
