"""A node's direct door: what strangers do to its port while a client with a ticket streams."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

import mesh
from mesh.doors.calls import YOUNG_S
from tests.hostile.strangers import crowd
from tests.integration.test_direct_process import PROMPT, fleet, warm_direct

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Row:
    """``calls``: opened over one connection, and nothing said; ``connections``: as in ``crowd``."""

    what: str
    calls: int = 0
    connections: int = 0
    saying: bytes = b""


ROWS = (
    Row("idle calls, more than there may be", calls=300),
    Row("idle calls, many times more", calls=2000),
    Row("silent connections", connections=500),
    Row("a preface and nothing else", connections=500, saying=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
)


async def test_strangers_at_a_direct_door_leave_its_clients_served(tmp_path: Path) -> None:
    async with (
        fleet(tmp_path, one={"words": 8}) as made,
        mesh.connect(made.endpoint) as client,
    ):
        await warm_direct(client)
        address = (await client.fleet()).nodes[0].record.direct_endpoint
        host, _, port = address.rpartition(":")
        for row in ROWS:
            async with grpc.aio.insecure_channel(address) as channel:
                opened = [
                    channel.stream_stream("/mesh.v1.Direct/Generate")() for _ in range(row.calls)
                ]
                await asyncio.sleep(YOUNG_S + 0.2 if row.calls else 0.0)
                context = crowd((host, int(port)), row.connections, saying=row.saying)
                with context:
                    for _ in range(5):
                        async with client.generate(PROMPT, direct=True, timeout_s=10) as answer:
                            assert (await answer.text()).startswith("tok0 "), row.what
                    async with mesh.connect(made.endpoint) as other:
                        await warm_direct(other)
                for call in opened:
                    call.cancel()
        assert "Traceback" not in (tmp_path / "one.log").read_text()
