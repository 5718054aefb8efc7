"""Calls are counted by origin, and those that say nothing make way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from mesh.doors import calls as doors
from mesh.protobuf.server import open_server


@asynccontextmanager
async def server(most: int) -> AsyncIterator[str]:
    async def one(request: bytes, _: Any) -> bytes:
        if request == b"wait":
            await asyncio.Event().wait()
        return request

    async def many(request: bytes, _: Any) -> AsyncIterator[bytes]:
        yield request
        yield request

    async def gather(requests: AsyncIterator[bytes], _: Any) -> bytes:
        return b"".join([request async for request in requests])

    handlers = grpc.method_handlers_generic_handler(
        "T",
        {
            "One": grpc.unary_unary_rpc_method_handler(one),
            "Many": grpc.unary_stream_rpc_method_handler(many),
            "Gather": grpc.stream_unary_rpc_method_handler(gather),
        },
    )
    running, address = open_server("127.0.0.1:0", [handlers], limit_bytes=9999, max_streams=most)
    await running.start()
    try:
        yield address
    finally:
        await running.stop(None)


@asynccontextmanager
async def idle(channel: Any, count: int) -> AsyncIterator[list[Any]]:
    """Calls that were opened and say nothing."""
    opened = [channel.stream_unary("/T/One")() for _ in range(count)]
    await asyncio.sleep(0.3)  # they are the other end's to read, and there is nothing to wait for
    try:
        yield opened
    finally:
        for call in opened:
            call.cancel()


async def test_every_shape_of_call_is_answered_as_without() -> None:
    async with server(8) as address, grpc.aio.insecure_channel(address) as channel:
        assert await channel.unary_unary("/T/One")(b"a") == b"a"
        assert [r async for r in channel.unary_stream("/T/Many")(b"b")] == [b"b", b"b"]
        assert await channel.stream_unary("/T/Gather")(iter([b"c", b"d"])) == b"cd"
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await channel.unary_unary("/T/None")(b"")
        assert missing.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_silent_calls_of_an_address_leave_it_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "YOUNG_S", 0.2)
    async with (
        server(64) as address,
        grpc.aio.insecure_channel(address) as channel,
        idle(channel, 100) as opened,
    ):
        for number in range(40):
            text = str(number).encode()
            assert await channel.unary_unary("/T/One")(text, timeout=5) == text
        refused = [call for call in opened if call.done()]
        assert len(refused) >= 100 - 2
        assert {await call.code() for call in refused} <= {
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        }


async def test_one_address_has_half_of_the_calls_and_is_told() -> None:
    async with server(8) as address, grpc.aio.insecure_channel(address) as channel:
        running = [channel.unary_unary("/T/One")(b"wait") for _ in range(4)]
        await asyncio.sleep(0.3)
        with pytest.raises(grpc.aio.AioRpcError) as full:
            await channel.unary_unary("/T/One")(b"a")
        assert full.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "your address has 4 calls open" in (full.value.details() or "")
        running.pop().cancel()
        await asyncio.sleep(0.3)
        assert await channel.unary_unary("/T/One")(b"a") == b"a"
        for call in running:
            call.cancel()


async def test_a_call_without_a_request_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "REQUEST_S", 0.2)
    async with server(8) as address, grpc.aio.insecure_channel(address) as channel:
        for method in ("/T/One", "/T/Many", "/T/Gather"):
            call = channel.stream_stream(method)()
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED, method
            assert "within 0.2 s" in (await call.details())
        empty = channel.stream_stream("/T/One")(iter([]))
        assert await empty.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_thousands_of_idle_calls_leave_a_server_of_the_client_planes_size_served() -> None:
    async with (
        server(4096) as address,
        grpc.aio.insecure_channel(address) as channel,
        idle(channel, 4200) as opened,
    ):
        ended = [call for call in opened if call.done()]
        async with asyncio.timeout(20):
            while len(ended) < 4200 - 2048:  # gRPC itself drops some of so many that come at once
                await asyncio.sleep(0.05)
                ended = [call for call in opened if call.done()]
        await asyncio.sleep(doors.YOUNG_S)
        for number in range(100):
            text = str(number).encode()
            assert await channel.unary_unary("/T/One")(text, timeout=5) == text
