"""What a session keeps while its wire is full: in order, put together, and no more than 32 MiB."""

from __future__ import annotations

import pytest

from mesh.errors import NodeLost
from mesh.transport import frames
from mesh.transport.base import Attempt
from mesh.transport.frames import MAX_CREDIT, Credit, Frame, FrameType
from mesh.transport.session import MAX_OUTBOX_BYTES
from mesh.transport.wire import MAX_BATCH_FRAMES
from mesh.types import Message, Role
from tests.session_rig import SessionRig
from tests.transport_rig import END, attempt, tokens

QUARTER = MAX_OUTBOX_BYTES // 4


def weighing(size: int) -> Attempt:
    """An attempt whose OPEN frame has ``size`` bytes."""

    def asked(letters: int) -> Attempt:
        return attempt(messages=(Message.of(Role.USER, "x" * letters),))

    spare = len(frames.encode(FrameType.OPEN, 1, asked(size // 2))) - size // 2
    made = asked(size - spare)
    assert len(frames.encode(FrameType.OPEN, 1, made)) == size
    return made


async def test_what_a_full_wire_does_not_take_goes_out_later_in_order_and_in_batches() -> None:
    rig = SessionRig()
    rig.wire.full = True
    for number in range(MAX_BATCH_FRAMES + 2):
        rig.session.open(attempt(number=number))
    assert rig.sent == []
    rig.wire.full = False
    rig.session.open(attempt(number=99))  # behind what waits, not past it
    assert rig.sent == []
    rig.session.on_writable()
    assert [len(batch) for batch in rig.wire.batches[1:]] == [MAX_BATCH_FRAMES, 3]
    assert [frame.stream for frame in rig.sent] == list(range(1, MAX_BATCH_FRAMES + 4))
    rig.session.open(attempt())  # nothing waits any more
    assert rig.sent[-1].stream == MAX_BATCH_FRAMES + 4


async def test_a_wire_that_is_still_full_loses_nothing() -> None:
    rig = SessionRig()
    rig.wire.full = True
    rig.session.open(attempt())
    rig.session.on_writable()
    assert rig.sent == []
    rig.wire.full = False
    rig.session.on_writable()
    rig.session.on_writable()
    assert rig.kinds == [FrameType.OPEN]


async def test_a_node_that_reads_nothing_is_lost_beyond_32_mib_and_not_before() -> None:
    rig = SessionRig()
    rig.wire.full = True
    asked = weighing(QUARTER)
    streams = [rig.session.open(asked) for _ in range(4)]
    assert rig.reason is None, "32 MiB wait, and 32 MiB may"
    streams[0].cancel()
    assert rig.reason == "it reads nothing any more"
    assert rig.ups == [True, False]
    with pytest.raises(NodeLost):
        await anext(streams[1])


async def test_what_went_out_no_longer_counts() -> None:
    rig = SessionRig()
    asked = weighing(QUARTER)
    for _ in range(2):
        rig.wire.full = True
        for _ in range(4):
            rig.session.open(asked)
        assert rig.reason is None
        rig.wire.full = False
        rig.session.on_writable()
    assert rig.kinds == [FrameType.OPEN] * 8


async def test_grants_wake_the_wire_once_and_leave_together() -> None:
    rig = SessionRig()
    one, two = rig.session.open(attempt(credit=2)), rig.session.open(attempt(credit=2))
    for _ in range(3):
        one.grant(2)
        two.grant(1)
        two.grant(1)
    assert rig.wire.nudged == 1
    assert rig.kinds == [FrameType.OPEN] * 2
    rig.session.on_writable()
    assert rig.sent[2:] == [
        Frame(FrameType.CREDIT, 1, Credit(pieces=6)),
        Frame(FrameType.CREDIT, 2, Credit(pieces=6)),
    ]
    rig.session.on_writable()
    assert len(rig.sent) == 4
    one.grant(2)
    assert rig.wire.nudged == 2


async def test_grants_wait_behind_frames_that_wait_and_grow_meanwhile() -> None:
    rig = SessionRig()
    stream = rig.session.open(attempt(credit=2))
    rig.wire.full = True
    rig.session.open(attempt())
    stream.grant(2)
    rig.session.on_writable()
    stream.grant(3)
    rig.wire.full = False
    rig.session.on_writable()
    assert rig.sent[1:] == [
        Frame(FrameType.OPEN, 2, attempt()),
        Frame(FrameType.CREDIT, 1, Credit(pieces=5)),
    ]


async def test_a_grant_too_large_for_one_frame_takes_two() -> None:
    rig = SessionRig()
    stream = rig.session.open(attempt(credit=2))
    stream.grant(MAX_CREDIT + 5)
    rig.session.on_writable()
    assert [frame.body for frame in rig.sent[1:]] == [Credit(pieces=MAX_CREDIT), Credit(pieces=5)]


async def test_a_cancelled_or_ended_stream_is_granted_nothing() -> None:
    rig = SessionRig()
    cancelled, ended = rig.session.open(attempt(credit=2)), rig.session.open(attempt(credit=2))
    for stream in (cancelled, ended):
        stream.grant(2)
    cancelled.cancel()
    rig.say(FrameType.TOKENS, 2, tokens(0))
    rig.say(FrameType.FINISHED, 2, END)
    rig.session.on_writable()
    assert FrameType.CREDIT not in rig.kinds


async def test_after_the_end_no_grant_wakes_the_wire() -> None:
    rig = SessionRig()
    stream = rig.session.open(attempt(credit=2))
    rig.session.end("over")
    rig.session.credit_due(stream)
    assert rig.wire.nudged == 0
