"""The floor of a relay: a bare gRPC server that passes every stream on to others, bytes as bytes.

    python -m benchmarks.bare_relay PORT...

No routing, no checks, no credit, no resume: what any relay in this language on this gRPC costs.
Streams go to the ports in turn. It prints its own port when it serves.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import grpc
import uvloop

METHOD = "/mesh.v1.Mesh/Generate"


async def serve(ports: Sequence[int]) -> None:
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}") for port in ports]
    calls = itertools.cycle([channel.unary_stream(METHOD) for channel in channels])

    async def relay(request: bytes, context: Any) -> None:
        call = next(calls)(request, metadata=context.invocation_metadata())
        while (message := await call.read()) is not grpc.aio.EOF:
            await context.write(message)

    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(relay)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("mesh.v1.Mesh", {"Generate": handler}),)
    )
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve([int(port) for port in sys.argv[1:]]))
