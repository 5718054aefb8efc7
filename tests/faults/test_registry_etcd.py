"""What the registry does when etcd is away, silent, empty, full, or has forgotten."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aetcd
import pytest
import uvloop

from mesh.clock import SystemClock
from mesh.errors import RegistryUnavailable
from mesh.registry.base import Delete, Put
from mesh.registry.etcd import EtcdRegistry
from tests.etcd import EtcdServer
from tests.registry import Watched, eventually, record, running, watching
from training.rigs.tcp_proxy import TcpProxy

pytestmark = pytest.mark.processes

TTL_S = 2.0
NOTICED_S = (
    3.0  # a dead connection is noticed within two thirds of a lease; and some for a slow box
)


@pytest.fixture
async def etcd() -> AsyncIterator[EtcdServer]:
    async with EtcdServer() as server:
        yield server


def registry_at(endpoint: str) -> EtcdRegistry:
    return EtcdRegistry(
        endpoint,
        prefix="/mesh/v1",
        lease_ttl_s=TTL_S,
        clock=SystemClock(),
        rng=random.Random(7),
    )


@asynccontextmanager
async def client_of(server: EtcdServer) -> AsyncIterator[aetcd.Client]:
    host, port = server.endpoint.split(":")
    async with aetcd.Client(host, int(port), timeout=5) as client:
        yield client


@contextmanager
def killable(server: EtcdServer, instance: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that announces ``nodes/a``."""
    script = (
        "import asyncio, random\n"
        "from mesh.clock import SystemClock\n"
        "from mesh.registry.etcd import EtcdRegistry\n"
        f"registry = EtcdRegistry({server.endpoint!r}, prefix='/mesh/v1', lease_ttl_s={TTL_S},"
        " clock=SystemClock(), rng=random.Random())\n"
        f"registry.announce('nodes/a', {record(instance)!r}, owner={instance!r})\n"
        "asyncio.run(registry.run())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


async def test_etcd_absent_at_start_and_coming_later_is_normal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "mesh.registry")
    async with EtcdServer(start=False) as etcd:
        registry = registry_at(etcd.endpoint)
        registry.announce("nodes/a", record("i1"), owner="i1")
        async with running(registry) as (task,), watching(registry, "nodes/") as seen:
            await eventually(lambda: bool(caplog.records))
            with pytest.raises(RegistryUnavailable, match=etcd.endpoint):
                await registry.put("config/rules", b"")
            await asyncio.sleep(1)  # many attempts
            assert not registry.connected
            assert not task.done()
            assert seen.batches == []
            (line,) = caplog.messages
            assert etcd.endpoint in line
            assert "Connection refused" in line
            await etcd.start()
            await seen.holds({"nodes/a": record("i1")})
            assert registry.connected
    assert len(caplog.messages) == 2
    assert "connected to etcd" in caplog.messages[1]


async def test_a_restart_with_its_data_is_not_visible_in_a_watch(etcd: EtcdServer) -> None:
    await _restart_is_invisible(etcd)


def test_a_restart_with_its_data_is_not_visible_in_a_watch_on_uvloop() -> None:
    async def on_uvloop() -> None:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        async with EtcdServer() as etcd:
            await _restart_is_invisible(etcd)

    uvloop.run(on_uvloop())


async def _restart_is_invisible(etcd: EtcdServer) -> None:
    registry = registry_at(etcd.endpoint)
    registry.announce("nodes/a", record("i1"), owner="i1")
    async with running(registry), watching(registry, "") as seen:
        await registry.put("config/rules", b"1")
        await seen.holds({"nodes/a": record("i1"), "config/rules": b"1"})
        before = len(seen.changes)
        for end in (etcd.stop, etcd.kill):
            await end()
            await etcd.start()
        await eventually(lambda: registry.connected)
        await registry.put("config/rules", b"2")
        await seen.holds({"nodes/a": record("i1"), "config/rules": b"2"})
        assert seen.changes[before:] == [Put("config/rules", b"2")]


async def test_lost_data_is_announced_again_and_what_is_gone_is_deleted(etcd: EtcdServer) -> None:
    registry = registry_at(etcd.endpoint)
    registry.announce("nodes/a", record("i1"), owner="i1")
    async with running(registry), watching(registry, "") as seen:
        await registry.put("config/rules", b"1")
        await seen.holds({"nodes/a": record("i1"), "config/rules": b"1"})
        await etcd.kill()
        etcd.wipe()
        await etcd.start()
        await eventually(lambda: Delete("config/rules") in seen.changes)
        await seen.holds({"nodes/a": record("i1")})


async def test_lost_data_is_noticed_though_the_new_revisions_have_overtaken_the_old(
    etcd: EtcdServer,
) -> None:
    async with TcpProxy(etcd.endpoint) as proxy:
        reader, writer = registry_at(proxy.endpoint), registry_at(etcd.endpoint)
        async with running(reader), watching(reader, "config/") as seen:
            await writer.put("config/old", b"1")
            await seen.holds({"config/old": b"1"})
            await proxy.cut()
            await etcd.kill()
            etcd.wipe()
            await etcd.start()
            for number in range(20):  # a resume after revision 3 or so would miss the first ones
                await writer.put(f"config/{number}", b"new")
            await proxy.heal()
            await seen.holds({f"config/{number}": b"new" for number in range(20)})


async def test_after_a_cut_the_watch_resumes_without_a_gap(etcd: EtcdServer) -> None:
    async with _cut_reader(etcd) as (proxy, writer, seen):
        await _write_while_cut(writer)
        await proxy.heal()
        await seen.holds({"config/kept": b"2"})
    assert seen.changes[-3:] == [
        Put("config/passing", b"1"),  # a snapshot would not have shown this one
        Put("config/kept", b"2"),
        Delete("config/passing"),
    ]


async def test_compacted_while_cut_off_the_watch_yields_only_what_differs(
    etcd: EtcdServer,
) -> None:
    async with _cut_reader(etcd) as (proxy, writer, seen):
        before = len(seen.changes)
        await _write_while_cut(writer)
        async with client_of(etcd) as client:
            revision = (await client.get(b"/mesh/v1/config/kept")).header.revision
            await client.compact(revision)
        await proxy.heal()
        await seen.holds({"config/kept": b"2"})
    assert seen.changes[before:] == [Put("config/kept", b"2")]


@asynccontextmanager
async def _cut_reader(etcd: EtcdServer) -> AsyncIterator[tuple[TcpProxy, EtcdRegistry, Watched]]:
    async with TcpProxy(etcd.endpoint) as proxy:
        reader, writer = registry_at(proxy.endpoint), registry_at(etcd.endpoint)
        async with running(reader, writer), watching(reader, "config/") as seen:
            await writer.put("config/kept", b"1")
            await seen.holds({"config/kept": b"1"})
            await proxy.cut()
            yield proxy, writer, seen


async def _write_while_cut(writer: EtcdRegistry) -> None:
    await eventually(lambda: writer.connected)
    async with watching(writer, "config/") as beside:
        await writer.put("config/passing", b"1")
        await writer.put("config/kept", b"2")
        writer.withdraw("config/passing")
        await beside.holds({"config/kept": b"2"})


async def test_a_connection_that_falls_silent_is_replaced(etcd: EtcdServer) -> None:
    async with TcpProxy(etcd.endpoint) as proxy:
        registry, writer = registry_at(proxy.endpoint), registry_at(etcd.endpoint)
        async with running(registry), watching(registry, "config/") as seen:
            await seen.holds({})
            await eventually(lambda: proxy.connections >= 2)
            proxy.freeze()
            await writer.put("config/rules", b"1")
            assert await seen.holds({"config/rules": b"1"}) < NOTICED_S
            await eventually(lambda: registry.connected)


async def test_a_quiet_watch_on_a_healthy_etcd_keeps_its_connection(etcd: EtcdServer) -> None:
    async with TcpProxy(etcd.endpoint) as proxy:
        registry = registry_at(proxy.endpoint)
        async with running(registry), watching(registry, "config/") as seen:
            await seen.holds({})
            await asyncio.sleep(TTL_S * 1.5)  # more than twice what would be taken for death
            assert proxy.accepted == 2  # the session's and the watch's


async def test_a_stopped_etcd_is_noticed_and_taken_up_again(etcd: EtcdServer) -> None:
    registry = registry_at(etcd.endpoint)
    registry.announce("nodes/a", record("i1"), owner="i1")
    async with running(registry), watching(registry, "nodes/") as seen:
        await seen.holds({"nodes/a": record("i1")})
        etcd.pause()
        assert await eventually(lambda: not registry.connected) < NOTICED_S
        registry.announce("nodes/a", record("i1", newer=True), owner="i1")
        assert seen.state == {"nodes/a": record("i1")}  # the last view stands
        await asyncio.sleep(TTL_S)  # longer than the lease
        etcd.resume()
        await seen.holds({"nodes/a": record("i1", newer=True)})
        assert registry.connected


async def test_leaving_a_stopped_etcd_is_bounded(etcd: EtcdServer) -> None:
    registry = registry_at(etcd.endpoint)
    registry.announce("nodes/a", record("i1"), owner="i1")
    async with watching(registry, "nodes/") as seen:
        async with running(registry):
            await seen.holds({"nodes/a": record("i1")})
            etcd.pause()
            start = time.monotonic()
        assert time.monotonic() - start < 3
        etcd.resume()


async def test_a_killed_process_is_gone_within_its_lease(etcd: EtcdServer) -> None:
    registry = registry_at(etcd.endpoint)
    async with running(registry), watching(registry, "nodes/") as seen:
        with killable(etcd, "i1") as process:
            await seen.holds({"nodes/a": record("i1")})
            os.kill(process.pid, signal.SIGKILL)
            assert await seen.holds({}) <= TTL_S + 1


async def test_a_process_killed_and_started_again_takes_its_key_back_without_an_error(
    etcd: EtcdServer,
) -> None:
    observer, successor = registry_at(etcd.endpoint), registry_at(etcd.endpoint)
    successor.announce("nodes/a", record("i2"), owner="i2")
    async with running(observer), watching(observer, "nodes/") as seen:
        with killable(etcd, "i1") as process:
            await seen.holds({"nodes/a": record("i1")})
            os.kill(process.pid, signal.SIGKILL)
            async with running(successor) as (task,):
                assert await seen.holds({"nodes/a": record("i2")}) <= TTL_S + 1.5
                assert not task.done()


async def test_a_full_etcd_is_said_once_and_written_to_when_there_is_room(
    etcd: EtcdServer, caplog: pytest.LogCaptureFixture
) -> None:
    registry = registry_at(etcd.endpoint)
    registry.announce("nodes/a", b"1")
    async with running(registry), watching(registry, "nodes/") as seen, client_of(etcd) as client:
        await seen.holds({"nodes/a": b"1"})
        await client.create_alarm()  # "no space": what etcd does to itself at its quota
        registry.announce("nodes/a", b"2")
        await eventually(lambda: "space exceeded" in caplog.text)
        await asyncio.sleep(2.5)  # one more try
        assert caplog.text.count("space exceeded") == 1
        assert registry.connected  # it answers, after all
        await client.disarm_alarm()
        await seen.holds({"nodes/a": b"2"})


async def test_with_several_endpoints_the_next_one_serves_when_one_is_gone(
    etcd: EtcdServer,
) -> None:
    async with TcpProxy(etcd.endpoint) as first, TcpProxy(etcd.endpoint) as second:
        registry = registry_at(f"{first.endpoint},{second.endpoint}")
        registry.announce("nodes/a", record("i1"), owner="i1")
        async with running(registry), watching(registry, "") as seen:
            await seen.holds({"nodes/a": record("i1")})
            await first.cut()
            await registry.put("config/rules", b"1")
            await seen.holds({"nodes/a": record("i1"), "config/rules": b"1"})
            await eventually(lambda: second.connections >= 2 and registry.connected)
            assert Delete("nodes/a") not in seen.changes
