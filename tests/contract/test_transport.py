"""The transport's guarantees (``mesh/transport/base.py``), on its twin, on
ZeroMQ and on gRPC: order, credit, how a stream ends."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import EngineFailed
from mesh.transport.base import (
    Accepted,
    Attempt,
    AttemptEvent,
    Failed,
    Finished,
    Progress,
    Refused,
    Sink,
    Tokens,
)
from mesh.transport.frames import FrameType
from mesh.types import Message, NodeId, Piece, Role
from tests.conversations import SEEN, TOOLS
from tests.transport_rig import (
    DEADLINE_S,
    END,
    Rig,
    attempt,
    counting,
    read,
    tokens,
)

pytestmark = pytest.mark.timeout(30)


# Order and completeness.
@pytest.mark.parametrize("step", [1, 7, 400])
async def test_a_thousand_tokens_arrive_in_order_and_once(kind: str, step: int) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(counting(1_000, step))
        answer = await read(link.open(attempt()))
        assert len(answer.pieces) == 1_000
        assert isinstance(answer.events[0], Accepted)
        assert answer.last == END


async def test_two_hundred_streams_share_a_link_without_mixing(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(counting(50))
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(read(link.open(attempt()))) for _ in range(200)]
        assert all(len(r.result().pieces) == 50 and r.result().last == END for r in reads)


async def test_the_attempt_arrives_as_it_was_sent(kind: str) -> None:
    seen: list[Attempt] = []

    async def handle(asked: Attempt, sink: Sink) -> None:
        seen.append(asked)
        await sink.send(END)

    sent = attempt(
        messages=(
            Message.of(Role.SYSTEM, "short"),
            Message.of(Role.USER, "ünï😀" * 50_000),
            *SEEN,
            *TOOLS,
        ),
        delivered=(Piece(id=5, text="a"), Piece(id=2**32 - 1, text="")),
        tokenizer_hash="abc",
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        hops=(NodeId("other"),),
    )
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        await read(link.open(sent))
        assert seen == [sent]


async def test_a_resume_counts_on_from_the_delivered_pieces(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(counting(40))
        answer = await read(link.open(attempt(delivered=tokens(0, 15).pieces)), start=15)
        assert len(answer.pieces) == 25


async def test_progress_before_the_first_token_arrives_in_order(kind: str) -> None:
    sent = [Progress(phase="prefilling", done=i, total=40) for i in range(40)]

    async def handle(asked: Attempt, sink: Sink) -> None:
        for event in sent:
            await sink.send(event)
        await sink.send(END)

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        assert (await read(link.open(attempt()))).events == [*sent, END]


async def test_the_first_token_does_not_wait_for_the_second(kind: str) -> None:
    async def handle(asked: Attempt, sink: Sink) -> None:
        await sink.send(tokens(0))
        await asyncio.Event().wait()

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        async with link.open(attempt()) as stream:
            assert await anext(stream) == tokens(0)


async def test_tokens_that_met_a_busy_wire_are_put_together(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(counting(64))
        raw = await rig.raw_peer(listener.endpoint)
        await raw.hello()
        raw.say(FrameType.OPEN, 1, attempt(credit=64))
        await raw.heard(FrameType.FINISHED)
        sent = [f.body for f in raw.got if isinstance(f.body, Tokens)]
        assert sent[0] == tokens(0)  # the first one alone, at once
        assert sum(len(t.pieces) for t in sent) == 64
        assert len(sent) <= 4


# Credit.
async def test_a_node_sends_no_more_than_credit_covers(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(counting(1_000, step=100))
        async with link.open(attempt(credit=10)) as stream:
            assert isinstance(await anext(stream), Accepted)
            first = await _pieces(stream, 10)
            with pytest.raises(TimeoutError):  # nothing more comes
                await asyncio.wait_for(anext(stream), 0.2)
            stream.grant(5)
            assert [p.id for p in first + await _pieces(stream, 5)] == list(range(15))


async def test_a_slow_reader_holds_up_its_own_stream_only(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(counting(500))
        async with link.open(attempt(credit=8)) as slow:
            await anext(slow)
            for _ in range(3):
                assert len((await read(link.open(attempt()))).pieces) == 500
            assert len((await read(slow)).pieces) == 500


async def test_credit_of_nothing_lets_only_the_other_events_through(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(counting(3))
        async with link.open(attempt(credit=0)) as stream:
            assert isinstance(await anext(stream), Accepted)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.1)
            stream.grant(1)
            assert await anext(stream) == tokens(0)
            stream.grant(100)
            assert (await read(stream, start=1)).last == END


async def test_small_grants_one_by_one_never_stop_the_stream(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(counting(300))
        stream = link.open(attempt(credit=16))
        count = 0
        async for event in stream:
            if isinstance(event, Tokens):
                for _ in event.pieces:
                    count += 1
                    stream.grant(1)
        assert count == 300


# The end.
@pytest.mark.parametrize(
    "end",
    [
        END,
        Refused(code="overloaded", message="full", retry_after_s=0.5),
        Failed(code="x", message="y"),
    ],
)
async def test_a_stream_ends_with_exactly_one_terminal_event(
    kind: str, end: Finished | Refused | Failed
) -> None:
    async def handle(asked: Attempt, sink: Sink) -> None:
        await sink.send(end)
        await sink.send(END)  # raises, and nothing of it reaches the other side

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        stream = link.open(attempt())
        assert (await read(stream)).events == [end]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def _raise_mesh_error(asked: Attempt, sink: Sink) -> None:
    await sink.send(tokens(0))
    raise EngineFailed("the runner broke")


async def _raise_defect(asked: Attempt, sink: Sink) -> None:
    await sink.send(tokens(0))
    raise ZeroDivisionError("secret detail")


async def _return_early(asked: Attempt, sink: Sink) -> None:
    await sink.send(tokens(0))


async def _cancel_itself(asked: Attempt, sink: Sink) -> None:
    await sink.send(tokens(0))
    raise asyncio.CancelledError


async def _leave_a_gap(asked: Attempt, sink: Sink) -> None:
    await sink.send(tokens(0))
    await sink.send(tokens(2))


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (_raise_mesh_error, "engine_failed"),
        (_raise_defect, "internal"),
        (_return_early, "internal"),
        (_cancel_itself, "internal"),
        (_leave_a_gap, "internal"),
    ],
)
async def test_a_handler_that_breaks_fails_its_stream_and_no_other(
    kind: str, handler: object, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(asked: Attempt, sink: Sink) -> None:
        await (handler if asked.number == 1 else counting(20))(asked, sink)  # type: ignore[operator]

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        broken, sound = await asyncio.gather(
            read(link.open(attempt(number=1))), read(link.open(attempt(number=2)))
        )
        assert isinstance(broken.last, Failed)
        assert broken.last.code == code
        assert "secret" not in broken.last.message
        assert len(broken.pieces) == 1
        assert sound.last == END
        assert link.up
    if handler is _raise_defect:
        assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "event",
    [
        Tokens(first=0, pieces=(Piece(id=1, text="\ud800"),)),
        Tokens(first=0, pieces=(Piece(id=1, text="x" * 70_000),)),
        Tokens(first=0, pieces=(Piece(id=-1, text="x"),)),
        Tokens(first=0, pieces=(Piece(id=1, text="x"), Piece(id=2.5, text="y"))),  # type: ignore[arg-type]
        Progress(phase="loading", done=33.3),  # type: ignore[arg-type]
        Refused(code="overloaded", message="full", retry_after_s=float("inf")),
        Failed(code="x", message="\ud800"),
    ],
    ids=["surrogate", "too long", "negative id", "no id", "no int", "infinity", "bad message"],
)
async def test_an_event_that_no_frame_can_carry_fails_its_stream_only(
    kind: str, event: AttemptEvent
) -> None:
    async def handle(asked: Attempt, sink: Sink) -> None:
        await sink.send(event)

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        last = (await read(link.open(attempt()))).last
        assert isinstance(last, Failed)
        assert last.code == "protocol_error"
        assert link.up


async def test_an_event_with_megabytes_of_text_is_split_into_frames(kind: str) -> None:
    pieces = tuple(Piece(id=i, text="é" * 20_000) for i in range(60))

    async def handle(asked: Attempt, sink: Sink) -> None:
        await sink.send(Tokens(first=0, pieces=pieces))
        await sink.send(END)

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        assert tuple((await read(link.open(attempt()))).pieces) == pieces


async def _pieces(stream: object, count: int) -> list[Piece]:
    found: list[Piece] = []
    while len(found) < count:
        event = await anext(stream)  # type: ignore[call-overload]
        assert isinstance(event, Tokens)
        found += event.pieces
    return found
