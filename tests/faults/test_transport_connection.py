"""Connections that break or fall silent, over each wire that has connections."""

from __future__ import annotations

import asyncio
import time

import pytest

from mesh.errors import NodeLost
from mesh.transport.base import Attempt, Sink
from tests.transport_rig import (
    DEADLINE_S,
    END,
    PATIENT,
    Rig,
    attempt,
    counting,
    read,
    tokens,
    until,
)
from training.rigs.tcp_proxy import TcpProxy

pytestmark = pytest.mark.timeout(60)
BOTH = pytest.mark.parametrize(("wire", "scheme"), [("zeromq", "tcp"), ("grpc", "grpc")])


@BOTH
async def test_a_connection_that_breaks_is_seen_at_once_at_both_ends(
    wire: str, scheme: str
) -> None:
    cancelled = asyncio.Event()

    async def handle(asked: Attempt, sink: Sink) -> None:
        try:
            await sink.send(tokens(0))
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Rig(wire, PATIENT) as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(handle)
        async with TcpProxy(listener.endpoint.removeprefix(f"{scheme}://")) as proxy:
            dialed = await rig.dialed(f"{scheme}://{proxy.endpoint}")
            stream = dialed.link.open(attempt())
            await anext(stream)
            began = time.monotonic()
            await proxy.cut()
            with pytest.raises(NodeLost):
                await anext(stream)
            await cancelled.wait()
            assert time.monotonic() - began < PATIENT.peer_timeout_s / 3
            await proxy.heal()
            await until(lambda: dialed.link.up)
            assert dialed.ups == [True, False, True]


@BOTH
async def test_a_connection_that_falls_silent_is_replaced_by_a_fresh_one(
    wire: str, scheme: str
) -> None:
    async with Rig(wire) as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(counting(5))
        async with TcpProxy(listener.endpoint.removeprefix(f"{scheme}://")) as proxy:
            dialed = await rig.dialed(f"{scheme}://{proxy.endpoint}")
            proxy.freeze()
            await until(lambda: dialed.ups == [True, False, True])
            assert (await read(dialed.link.open(attempt()))).last == END
