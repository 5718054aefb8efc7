"""`mesh rules` as a process, with a real etcd and with orchestrators as far as rules go."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mesh.cli.rules_fleet import RulesRegistry
from mesh.clock import SystemClock
from mesh.errors import ConfigError, RegistryUnavailable
from mesh.fleet.records import OrchestratorRecord, encode_record, rules_version
from mesh.registry.base import ORCHESTRATORS
from mesh.registry.etcd import EtcdRegistry
from mesh.settings.shipped import shipped
from mesh.types import OrchestratorId, Specialty
from orchestrator.router.cascade import Cascade
from orchestrator.router.reload import RulesReloader
from orchestrator.router.rules import alone
from tests.etcd import EtcdServer

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

PREFIX = "/mesh/v1"
COUNT = shipped("rules.toml").read_bytes().count(b"[[rules]]")
RULES = b"[[rules]]\nname = 'sum'\nspecialty = 'math'\npattern = 'sum'\n"


async def _mesh(etcd: EtcdServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`mesh rules ...` in a process of its own."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "mesh.cli", "rules", *arguments, "--etcd", etcd.endpoint],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"COLUMNS": "120"},
    )


async def _names(fleet: RulesRegistry) -> set[str]:
    return {each.name for each in (await fleet.fleet()).orchestrators}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_STATE_DIR", str(tmp_path / "state"))


@asynccontextmanager
async def _orchestrator(etcd: EtcdServer, name: str) -> AsyncIterator[RulesReloader]:
    """As far as rules go: the record, the watch on the key, and the version announced again."""
    clock = SystemClock()
    registry = EtcdRegistry(
        etcd.endpoint, prefix=PREFIX, lease_ttl_s=3, clock=clock, rng=random.Random(1)
    )

    def announce(cascade: Cascade) -> None:
        record = OrchestratorRecord(
            id=OrchestratorId(name),
            instance=name,
            name=name,
            host="box",
            pid=1,
            endpoint="127.0.0.1:7700",
            rules_version=cascade.rules_version,
            rules=reloader.status,
        )
        registry.announce(f"{ORCHESTRATORS}{name}", encode_record(record))

    reloader = RulesReloader(
        fallback=Specialty("chat"),
        clock=clock,
        arrange=alone,
        registry=registry,
        on_change=announce,
    )
    await reloader.open()
    announce(reloader.current)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(registry.run()), tasks.create_task(reloader.run())]
        try:
            async with asyncio.timeout(20):
                fleet = RulesRegistry(etcd.endpoint, PREFIX)
                while name not in await _names(fleet):  # noqa: ASYNC110 - another process's doing
                    await asyncio.sleep(0.05)
            yield reloader
        finally:
            for task in running:
                task.cancel()


async def test_pushed_rules_are_used_by_the_whole_fleet_until_they_are_dropped(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(RULES)
    async with (
        EtcdServer() as etcd,
        _orchestrator(etcd, "one") as first,
        _orchestrator(etcd, "two") as second,
    ):
        before = first.version
        asked = await _mesh(etcd, "push", str(path))
        assert (asked.returncode, first.version) == (2, before)
        assert f"1 rule takes the place of {COUNT}: {COUNT} removed (" in asked.stderr
        assert "nothing was changed: this removes rules that are in use; say --yes" in asked.stderr
        done = await _mesh(etcd, "push", str(path), "--yes")
        assert done.returncode == 0, done.stderr
        assert "in use by all 2 orchestrators" in done.stdout
        assert first.version == second.version == rules_version(RULES)
        shown = json.loads((await _mesh(etcd, "show", "--json")).stdout)
        assert shown["registry"] == {"version": rules_version(RULES), "bytes": len(RULES)}
        assert [each["version"] for each in shown["orchestrators"]] == [rules_version(RULES)] * 2
        table = (await _mesh(etcd, "show")).stdout
        assert table.count(rules_version(RULES)) == 3
        assert (await _mesh(etcd, "pull")).stdout.encode() == RULES
        copy = tmp_path / "copy.toml"
        assert (await _mesh(etcd, "pull", str(copy))).returncode == 0
        assert copy.read_bytes() == RULES
        assert (await _mesh(etcd, "drop")).stdout == "removed\n"
        async with asyncio.timeout(20):
            while {first.version, second.version} != {before}:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
        assert (await _mesh(etcd, "drop")).stdout == "there were none\n"
        gone = await _mesh(etcd, "pull")
        assert (gone.returncode, gone.stdout) == (2, "")
        assert "the registry has no rules" in gone.stderr


async def test_rules_with_errors_never_reach_the_registry(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(RULES.replace(b"'sum'\n", b"'sum(?=x)'\n"))
    async with EtcdServer() as etcd:
        done = await _mesh(etcd, "push", str(path))
        assert done.returncode == 1
        assert "look-ahead" in done.stderr
        assert await RulesRegistry(etcd.endpoint, PREFIX).get() is None


async def test_an_orchestrator_that_does_not_follow_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(RULES)
    async with EtcdServer() as etcd:
        stuck = OrchestratorRecord(
            id=OrchestratorId("old"),
            instance="old",
            name="old",
            host="box",
            pid=1,
            endpoint="127.0.0.1:7700",
            rules_version="0123456789ab",
        )
        clock = SystemClock()
        registry = EtcdRegistry(
            etcd.endpoint, prefix=PREFIX, lease_ttl_s=3, clock=clock, rng=random.Random(1)
        )
        await registry.put(f"{ORCHESTRATORS}old", encode_record(stuck))
        await registry.put(f"{ORCHESTRATORS}broken", b"not a record")
        done = await _mesh(etcd, "push", str(path), "--yes", "--wait", "0.5")
        assert done.returncode == 1
        assert "old at 127.0.0.1:7700 still uses 0123456789ab" in done.stderr
        assert "not the registry's" in (await _mesh(etcd, "show")).stdout


async def test_without_a_registry_it_is_one_line_and_exit_code_4() -> None:
    async with EtcdServer(start=False) as etcd:
        done = await _mesh(etcd, "show")
        assert done.returncode == 4
        assert done.stderr.startswith("mesh: etcd at 127.0.0.1:")
        with pytest.raises(RegistryUnavailable):
            await RulesRegistry(etcd.endpoint, PREFIX).get()


async def test_the_first_endpoint_that_answers_is_used() -> None:
    async with EtcdServer(start=False) as away, EtcdServer() as etcd:
        registry = RulesRegistry(f"{away.endpoint},{etcd.endpoint}", PREFIX)
        await registry.put(RULES)
        assert await registry.get() == RULES


async def test_rules_that_are_too_large_for_the_registry_are_refused() -> None:
    async with EtcdServer() as etcd:
        with pytest.raises(ConfigError, match="make it smaller"):
            await RulesRegistry(etcd.endpoint, PREFIX).put(b"#" * 8_000_000)
