"""Real processes that are killed, stopped, drained and left: every answer is whole, and every slot
comes back. Several orchestrators on one fleet."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import mesh
from mesh import Assigned, Client, Done, Tokens
from mesh.errors import MeshError
from tests.etcd import EtcdServer
from tests.integration.test_tracing import START_S, free_port, process
from tests.mesh.fakes import ROUTER, RULES, text_of

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

WORDS = 100
READY_S = 60.0  # all processes of a fleet import at once, beside whatever else runs here


def whole(words: int = WORDS) -> str:
    return "".join(f"tok{index} " for index in range(words))


@dataclass
class Fleet:
    """``orchestrators`` and ``nodes``: the processes; the same order as their endpoints, names."""

    folder: Path
    etcd: str
    running: AsyncExitStack
    endpoints: list[str]
    orchestrators: list[Any]
    nodes: dict[str, Any]

    async def orchestrator(self, name: str, **changes: Any) -> None:
        (self.folder / "rules.toml").write_text(RULES)
        endpoint = f"127.0.0.1:{free_port()}"
        given = {
            "name": name,
            "state_dir": str(self.folder / name),
            "etcd": self.etcd,
            "bind": endpoint,
            "rules": str(self.folder / "rules.toml"),
            "router": ROUTER,
        }
        self.endpoints.append(endpoint)
        self.orchestrators.append(await self._start("orchestrator", name, given | changes))

    async def node(self, name: str, *, slots: int = 4, **options: Any) -> None:
        model = {
            "source": "simulated",
            "id": "sim",
            "engine": "simulated",
            "specialties": ["math"],
            "slots": slots,
            "options": {"words": WORDS, "base_ms": 10} | options,
        }
        given = {
            "name": name,
            "state_dir": str(self.folder / name),
            "etcd": self.etcd,
            "models": [model],
        }
        self.nodes[name] = await self._start("node", name, given)

    async def _start(self, module: str, name: str, given: dict[str, Any]) -> Any:
        log = self.folder / f"{name}.log"
        return await self.running.enter_async_context(
            process("-m", module, json.dumps(given), log=log)
        )

    async def ready(self, nodes: int) -> None:
        """Every orchestrator would use so many nodes."""
        try:
            async with asyncio.timeout(READY_S):
                for endpoint in self.endpoints:
                    await self._ready(endpoint, nodes)
        except TimeoutError:
            raise AssertionError(f"not ready within {READY_S:g} s: {self._said()}") from None

    async def _ready(self, endpoint: str, nodes: int) -> None:
        while True:
            ended = [each for each in self.orchestrators if each.returncode is not None]
            assert len(ended) < len(self.orchestrators), f"no orchestrator lives: {self._said()}"
            try:
                async with mesh.connect(endpoint) as client:
                    while await usable(client) < nodes:  # noqa: ASYNC110 (a remote state)
                        await asyncio.sleep(0.02)
                    return
            except MeshError:
                await asyncio.sleep(0.05)

    def _said(self) -> str:
        return " | ".join(
            f"{log.name}: {log.read_text()[-400:]}" for log in self.folder.glob("*.log")
        )


async def usable(client: Client) -> int:
    return sum(node.link_up and node.record.state == "ready" for node in await client.nodes())


@asynccontextmanager
async def fleet(
    folder: Path, *, orchestrators: int = 1, nodes: int = 2, **given: Any
) -> AsyncIterator[Fleet]:
    async with EtcdServer() as etcd, AsyncExitStack() as running:
        made = Fleet(folder, etcd.endpoint, running, [], [], {})
        for number in range(nodes):
            await made.node("abc"[number], **given)
        for number in range(orchestrators):
            await made.orchestrator(f"o{number}")
        await made.ready(nodes)
        yield made


async def through(events: Any, at: int, act: Callable[[str], None]) -> Sequence[Any]:
    """All events; ``act`` is called with the serving node's name once token ``at`` has come."""
    seen: list[Any] = []
    done = False
    async for event in events:
        seen.append(event)
        if isinstance(event, Tokens) and event.first >= at and not done:
            done = True
            act(next(e.node_name for e in reversed(seen) if isinstance(e, Assigned)))
    return seen


async def test_a_killed_orchestrators_answers_go_on_through_the_other(tmp_path: Path) -> None:
    async with fleet(tmp_path, orchestrators=2) as made:

        def kill(_: str) -> None:
            made.orchestrators[0].kill()

        def watch(_: str) -> None:
            pass

        async with mesh.connect(made.endpoints) as client, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(through(client.events("1 + 1"), 30, act))
                for act in (kill, watch, watch, watch)
            ]
        for task in tasks:
            done = task.result()[-1]
            assert isinstance(done, Done)
            assert text_of(task.result()) == whole()
            assert (done.resumed, done.completion_tokens) == (True, WORDS)
            assert done.resumes[0].reason == "unreachable"


def _kill_runner(agent: int) -> None:
    (runner,) = [
        child for child in psutil.Process(agent).children() if "node.runner" in child.cmdline()
    ]
    runner.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("how", ["agent killed", "agent stopped", "runner killed"])
async def test_an_answer_goes_on_whatever_part_of_its_node_is_gone(
    tmp_path: Path, how: str
) -> None:
    async with fleet(tmp_path) as made:

        def act(name: str) -> None:
            pid = made.nodes[name].pid
            match how:
                case "agent killed":
                    os.kill(pid, signal.SIGKILL)
                case "agent stopped":
                    os.kill(pid, signal.SIGSTOP)
                case _:
                    _kill_runner(pid)

        async with mesh.connect(made.endpoints[0]) as client:
            try:
                seen = await through(client.events("1 + 1"), 30, act)
            finally:
                for child in made.nodes.values():
                    if child.returncode is None:
                        child.send_signal(signal.SIGCONT)
        done = seen[-1]
        assert text_of(seen) == whole()
        (resume,) = done.resumes
        assert resume.reason == ("engine_failed" if how == "runner killed" else "node_lost")
        assert resume.from_node != resume.to_node
        assert resume.gap_ms < 10_000, "the bars are in benchmarks/failover.py"


async def test_a_draining_node_hands_over_what_outlasts_its_drain(tmp_path: Path) -> None:
    """The second signal ends the drain at once, as its end does."""
    async with fleet(tmp_path, base_ms=40) as made:
        victim: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def drain(name: str) -> None:
            made.nodes[name].terminate()
            victim.set_result(name)

        async def hurry() -> None:
            name = await victim
            log = made.folder / f"{name}.log"
            async with asyncio.timeout(START_S):
                while "draining: 1 attempts left" not in log.read_text():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            made.nodes[name].terminate()

        async with (
            mesh.connect(made.endpoints[0]) as client,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(hurry())
            seen = await through(client.events("1 + 1"), 30, drain)
    assert text_of(seen) == whole()
    (resume,) = seen[-1].resumes
    assert (resume.from_node, resume.reason) == (victim.result(), "draining")
    assert resume.gap_ms < 5_000


async def _used(client: Client, slots: int) -> None:
    """Returns once so many slots are in use, by the nodes' heartbeats."""
    async with asyncio.timeout(START_S):
        while sum(m.used_slots for n in await client.nodes() for m in n.record.models) != slots:  # noqa: ASYNC110
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
async def test_a_client_that_leaves_frees_the_slot_within_100_ms(
    tmp_path: Path, phase: str
) -> None:
    """Also between two batches of a prefill that would take 10 s. The best of several tries is held
    against the bar: tests share their machine."""
    slow = {"prefill_ms_per_token": 5.0, "batch": 4} if phase == "prefill" else {}
    prompt = "1 + 1 " + "and " * 2000
    async with (
        fleet(tmp_path, nodes=1, slots=2, **slow) as made,
        mesh.connect(made.endpoints[0]) as client,
        mesh.connect(made.endpoints[0]) as eye,
    ):
        took = []
        for _ in range(6):
            events = client.events(prompt if phase == "prefill" else "1 + 1")
            wanted = Assigned if phase == "prefill" else Tokens
            async for event in events:
                if isinstance(event, wanted):
                    break
            await _used(eye, 1)
            begun = time.monotonic()
            await events.aclose()
            await _used(eye, 0)
            took.append(time.monotonic() - begun)
    assert min(took) < 0.1, f"{[round(1000 * each) for each in took]} ms"
    assert max(took) < 2.0


async def test_orchestrators_share_few_slots_and_nothing_fails(tmp_path: Path) -> None:
    async with fleet(tmp_path, orchestrators=2, nodes=2, slots=2, base_ms=2) as made:

        async def client_of(endpoint: str) -> list[str]:
            async with mesh.connect(endpoint, timeout_s=60) as client, asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(client.generate("1 + 1", max_tokens=20).text())
                    for _ in range(30)
                ]
            return [task.result() for task in tasks]

        async with asyncio.TaskGroup() as group:
            both = [group.create_task(client_of(endpoint)) for endpoint in made.endpoints]
        assert {text for task in both for text in task.result()} == {whole(20)}
        async with mesh.connect(made.endpoints[0]) as client:
            assert await usable(client) == 2, "a refusal for load sets no node aside"


async def test_a_request_waits_for_a_model_that_is_loading(tmp_path: Path) -> None:
    async with EtcdServer() as etcd, AsyncExitStack() as running:
        made = Fleet(tmp_path, etcd.endpoint, running, [], [], {})
        await made.orchestrator("o0")
        await made.ready(0)
        await made.node("a", load_ms=1500)
        async with mesh.connect(made.endpoints[0]) as client:
            async with asyncio.timeout(START_S):
                while not await client.nodes():  # noqa: ASYNC110 (a remote state)
                    await asyncio.sleep(0.02)
            assert await client.generate("1 + 1", max_tokens=5).text() == whole(5)
