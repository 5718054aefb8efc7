"""The data plane's door, at a real node that may have 1,024 files: what strangers do to its port,
and what must hold meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from mesh.doors.crowd import GREETING_S
from mesh.fleet.records import TRANSPORTS, NodeState
from mesh.transport.address import split
from mesh.transport.base import Finished
from tests.etcd import EtcdServer
from tests.hostile.strangers import crowd, hung_up, limited
from tests.node_fakes import attempt, until
from tests.node_process_rig import linked, model, node, watching

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Row:
    """``goes``: at least so many of them are hung up, in ``within_s``."""

    what: str
    count: int
    of: str
    saying: bytes
    goes: int
    within_s: float


ROWS = (
    Row("silent ones, more than there are files", 1100, "127.0.0.1", b"", 1100, 15 + GREETING_S),
    Row("half a greeting each, from elsewhere", 1100, "127.0.0.2", b"\xff", 860, 15.0),
    Row("HTTP", 300, "127.0.0.3", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 60, 15.0),
)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_node_with_few_files_outlives_strangers_and_serves(
    tmp_path: Path, transport: str
) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint, models=[model(words=8)], transport=transport) as agent,
    ):
        limited(agent.pid)
        record = await seen.state(agent.pid, NodeState.READY, 30.0)
        there = split(record.endpoint)
        before = psutil.Process(agent.pid).num_fds()
        async with linked(record) as old:
            for row in ROWS:
                context = crowd(there, row.count, of=row.of, saying=row.saying)
                strangers = await asyncio.to_thread(context.__enter__)
                try:
                    assert isinstance((await old.ask(attempt()))[-1], Finished), row.what
                    gone = await asyncio.to_thread(hung_up, strangers, row.within_s)
                    refused = row.count - len(strangers)
                    assert gone + refused >= row.goes, row.what
                    async with linked(record) as newcomer:
                        assert isinstance((await newcomer.ask(attempt()))[-1], Finished), row.what
                    assert old.link.up, row.what
                finally:
                    context.__exit__(None, None, None)
        record = await seen.state(agent.pid, NodeState.READY)
        await until(lambda: psutil.Process(agent.pid).num_fds() <= before + 8, 20.0)
        assert "Traceback" not in agent.log
        assert "hung up" in agent.log
