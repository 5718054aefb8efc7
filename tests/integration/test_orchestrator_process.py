"""``python -m orchestrator``: what it says and how it ends, with real etcd and nodes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

import mesh
from mesh import Done, Tokens
from mesh.cli.rules_fleet import RulesRegistry
from mesh.errors import MeshError, NoCandidate
from mesh.fleet.records import OrchestratorRecord, RulesStatus, rules_version
from tests.etcd import EtcdServer
from tests.integration.test_tracing import START_S, free_port, process, ready
from tests.mesh.fakes import ROUTER, RULES, text_of

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


def settings(folder: Path, etcd: str, **changes: Any) -> str:
    (folder / "rules.toml").write_text(RULES)
    given = {
        "name": "one",
        "state_dir": str(folder),
        "etcd": etcd,
        "rules": str(folder / "rules.toml"),
        "router": ROUTER,
    }
    return json.dumps(given | changes)


def node(folder: Path, etcd: str, name: str) -> str:
    model = {
        "source": "simulated",
        "id": "sim",
        "engine": "simulated",
        "specialties": ["math"],
        "options": {"words": 100, "base_ms": 10},
    }
    return json.dumps({"name": name, "state_dir": str(folder), "etcd": etcd, "models": [model]})


async def connected(endpoint: str) -> mesh.Client:
    """A client, once the orchestrator listens."""
    async with asyncio.timeout(START_S):
        while True:
            client = mesh.connect(endpoint)
            try:
                return await client.__aenter__()
            except MeshError:
                await asyncio.sleep(0.05)


async def announced(client: mesh.Client) -> tuple[OrchestratorRecord, ...]:
    """The orchestrators' records, once there are any."""
    async with asyncio.timeout(START_S):
        while True:
            if listed := (await client.fleet()).orchestrators:
                return listed
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{"], "orchestrator: the settings are not JSON"),
        (["[]"], "orchestrator: the settings must be one JSON object"),
        (['{"name": "x", "colour": 1}'], "unknown key 'colour'"),
        (['{"name": "x", "bind": "0.0.0.0:0"}'], "--insecure"),
        (["--config", "/nowhere/o.toml"], "cannot read /nowhere/o.toml"),
    ],
)
async def test_bad_settings_are_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    log = tmp_path / "log"
    async with process("-m", "orchestrator", *arguments, log=log) as child:
        assert await child.wait() == 2
    assert says in log.read_text()
    assert len(log.read_text().splitlines()) == 1


async def test_a_taken_port_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        log = tmp_path / "log"
        given = settings(tmp_path, "127.0.0.1:1", bind=bind)
        async with process("-m", "orchestrator", given, log=log) as child:
            assert await child.wait() == 2
    lines = [line for line in log.read_text().splitlines() if " INFO " not in line]
    assert len(lines) == 1
    assert f"{bind} is in use" in lines[0]


async def test_it_serves_without_etcd_finds_it_later_and_leaves_no_record(tmp_path: Path) -> None:
    endpoint, log = f"127.0.0.1:{free_port()}", tmp_path / "log"
    async with EtcdServer(start=False) as etcd:
        given = settings(tmp_path, etcd.endpoint, bind=endpoint)
        async with process("-m", "orchestrator", given, log=log) as child:
            client = await connected(endpoint)
            with pytest.raises(NoCandidate, match=f"registry at {etcd.endpoint} is unreachable"):
                await client.generate("1 + 1").text()
            assert not (await client.fleet()).registry_connected
            await etcd.start()
            listed = await announced(client)
            assert [(o.name, o.endpoint, o.pid) for o in listed] == [("one", endpoint, child.pid)]
            await client.aclose()
            child.terminate()
            async with asyncio.timeout(START_S):
                assert await child.wait() == 0
        second = settings(tmp_path, etcd.endpoint, bind=endpoint, name="two")
        async with process("-m", "orchestrator", second, log=log):
            client = await connected(endpoint)
            assert [o.name for o in await announced(client)] == ["two"]
            await client.aclose()


async def test_an_answer_goes_on_from_another_process_when_its_node_is_killed(
    tmp_path: Path,
) -> None:
    endpoint, log = f"127.0.0.1:{free_port()}", tmp_path / "log"
    async with EtcdServer() as etcd, AsyncExitStack() as running:
        given = settings(tmp_path, etcd.endpoint, bind=endpoint)
        await running.enter_async_context(process("-m", "orchestrator", given, log=log))
        children = {
            name: await running.enter_async_context(
                process("-m", "node", node(tmp_path, etcd.endpoint, name), log=tmp_path / name)
            )
            for name in ("a", "b")
        }
        await ready(endpoint, log, nodes=2)
        async with mesh.connect(endpoint) as client:
            generation = client.events("1 + 1")
            events = []
            victim = ""
            async for event in generation:
                events.append(event)
                match event:
                    case Tokens(first=first) if first >= 20 and not victim:
                        victim = next(e.node_name for e in events if hasattr(e, "node_name"))
                        os.kill(children[victim].pid, signal.SIGKILL)
            # Etcd away: what is known goes on being used.
            await etcd.stop()
            assert (await client.generate("1 + 1", max_tokens=3).text()) == "tok0 tok1 tok2 "
        done = events[-1]
        assert isinstance(done, Done)
        assert (done.resumed, done.attempts) == (True, 2)
        assert done.node_name != victim
        assert text_of(events) == "".join(f"tok{i} " for i in range(100))


async def test_rules_that_compile_for_ever_hold_up_neither_newer_ones_nor_the_end(
    tmp_path: Path,
) -> None:
    def gaps(seed: str) -> bytes:
        pattern = "a{0}.{{0,120}}b.{{0,120}}c"
        rule = f"[[rules]]\nname = 'r{{0}}'\nspecialty = 'code'\npattern = '{pattern}'\n"
        return "".join(rule.format(f"{seed}{number}") for number in range(1000)).encode()

    good = b"[[rules]]\nname = 'good'\nspecialty = 'math'\npattern = 'sum'\n"
    async with EtcdServer() as etcd, AsyncExitStack() as stack:
        registry = RulesRegistry(etcd.endpoint, "/mesh/v1")
        endpoint, log = f"127.0.0.1:{free_port()}", tmp_path / "log"
        given = settings(tmp_path, etcd.endpoint, bind=endpoint)
        running = await stack.enter_async_context(process("-m", "orchestrator", given, log=log))
        client = await connected(endpoint)
        stack.push_async_callback(client.aclose)
        await announced(client)
        await registry.put(gaps("x"))
        await _compiling(running.pid)
        await registry.put(good)
        used = await _rules(client, lambda rules: rules.version == rules_version(good))
        assert used == RulesStatus(version=rules_version(good), count=1)
        await registry.put(good.replace(b"sum", b"sum(?=x)"))
        status = await _rules(client, lambda rules: rules.refused is not None)
        assert status.refused is not None
        assert "look-ahead" in status.refused.why
        assert status.version == rules_version(good)
        await registry.put(gaps("y"))
        await _compiling(running.pid)
        running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(3):
            assert await running.wait() == 0


async def _rules(client: mesh.Client, holds: Callable[[RulesStatus], bool]) -> RulesStatus:
    async with asyncio.timeout(START_S):
        while True:
            status = (await announced(client))[0].rules
            if status is not None and holds(status):
                return status
            await asyncio.sleep(0.05)


async def _compiling(parent: int) -> None:
    """Until its compiler is at work."""
    async with asyncio.timeout(START_S):
        while not any(  # noqa: ASYNC110
            "compiler_child" in " ".join(child.cmdline()) and child.cpu_times().user > 0.3
            for child in psutil.Process(parent).children(recursive=True)
        ):
            await asyncio.sleep(0.05)
