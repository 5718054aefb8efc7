"""What the registry leaves in a real etcd."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator

import aetcd
import pytest

from mesh.clock import SystemClock
from mesh.local.etcd import wait_healthy
from mesh.registry.etcd import EtcdRegistry
from tests.etcd import EtcdServer
from tests.registry import eventually, record, running, watching

pytestmark = pytest.mark.processes

KEY = b"/mesh/v1/nodes/a"


@pytest.fixture
async def etcd() -> AsyncIterator[EtcdServer]:
    async with EtcdServer() as server:
        yield server


@pytest.fixture
async def client(etcd: EtcdServer) -> AsyncIterator[aetcd.Client]:
    host, port = etcd.endpoint.split(":")
    async with aetcd.Client(host, int(port), timeout=5) as client:
        yield client


def registry_at(endpoint: str, *, ttl_s: float = 2.0) -> EtcdRegistry:
    return EtcdRegistry(
        endpoint, prefix="/mesh/v1", lease_ttl_s=ttl_s, clock=SystemClock(), rng=random.Random(5)
    )


async def test_a_record_is_kept_as_written_under_its_lease(
    etcd: EtcdServer, client: aetcd.Client
) -> None:
    registry = registry_at(etcd.endpoint, ttl_s=4)
    registry.announce("nodes/a", record("i1"), owner="i1")
    async with running(registry), watching(registry, "nodes/") as seen:
        await seen.holds({"nodes/a": record("i1")})
        found = await client.get(KEY)
        assert found.value == record("i1")
        info = await client.get_lease_info(found.lease)
        assert info.grantedTTL == 4
        assert list(info.keys) == [KEY]
    assert await client.get(KEY) is None
    assert (await client.get_lease_info(found.lease)).TTL == -1  # revoked, not just left


@pytest.mark.parametrize("owner", [None, "i1"])
async def test_the_same_bytes_are_not_written_again_and_changes_at_most_once_a_second(
    etcd: EtcdServer, client: aetcd.Client, owner: str | None
) -> None:
    registry = registry_at(etcd.endpoint)
    registry.announce("nodes/a", record("i1"), owner=owner)
    async with running(registry), watching(registry, "nodes/") as seen:
        await seen.holds({"nodes/a": record("i1")})
        first = await client.get(KEY)
        for _ in range(50):
            registry.announce("nodes/a", record("i1"), owner=owner)
            await asyncio.sleep(0.03)
        found = await client.get(KEY)
        assert (found.version, found.mod_revision) == (1, first.mod_revision)
        start = time.monotonic()
        for number in range(51):
            registry.announce("nodes/a", record("i1", number=number), owner=owner)
            await asyncio.sleep(0.03)
        await seen.holds({"nodes/a": record("i1", number=50)})
        assert (await client.get(KEY)).version <= 2 + time.monotonic() - start
        assert (await client.get(KEY)).lease == found.lease


async def test_a_snapshot_larger_than_a_grpc_message_by_default_arrives_whole(
    etcd: EtcdServer, client: aetcd.Client
) -> None:
    content = {f"nodes/{number:04}": b"x" * 10_000 for number in range(600)}
    for key, value in content.items():
        await client.put(f"/mesh/v1/{key}".encode(), value)
    registry = registry_at(etcd.endpoint)
    async with running(registry), watching(registry, "nodes/") as seen:
        await seen.holds(content)
        assert len(seen.batches) == 1


async def test_keys_that_are_not_text_are_handed_on_as_what_can_be_shown(
    etcd: EtcdServer, client: aetcd.Client
) -> None:
    await client.put(b"/mesh/v1/nodes/\xff\xfe", b"?")
    registry = registry_at(etcd.endpoint)
    async with running(registry), watching(registry, "nodes/") as seen:
        await seen.holds({"nodes/\\xff\\xfe": b"?"})
        await client.put(b"/mesh/v1/nodes/\xff\xfd", b"?")
        await client.put(KEY, b"1")
        await client.delete(b"/mesh/v1/nodes/\xff\xfe")
        await seen.holds({"nodes/\\xff\\xfd": b"?", "nodes/a": b"1"})


async def test_a_snapshot_larger_than_any_one_message_arrives_whole(
    etcd: EtcdServer, client: aetcd.Client
) -> None:
    """Small values first, so that the page of large ones is too large and is asked for again."""
    large = {f"nodes/b{number:03}": b"x" * 1_000_000 for number in range(40)}
    content = {f"nodes/a{number:03}": b"x" for number in range(500)} | large
    for key, value in content.items():
        await client.put(f"/mesh/v1/{key}".encode(), value)
    registry = registry_at(etcd.endpoint)
    async with running(registry), watching(registry, "nodes/") as seen:
        await seen.holds(content)
        assert len(seen.batches) == 1
        assert registry.shortfall == ""


async def test_what_was_missed_may_be_larger_than_any_one_message(
    etcd: EtcdServer, client: aetcd.Client
) -> None:
    registry, content = registry_at(etcd.endpoint), {}
    async with watching(registry, "nodes/") as seen:
        async with running(registry):
            await seen.holds({})
        operations = client.transactions
        for number in range(40):
            content[f"nodes/{number:03}"] = b"x" * 1_000_000
            key = f"/mesh/v1/nodes/{number:03}".encode()
            await client.transaction([], [operations.put(key, b"x" * 1_000_000)], [])
        async with running(registry):  # resumes from the revision that it had seen
            await seen.holds(content)


async def test_put_needs_no_session(etcd: EtcdServer, client: aetcd.Client) -> None:
    await registry_at(f"127.0.0.1:1,{etcd.endpoint}").put("config/rules", b"rules")
    assert (await client.get(b"/mesh/v1/config/rules")).value == b"rules"


async def test_etcd_is_healthy_soon_after_its_start_and_its_restart() -> None:
    async with EtcdServer(start=False) as etcd:
        for _ in range(2):
            await etcd.start()
            await wait_healthy(f"127.0.0.1:1,{etcd.endpoint}", 5)
            await etcd.stop()


async def test_closing_a_watch_ends_its_stream(etcd: EtcdServer) -> None:
    registry = registry_at(etcd.endpoint)
    async with running(registry):
        await eventually(lambda: registry.connected)
        before = len(asyncio.all_tasks())
        for _ in range(20):
            watch = registry.watch("nodes/")
            assert await anext(watch) == ()
            await watch.aclose()  # type: ignore[attr-defined]
        await eventually(lambda: len(asyncio.all_tasks()) <= before)
