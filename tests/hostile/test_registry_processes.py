"""The registry's door, against real processes: what stands at any key ends nobody and hides nobody,
also when it is there at a start; and what is deleted by hand comes back by itself."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aetcd
import pytest

import mesh
from mesh.local.ports import free_port
from mesh.local.ready import serving
from mesh.stream import FleetStatus
from tests.etcd import EtcdServer
from tests.faults.real_mesh import Box, RealMesh, real_mesh
from tests.hostile.records import DEEP, ROWS

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

WITHIN_S = 45.0
ROOT = "/mesh/v1/"


async def until(fleet_is: Callable[[FleetStatus], object], client: mesh.Client) -> FleetStatus:
    found = None
    try:
        async with asyncio.timeout(WITHIN_S):
            while not fleet_is(found := await client.fleet()):  # noqa: ASYNC110 - others' doing
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not within {WITHIN_S:g} s: {found}") from None
    return found


async def held(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await check():  # noqa: ASYNC110 - other processes' doing
            await asyncio.sleep(0.1)


def serves(status: FleetStatus) -> bool:
    return [each.standing for each in status.nodes if each.link_up] == ["ready"]


async def answers(client: mesh.Client) -> bool:
    return "tok3" in await client.generate("count", specialty="math").text()


async def shown(endpoint: str, columns: int) -> str:
    """As `mesh status` prints it."""
    return await printed("status", "--endpoint", endpoint, columns=columns)


async def printed(*arguments: str, columns: int = 80) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mesh.cli", *arguments),
        env=os.environ | {"COLUMNS": str(columns)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    return out.decode()


async def test_nothing_in_the_registry_ends_or_hides_anybody(tmp_path: Path) -> None:
    async with EtcdServer() as etcd:
        with real_mesh(tmp_path, etcd.endpoint) as real:
            node = real.node("n", words=5, base_ms=1.0)
            first = real.orchestrator("front", free_port())
            boxes = [node, first]
            for box in boxes:
                box.start()
            host, port = etcd.endpoint.split(":")
            await up(real.endpoints[0])
            async with (
                aetcd.Client(host, int(port), timeout=5) as hand,
                mesh.connect(real.endpoints[0]) as client,
            ):
                await until(serves, client)
                before = [box.pid for box in boxes]
                await poisoned(hand, client, real)
                await kept_keys(hand, client)
                assert await answers(client)
                # What would have ended each of them again at every start.
                second = real.orchestrator("second", free_port())
                boxes.append(second)
                second.start()
                await up(real.endpoints[1])
                async with mesh.connect(real.endpoints[1]) as other:
                    await until(serves, other)
                    assert await answers(other)
                assert [box.pid for box in boxes[:2] if alive(box)] == before
                await mended(hand, client)
                await unreachable_and_gone(node, client, real.endpoints[0])
                assert alive(first)
                assert alive(second)


def alive(box: Box) -> bool:
    return box.process is not None and box.process.poll() is None


async def up(endpoint: str) -> None:
    await held(lambda: serving(endpoint))


async def poisoned(hand: aetcd.Client, client: mesh.Client, real: RealMesh) -> None:
    for number, row in enumerate(ROWS):
        await hand.put(f"{ROOT}{row.key}{number}".encode(), row.value)
    await hand.put(f"{ROOT}nodes/".encode() + b"\xff\xfe", b"x")
    await hand.put(f"{ROOT}config/rules".encode(), b"x = " + b"9" * 5_000)
    await hand.put(f"{ROOT}config/rules".encode(), b"x = " + DEEP)
    found = await until(lambda fleet: len(fleet.unreadable) > len(ROWS), client)
    assert serves(found)
    assert await answers(client)
    rules = await printed("rules", "show", "--etcd", real.etcd)
    assert "front" in rules
    assert "left out" in rules
    assert "\x1b[2J" not in rules
    for columns in (40, 200):
        words = await shown(real.endpoints[0], columns)
        assert "ready" in words
        assert "set aside" in " ".join(words.split())


async def kept_keys(hand: aetcd.Client, client: mesh.Client) -> None:
    """Stray values on the processes' own keys, and their keys deleted."""
    found = await client.fleet()
    mine = [f"nodes/{found.nodes[0].record.id}", f"orchestrators/{found.orchestrators[0].id}"]
    for key in (f"{ROOT}{each}".encode() for each in mine):
        good = (await hand.get(key)).value
        lease = (await hand.get(key)).lease

        async def back(key: bytes = key, good: bytes = good, lease: int = lease) -> bool:
            now = await hand.get(key)
            return now is not None and b'"instance"' in now.value and now.lease == lease

        for stray in (b"x", DEEP, b"{}"):
            await hand.put(key, stray)
            await held(back)
        await hand.delete(key)
        await held(back)
    await until(lambda fleet: serves(fleet) and len(fleet.orchestrators) == 1, client)


async def mended(hand: aetcd.Client, client: mesh.Client) -> None:
    await hand.delete_prefix(f"{ROOT}nodes/x".encode())
    await hand.delete_prefix(f"{ROOT}orchestrators/x".encode())
    await until(lambda fleet: len(fleet.unreadable) < 10, client)


async def unreachable_and_gone(node: Box, client: mesh.Client, endpoint: str) -> None:
    node.stop()
    await until(lambda fleet: [e.standing for e in fleet.nodes] == ["unreachable"], client)
    words = await shown(endpoint, 100)
    # Its lease ends meanwhile: a stopped node is gone in the end, and back when it goes on.
    assert re.search(r"^n\s+(unreachable|gone)", words, re.MULTILINE), words
    node.go_on()
    await until(serves, client)
    node.signal(signal.SIGKILL)
    found = await until(lambda fleet: not fleet.nodes, client)
    assert [each.record.name for each in found.gone] == ["n"]
    words = await shown(endpoint, 100)
    assert "gone" in words
    assert "n is gone since" in words
