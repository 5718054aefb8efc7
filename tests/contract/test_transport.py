"""The transport's guarantees (``mesh/transport/base.py``), on the in-memory twin, on
ZeroMQ and on gRPC."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mesh.errors import DeadlineExceeded, EngineFailed, InvalidRequest, NodeLost, PortInUse
from mesh.fleet.records import PROTOCOL_VERSION, Heartbeat, NodeState
from mesh.transport import frames
from mesh.transport import peer as peer_module
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
from mesh.transport.frames import MAX_OPEN_BYTES, Bye, Credit, FrameType, Hello, Reject
from mesh.types import Message, NodeId, Piece, Role
from tests.conversations import SEEN, TOOLS
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


@pytest.fixture(params=["memory", "zeromq", "grpc"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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


# Cancellation.


async def test_cancel_reaches_the_handler_and_nothing_more_is_yielded(kind: str) -> None:
    cancelled = asyncio.Event()

    async def handle(asked: Attempt, sink: Sink) -> None:
        try:
            await counting(10**9)(asked, sink)
        finally:
            cancelled.set()

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        stream = link.open(attempt())
        await anext(stream)
        stream.cancel()
        stream.cancel()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await cancelled.wait()
        assert link.up


async def test_leaving_the_context_cancels_what_is_open(kind: str) -> None:
    cancelled = asyncio.Event()

    async def handle(asked: Attempt, sink: Sink) -> None:
        try:
            await sink.send(tokens(0))
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        async with link.open(attempt()) as stream:
            await anext(stream)
        await cancelled.wait()
        assert [e async for e in stream] == []
        async with link.open(attempt()) as stream:  # a cancel right behind its open
            pass
        assert [e async for e in stream] == []
        assert link.up


async def test_cancel_wakes_a_waiting_reader(kind: str) -> None:
    async def handle(asked: Attempt, sink: Sink) -> None:
        await asyncio.Event().wait()

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        stream = link.open(attempt())
        reading = rig.spawn(read(stream))
        await asyncio.sleep(0.01)
        stream.cancel()
        assert (await reading).events == []


async def test_a_link_that_is_closed_cancels_its_handlers(kind: str) -> None:
    running = 0

    async def handle(asked: Attempt, sink: Sink) -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.Event().wait()
        finally:
            running -= 1

    async with Rig(kind, PATIENT) as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(handle)
        dialed = await rig.dialed(listener.endpoint)
        stream = dialed.link.open(attempt())
        await until(lambda: running == 1)
        dialed.task.cancel()
        await until(lambda: running == 0, within_s=PATIENT.peer_timeout_s / 3)
        with pytest.raises(NodeLost):
            await anext(stream)
        assert dialed.ups == [True, False]


# Overload.


async def test_more_streams_than_the_limit_are_refused_as_overload(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_module, "MAX_OPEN_STREAMS", 4)
    go_on = asyncio.Event()

    async def handle(asked: Attempt, sink: Sink) -> None:
        await go_on.wait()
        await sink.send(END)

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        held = [link.open(attempt()) for _ in range(4)]
        refused = (await read(link.open(attempt()))).last
        assert isinstance(refused, Refused)
        assert refused.code == "overloaded"
        go_on.set()
        assert [(await read(s)).last for s in held] == [END] * 4
        assert (await read(link.open(attempt()))).last == END


async def test_an_attempt_that_no_node_would_accept_is_refused_where_it_is_made(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(counting(3))
        large = Message.of(Role.USER, "x" * (MAX_OPEN_BYTES + 1))
        with pytest.raises(InvalidRequest, match="limit"):
            link.open(attempt(messages=(large,)))
        with pytest.raises(InvalidRequest, match="credit"):
            link.open(attempt(credit=-1))
        with pytest.raises(DeadlineExceeded):
            link.open(attempt(timeout_s=-0.1))
        fits = Message.of(Role.USER, "x" * (MAX_OPEN_BYTES - 10_000))
        assert (await read(link.open(attempt(messages=(fits,))))).last == END


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


async def _pieces(stream: object, count: int) -> list[Piece]:
    found: list[Piece] = []
    while len(found) < count:
        event = await anext(stream)  # type: ignore[call-overload]
        assert isinstance(event, Tokens)
        found += event.pieces
    return found


def _binds(listener: object) -> bool:
    try:
        listener.bind()  # type: ignore[attr-defined]
    except PortInUse:
        return False
    return True


def _hellos(node: object) -> int:
    return sum(frame.kind is FrameType.HELLO for _, frame in node.got)  # type: ignore[attr-defined]
