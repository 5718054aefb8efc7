"""A sender's silence: what counts as one, and what does not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from mesh.client import silence
from mesh.client.silence import heard, watched
from mesh.errors import NoCandidate, Unreachable
from tests.mesh.fakes import Mesh, orchestrator

WITHIN_S = 0.2


class Call:
    """As gRPC's: a local cancel ends the read that waits."""

    def __init__(self) -> None:
        self.message: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def read(self) -> str:
        return await self.message

    def cancel(self) -> None:
        self.message.cancel()


async def test_what_comes_in_time_is_returned() -> None:
    call = Call()
    asyncio.get_running_loop().call_later(WITHIN_S / 2, call.message.set_result, "here")
    assert await heard(call, "it", WITHIN_S) == "here"


async def test_silence_cancels_the_call() -> None:
    call = Call()
    with pytest.raises(Unreachable, match=r"it has said nothing for 0\.2 s"):
        await heard(call, "it", WITHIN_S)
    assert call.message.cancelled()


async def test_a_reader_that_was_held_itself_blames_nobody() -> None:
    call = Call()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        time.sleep(WITHIN_S + 2 * silence.LATE_S)  # as a client's own code would
        loop.call_later(WITHIN_S / 2, call.message.set_result, "here")

    loop.call_soon(hold)
    assert await heard(call, "it", WITHIN_S) == "here"


async def test_who_is_cancelled_is_cancelled() -> None:
    task = asyncio.ensure_future(heard(Call(), "it", WITHIN_S))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_slow_answer_of_one_that_lives_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "PROBE_EVERY_S", 0.02)

    async def slow() -> str:
        await asyncio.sleep(0.3)
        return "done"

    async def refused() -> str:
        raise NoCandidate("nobody")

    async with (
        Mesh() as mesh,
        orchestrator(mesh) as whole,
        grpc.aio.insecure_channel(whole.endpoint) as channel,
    ):
        assert await watched(slow(), channel, "it") == "done"
        with pytest.raises(NoCandidate):
            await watched(refused(), channel, "it")


async def test_an_answer_of_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "PROBE_EVERY_S", 0.02)
    monkeypatch.setattr(silence, "PROBE_S", 0.1)

    async def hang(request: Any, context: Any) -> Any:
        await asyncio.sleep(30)

    method = grpc.unary_unary_rpc_method_handler(
        hang,
        request_deserializer=health_pb2.HealthCheckRequest.FromString,
        response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(Unreachable, match=r"it has said nothing for 0\.1 s"):
            await watched(asyncio.sleep(30), channel, "it")
    await server.stop(None)
