"""The node's handler: every refusal, flow by credit, deadlines, cancellation, drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from mesh.clock import SystemClock
from mesh.errors import DeadlineExceeded, Draining, EngineFailed, ModelFileError
from mesh.fleet.records import ModelState
from mesh.transport.base import (
    Accepted,
    Attempt,
    Finished,
    Progress,
    Refused,
    Tokens,
)
from mesh.types import FinishReason, Message, ModelId, Piece, Role, Sampling
from node.runner.messages import Opened, Prefill, Rejected
from node.serve.server import AttemptServer
from tests.conversations import CALL
from tests.node_fakes import (
    NODE,
    USAGE,
    FakeSink,
    Hosted,
    attempt,
    done,
    pieces,
    until,
)

OPENED = Opened(sequence=1, prompt_tokens=3)


@asynccontextmanager
async def serving(*hosted: Hosted, ready: bool = True) -> AsyncIterator[AttemptServer]:
    """A server over these models, whose own tasks run until the block ends."""
    server = AttemptServer(
        NODE, [h.model for h in hosted], clock=SystemClock(), on_change=lambda: None
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(h.model.run()) for h in hosted]
        if ready:
            await until(lambda: all(h.made is not None for h in hosted))
        yield server
        for task in tasks:
            task.cancel()


async def answer(server: AttemptServer, asked: Attempt) -> list[Any]:
    sink = FakeSink()
    async with asyncio.timeout(5):
        await server.handle(asked, sink)
    return sink.events


async def test_an_attempt_is_accepted_and_its_pieces_forwarded_in_order() -> None:
    hosted = Hosted()
    async with serving(hosted) as server:
        hosted.runner.script = (
            OPENED,
            Prefill(sequence=1, done=2, total=3),
            pieces("a", "b"),
            pieces("c", first=2),
            done(FinishReason.LENGTH),
        )
        events = await answer(server, attempt())
        sequence, opening = hosted.runner.opened[0]
    assert events == [
        Accepted(node=NODE, model=ModelId("toy")),
        Progress(phase="prefilling", done=2, total=3),
        Tokens(first=0, pieces=(Piece(id=0, text="a"), Piece(id=1, text="b"))),
        Tokens(first=2, pieces=(Piece(id=2, text="c"),)),
        Finished(reason=FinishReason.LENGTH, usage=USAGE),
    ]
    assert sequence.granted == 3
    assert opening.by_ids("tok") is True
    assert hosted.runner.used_slots == 0
    assert server.in_flight.count == 0


async def test_pieces_of_another_tokenizer_are_resumed_by_text() -> None:
    hosted = Hosted()
    delivered = (Piece(id=7, text="so"),)
    async with serving(hosted) as server:
        hosted.runner.script = (OPENED, done())
        await answer(server, attempt(tokenizer_hash="other", delivered=delivered))
        _, opening = hosted.runner.opened[0]
    assert opening.by_ids("tok") is False
    assert opening.delivered == delivered


async def test_the_runner_gets_the_trace_that_the_attempt_came_with() -> None:
    hosted = Hosted()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with serving(hosted) as server:
        hosted.runner.script = (OPENED, done())
        await answer(server, attempt(traceparent=f"00-{trace}-00f067aa0ba902b7-01"))
        _, opening = hosted.runner.opened[0]
    assert opening.traceparent.split("-")[1] == trace


async def test_an_unknown_model_is_refused_with_what_is_hosted() -> None:
    async with serving(Hosted()) as server:
        (event,) = await answer(server, attempt(model=ModelId("nobody")))
    assert event.code == "unknown_model"
    assert "'nobody'" in event.message
    assert "toy" in event.message


async def test_a_loading_model_is_refused_as_overloaded_with_a_retry_hint() -> None:
    hosted = Hosted()
    async with serving(hosted) as server:
        hosted.runner.become(ModelState.LOADING)
        (event,) = await answer(server, attempt())
    assert event.code == "overloaded"
    assert event.retry_after_s > 0


async def test_a_failed_model_is_refused_with_its_error_and_no_retry_hint() -> None:
    hosted = Hosted(failing=ModelFileError("toy.gguf is truncated"))
    async with serving(hosted, ready=False) as server:
        await until(lambda: hosted.model.state is ModelState.FAILED)
        (event,) = await answer(server, attempt())
    assert event.code == "overloaded"
    assert "toy.gguf is truncated" in event.message
    assert event.retry_after_s is None


async def test_an_attempt_without_a_free_slot_is_refused_and_the_running_ones_go_on() -> None:
    hosted = Hosted(slots=1)
    sink = FakeSink()
    async with serving(hosted) as server, asyncio.TaskGroup() as group:
        running = group.create_task(server.handle(attempt(), sink))
        await until(lambda: server.in_flight.count == 1)
        (event,) = await answer(server, attempt())
        assert isinstance(event, Refused)
        assert (event.code, event.retry_after_s is not None) == ("overloaded", True)
        assert server.in_flight.count == 1
        hosted.runner.opened[0][0].put(OPENED, done())
        await running
    assert isinstance(sink.events[-1], Finished)


async def test_a_draining_node_refuses_new_attempts() -> None:
    async with serving(Hosted()) as server:
        server.in_flight.draining = True
        (event,) = await answer(server, attempt())
    assert event.code == "draining"


@pytest.mark.parametrize(
    "bad",
    [
        {"messages": ()},
        {"messages": (Message.of(Role.USER, " "),)},
        {"messages": (Message(role=Role.USER, parts=(CALL,)),)},
        {"messages": (Message(role=Role.USER, parts=()),)},
        {"sampling": Sampling(max_tokens=-1)},
        {"sampling": Sampling(temperature=float("nan"))},
        {"timeout_s": 0.0},
        {"timeout_s": 1e9},
        {"timeout_s": float("inf")},
        {"timeout_s": float("nan")},
        {"credit": 0},
    ],
)
async def test_what_comes_off_the_wire_is_checked_before_a_slot_is_taken(
    bad: dict[str, Any],
) -> None:
    hosted = Hosted()
    async with serving(hosted) as server:
        (event,) = await answer(server, replace(attempt(), **bad))
        assert hosted.runner.opened == []
    assert event.code == "invalid_request"


async def test_what_the_engine_rejects_is_a_refusal_of_that_code() -> None:
    hosted = Hosted()
    async with serving(hosted) as server:
        hosted.runner.script = (
            Rejected(sequence=1, code="context_overflow", message="600 tokens exceed 512"),
        )
        events = await answer(server, attempt())
        assert hosted.runner.used_slots == 0
    assert events == [Refused(code="context_overflow", message="600 tokens exceed 512")]


async def test_a_slow_client_holds_up_its_own_sequence_only() -> None:
    hosted = Hosted()
    slow, quick = FakeSink(), FakeSink()
    slow.gate.clear()
    async with serving(hosted) as server, asyncio.TaskGroup() as group:
        hosted.runner.script = (OPENED, pieces("a", "b"), done())
        held = group.create_task(server.handle(attempt(), slow))
        await until(lambda: slow.waiting)
        await server.handle(attempt(), quick)
        assert isinstance(quick.events[-1], Finished)
        first, second = (sequence for sequence, _ in hosted.runner.opened)
        assert (first.granted, second.granted) == (0, 2)
        slow.gate.set()
        await held
        assert first.granted == 2


async def test_the_runners_window_is_never_wider_than_the_clients_credit() -> None:
    hosted = Hosted()
    async with serving(hosted) as server:
        hosted.runner.script = (OPENED, done())
        await answer(server, attempt(credit=3))
        await answer(server, attempt(credit=1_000_000))
        windows = [opening.credit for _, opening in hosted.runner.opened]
    assert windows == [3, 64]


async def test_a_deadline_ends_the_attempt_and_frees_its_slot() -> None:
    hosted = Hosted()
    async with serving(hosted) as server:
        hosted.runner.script = (OPENED,)
        with pytest.raises(DeadlineExceeded):
            await answer(server, attempt(timeout_s=0.02))
        assert hosted.runner.used_slots == 0
        assert hosted.runner.opened[0][0].cancelled


async def test_cancelling_the_handler_cancels_the_sequence_and_travels_on() -> None:
    hosted = Hosted()
    async with serving(hosted) as server, asyncio.TaskGroup() as group:
        hosted.runner.script = (OPENED,)
        task = group.create_task(server.handle(attempt(), FakeSink()))
        await until(lambda: server.in_flight.count == 1)
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.cancelled()
        assert hosted.runner.used_slots == 0
        assert server.in_flight.count == 0


async def test_a_broken_engine_raises_and_frees_the_attempt() -> None:
    hosted = Hosted()
    async with serving(hosted) as server:
        hosted.runner.script = (OPENED, EngineFailed("the runner died"))
        with pytest.raises(EngineFailed):
            await answer(server, attempt())
        assert server.in_flight.count == 0


async def test_a_timeout_that_is_not_the_deadline_is_not_reported_as_one() -> None:
    hosted = Hosted()
    async with serving(hosted) as server:
        hosted.runner.script = (OPENED, TimeoutError("somebody else's"))
        with pytest.raises(TimeoutError, match="somebody else's"):
            await answer(server, attempt())


async def test_ending_all_at_the_end_of_a_drain_says_draining_to_each() -> None:
    hosted = Hosted()
    async with serving(hosted) as server, asyncio.TaskGroup() as group:
        hosted.runner.script = (OPENED,)

        async def ends_draining() -> None:
            with pytest.raises(Draining):
                await server.handle(attempt(), FakeSink())

        group.create_task(ends_draining())
        group.create_task(ends_draining())
        await until(lambda: server.in_flight.count == 2)
        server.in_flight.end_all()
        async with asyncio.timeout(5):
            await server.in_flight.idle()
        assert hosted.runner.used_slots == 0


async def test_the_expected_wait_is_zero_with_a_free_slot_and_a_share_of_the_mean_without() -> None:
    hosted = Hosted(slots=1)
    async with serving(hosted) as server, asyncio.TaskGroup() as group:
        hosted.runner.script = (OPENED,)
        with pytest.raises(DeadlineExceeded):
            await answer(server, attempt(timeout_s=0.05))
        assert server.expected_wait_s() == 0.0
        task = group.create_task(server.handle(attempt(), FakeSink()))
        await until(lambda: server.in_flight.count == 1)
        assert server.expected_wait_s() >= 0.05
        task.cancel()
