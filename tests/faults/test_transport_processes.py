"""Real processes at the other end: killed, stopped, and gone without a word."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mesh.errors import NodeLost
from mesh.settings.timing import Timing
from mesh.transport.base import Attempt, Sink
from tests.transport_rig import PATIENT, Rig, attempt, tokens, until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]


@pytest.fixture(params=["zeromq", "grpc"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


SHORT = Timing(lease_ttl_s=9, heartbeat_s=0.1, peer_timeout_s=0.8, connect_timeout_s=5)

NODE_PROCESS = """
import asyncio
from tests.transport_rig import NODE, Rig, counting
from mesh.settings.timing import Timing
async def main():
    async with Rig("{kind}", Timing(**{timing})) as rig:
        listener, serving = rig.listen(counting(10**9))
        print(listener.endpoint, flush=True)
        await serving
asyncio.run(main())
"""

PEER_PROCESS = """
import asyncio
from tests.transport_rig import PATIENT, Rig, attempt
from mesh.settings.timing import Timing
async def main():
    async with Rig("{kind}", Timing(**{timing})) as rig:
        dialed = await rig.dialed("{endpoint}")
        streams = [dialed.link.open(attempt()) for _ in range(3)]
        for stream in streams:
            await anext(stream)
        print("open", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@contextmanager
def child(source: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await asyncio.to_thread(process.stdout.readline)).strip()


def fields(timing: Timing) -> str:
    return repr({name: getattr(timing, name) for name in Timing.__slots__})


async def test_a_killed_node_is_lost_long_before_the_peer_timeout(kind: str) -> None:
    with child(NODE_PROCESS.format(kind=kind, timing=fields(PATIENT))) as process:
        endpoint = await line(process)
        async with Rig(kind, PATIENT) as rig:
            dialed = await rig.dialed(endpoint)
            streams = [dialed.link.open(attempt()) for _ in range(20)]
            for stream in streams:
                await anext(stream)
            process.send_signal(signal.SIGKILL)
            began = time.monotonic()
            for stream in streams:
                with pytest.raises(NodeLost):
                    await _exhaust(stream)
            assert time.monotonic() - began < PATIENT.peer_timeout_s / 4
            assert dialed.ups == [True, False]


async def test_a_stopped_node_is_lost_within_the_peer_timeout_and_comes_back(kind: str) -> None:
    with child(NODE_PROCESS.format(kind=kind, timing=fields(SHORT))) as process:
        endpoint = await line(process)
        async with Rig(kind, SHORT) as rig:
            dialed = await rig.dialed(endpoint)
            stream = dialed.link.open(attempt())
            await anext(stream)
            process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            with pytest.raises(NodeLost, match="nothing heard"):
                await _exhaust(stream)
            assert time.monotonic() - began < SHORT.peer_timeout_s + 1
            assert not dialed.link.up
            process.send_signal(signal.SIGCONT)
            await until(lambda: dialed.link.up)
            async with dialed.link.open(attempt()) as again:
                await anext(again)


async def test_a_killed_peer_has_its_handlers_cancelled_at_once(kind: str) -> None:
    running: set[object] = set()

    async def handle(asked: Attempt, sink: Sink) -> None:
        me = object()
        running.add(me)
        try:
            await sink.send(tokens(0))
            await asyncio.Event().wait()
        finally:
            running.discard(me)

    async with Rig(kind, PATIENT) as rig:
        listener, _ = rig.listen(handle)
        other = await rig.dialed(listener.endpoint)
        async with other.link.open(attempt()) as kept:
            await anext(kept)
            source = PEER_PROCESS.format(
                kind=kind, timing=fields(PATIENT), endpoint=listener.endpoint
            )
            with child(source) as process:
                assert await line(process) == "open"
                assert len(running) == 4
                process.send_signal(signal.SIGKILL)
                await until(lambda: len(running) == 1, within_s=PATIENT.peer_timeout_s / 4)
            assert other.link.up


async def test_a_stopped_peer_has_its_handlers_cancelled_within_the_timeout(kind: str) -> None:
    running = 0

    async def handle(asked: Attempt, sink: Sink) -> None:
        nonlocal running
        running += 1
        try:
            await sink.send(tokens(0))
            await asyncio.Event().wait()
        finally:
            running -= 1

    async with Rig(kind, SHORT) as rig:
        listener, _ = rig.listen(handle)
        source = PEER_PROCESS.format(kind=kind, timing=fields(SHORT), endpoint=listener.endpoint)
        with child(source) as process:
            assert await line(process) == "open"
            process.send_signal(signal.SIGSTOP)
            await until(lambda: running == 0, within_s=SHORT.peer_timeout_s + 1)


async def _exhaust(stream: object) -> None:
    async for _ in stream:  # type: ignore[attr-defined]
        pass
