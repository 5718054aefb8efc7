"""Raw floors: a bare gRPC stream and a bare ZeroMQ round trip, each server in its own process.

Run by the other benchmarks in the same run as what they are compared with; alone:
``python -m benchmarks.floors``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import zmq

from benchmarks.figures import Row, show, spread

METHOD = "/floor/Stream"


def _pass_through(data: bytes) -> bytes:
    return data


async def serve_grpc() -> None:
    """A server stream of N small messages: the least that any gRPC answer costs."""

    async def stream(request: bytes, context: object) -> AsyncIterator[bytes]:
        for _ in range(int(request)):
            yield b"x" * 16

    handler = grpc.unary_stream_rpc_method_handler(
        stream, request_deserializer=_pass_through, response_serializer=_pass_through
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("floor", {"Stream": handler}),)
    )
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


def serve_zeromq() -> None:
    """A ROUTER that echoes: the least that any ZeroMQ exchange costs."""
    socket = zmq.Context.instance().socket(zmq.ROUTER)
    print(socket.bind_to_random_port("tcp://127.0.0.1"), flush=True)
    while True:
        socket.send_multipart(socket.recv_multipart())


@asynccontextmanager
async def server(kind: str) -> AsyncIterator[int]:
    """Starts ``serve_<kind>`` in a process of its own and yields its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.floors", kind, stdout=asyncio.subprocess.PIPE
    )
    try:
        if process.stdout is None:
            raise RuntimeError("no pipe to the floor's server")
        async with asyncio.timeout(20):
            yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


async def grpc_first_message_ms(port: int, rounds: int) -> list[float]:
    """Milliseconds from call to first message, on one warm channel, one call at a time."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_stream(METHOD, _pass_through, _pass_through)
        times = []
        for round_ in range(rounds + 20):
            start = time.perf_counter()
            stream = call(b"1")
            await stream.read()
            if round_ >= 20:
                times.append((time.perf_counter() - start) * 1e3)
            while await stream.read() is not grpc.aio.EOF:
                pass
        return times


async def grpc_messages_per_second(port: int, messages: int) -> float:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_stream(METHOD, _pass_through, _pass_through)
        start = time.perf_counter()
        count = 0
        async for _ in call(str(messages).encode()):
            count += 1
        return count / (time.perf_counter() - start)


def zeromq_round_trip_ms(port: int, rounds: int) -> list[float]:
    """Milliseconds for one small message there and back on a blocking DEALER."""
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(f"tcp://127.0.0.1:{port}")
    times = []
    for round_ in range(rounds + 50):
        start = time.perf_counter()
        socket.send_multipart([b"x" * 16])
        socket.recv_multipart()
        if round_ >= 50:
            times.append((time.perf_counter() - start) * 1e3)
    socket.close()
    return times


async def measure() -> list[Row]:
    rows = []
    async with asyncio.timeout(60):
        async with server("grpc") as port:
            rows.append(
                Row(
                    "bare gRPC stream, first message",
                    spread(await grpc_first_message_ms(port, 300), "ms"),
                )
            )
            rate = await grpc_messages_per_second(port, 20_000)
            rows.append(Row("bare gRPC stream, one stream", f"{rate:,.0f} messages/s"))
        async with server("zeromq") as port:
            times = await asyncio.to_thread(zeromq_round_trip_ms, port, 1000)
            rows.append(Row("bare ZeroMQ round trip", spread(times, "ms", 3)))
    return rows


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["grpc"]:
            asyncio.run(serve_grpc())
        case ["zeromq"]:
            serve_zeromq()
        case _:
            show("Raw floors", asyncio.run(measure()))
