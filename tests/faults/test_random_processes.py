"""Random faults on real processes: etcd, two orchestrators, four nodes with the simulated engine.

``FAULT_SEED=n`` chooses what happens and for how long; when exactly, is the machine's to say.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

import mesh
from mesh.errors import BY_CODE, MeshError
from mesh.local.ports import free_port
from mesh.stream import Done, FleetStatus, Tokens
from tests.etcd import EtcdServer
from tests.faults.real_mesh import Box, RealMesh, real_mesh

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

SEED = int(os.environ.get("FAULT_SEED", "1"))
FAULTS = 28
GAP_S = 0.7  # between two faults, in the mean
CLIENTS = 6
WORDS = 120
TIMEOUT_S = 20.0
SLACK_S = 5.0  # the SDK's own, and what a loaded machine takes to say it
RETRY_S = 0.5
START_S = 45.0
# Nothing excuses these.
NEVER = {"internal", "protocol_error", "invalid_request", "not_served", "attempt_failed"}


@dataclass(slots=True)
class Asked:
    """What became of all requests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    defects: list[str] = field(default_factory=list)

    async def one(self, client: mesh.Client) -> bool:
        """One request; whether it was answered."""
        loop = asyncio.get_running_loop()
        begun, received, done = loop.time(), 0, None
        name = uuid.uuid4().hex
        events = client.events(
            "count", specialty="math", max_tokens=4096, timeout_s=TIMEOUT_S, request_id=name
        )
        try:
            async for event in events:
                match event:
                    case Tokens(first=first, pieces=pieces):
                        if first != received:
                            self._defect(name, f"token {first} came where {received} was next")
                        for index, piece in enumerate(pieces, first):
                            if (piece.id, piece.text) != (index, f"tok{index} "):
                                self._defect(name, f"token {index} is {piece}")
                        received = first + len(pieces)
                    case Done():
                        done = event
            if done is None or received != WORDS:
                self._defect(name, f"ended after {received} tokens with {done}")
            self.outcomes["answered"] += 1
            self.resumed += done is not None and done.resumed
        except MeshError as error:
            self.outcomes[f"{error.code}{' in mid-answer' if received else ''}"] += 1
            if error.code in NEVER or type(error) is not BY_CODE.get(error.code):
                self._defect(name, f"ended with {error!r}")
        if loop.time() - begun > TIMEOUT_S + SLACK_S:
            self._defect(name, f"took {loop.time() - begun:.1f} s")
        return done is not None

    def _defect(self, request: str, what: str) -> None:
        self.defects.append(f"request {request}: {what}")


class Chaos:
    """At most two nodes, one orchestrator and etcd are in trouble at a time."""

    def __init__(self, rng: random.Random, real: RealMesh, etcd: EtcdServer) -> None:
        self.rng = rng
        self.real = real
        self.etcd = etcd
        self.done: Counter[str] = Counter()
        self._busy: set[str] = set()
        self._group: asyncio.TaskGroup | None = None

    async def run(self, faults: int) -> None:
        kinds: dict[str, Callable[[], Awaitable[bool]]] = {
            "kill node": self.kill_node,
            "stop node": self.stop_node,
            "drain node": self.drain_node,
            "kill runner": self.kill_runner,
            "stop runner": self.stop_runner,
            "restart etcd": self.restart_etcd,
            "stop etcd": self.stop_etcd,
            "lose etcd": self.lose_etcd,
            "kill orchestrator": self.kill_orchestrator,
        }
        # Each kind at least once, whatever the draw says.
        line = list(kinds)
        self.rng.shuffle(line)
        async with asyncio.TaskGroup() as group:
            self._group = group
            while self.done.total() < faults:
                await asyncio.sleep(self.rng.expovariate(1 / GAP_S))
                name = line[0] if line else self.rng.choice(tuple(kinds))
                if await kinds[name]():
                    self.done[name] += 1
                    if line:
                        line.pop(0)

    def _later(self, name: str, low_s: float, high_s: float, undo: Callable[[], object]) -> None:
        seconds = self.rng.uniform(low_s, high_s)

        async def undone() -> None:
            await asyncio.sleep(seconds)
            result = undo()
            if isinstance(result, Awaitable):
                await result
            self._busy.discard(name)

        if self._group is None:
            raise RuntimeError("faults happen inside run()")
        self._group.create_task(undone())

    def _claim(self, boxes: list[Box], at_most: int) -> Box | None:
        free = [box for box in boxes if box.name not in self._busy]
        if not free or len(boxes) - len(free) >= at_most:
            return None
        box = self.rng.choice(free)
        self._busy.add(box.name)
        return box

    async def kill_node(self) -> bool:
        box = self._claim(self.real.nodes, 2)
        if box is None:
            return False
        await box.kill()
        self._later(box.name, 0.0, 2.0, box.start)
        return True

    async def stop_node(self) -> bool:
        box = self._claim(self.real.nodes, 2)
        if box is None:
            return False
        box.stop()
        self._later(box.name, 0.2, 4.0, box.go_on)
        return True

    async def drain_node(self) -> bool:
        """SIGTERM, at times a second one for no patience."""
        box = self._claim(self.real.nodes, 2)
        if box is None:
            return False
        box.signal(signal.SIGTERM)
        hurry = self.rng.random() < 0.5

        async def again() -> None:
            if hurry:
                box.signal(signal.SIGTERM)
            await box.ended()
            box.start()

        self._later(box.name, 0.1, 1.0, again)
        return True

    async def kill_runner(self) -> bool:
        box = self._claim(self.real.nodes, 2)
        if box is None:
            return False
        for runner in box.runners():
            _tell(runner, signal.SIGKILL)
        self._later(box.name, 0.5, 1.0, lambda: None)
        return True

    async def stop_runner(self) -> bool:
        """The agent lives and says so; its engine stands still."""
        box = self._claim(self.real.nodes, 2)
        if box is None:
            return False
        runners = box.runners()
        for runner in runners:
            _tell(runner, signal.SIGSTOP)

        def going_on() -> None:
            for runner in runners:
                _tell(runner, signal.SIGCONT)

        self._later(box.name, 0.2, 3.0, going_on)
        return True

    async def restart_etcd(self) -> bool:
        if not self._claim_etcd():
            return False
        await self.etcd.kill()
        self._later("etcd", 0.0, 0.2, self.etcd.start)
        return True

    async def stop_etcd(self) -> bool:
        if not self._claim_etcd():
            return False
        self.etcd.pause()
        self._later("etcd", 0.5, 5.0, self.etcd.resume)
        return True

    async def lose_etcd(self) -> bool:
        """For longer than a lease lasts, or shorter."""
        if not self._claim_etcd():
            return False
        await self.etcd.stop()
        self._later("etcd", 2.0, 6.0, self.etcd.start)
        return True

    async def kill_orchestrator(self) -> bool:
        box = self._claim(self.real.orchestrators, 1)
        if box is None:
            return False
        await box.kill()
        self._later(box.name, 0.0, 1.0, box.start)
        return True

    def _claim_etcd(self) -> bool:
        if "etcd" in self._busy:
            return False
        self._busy.add("etcd")
        return True


def _tell(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


async def _asking(asked: Asked, endpoints: list[str], over: asyncio.Event) -> None:
    """One request after the other; the SDK finds an orchestrator that lives."""
    while not over.is_set():
        try:
            async with mesh.connect(endpoints) as client:
                answered = await asked.one(client)
        except MeshError as error:
            asked.outcomes[f"{error.code} at connecting"] += 1
            answered = False
        if not answered:
            # As a client that minds its manners; an orchestrator that came up while etcd is away
            # knows nobody and says so at once.
            await asyncio.sleep(RETRY_S)


async def _whole(endpoint: str, nodes: int) -> None:
    """Returns once that orchestrator uses every node and none of their slots is taken."""
    last: object = "nothing was tried"
    try:
        async with asyncio.timeout(START_S):
            while True:
                try:
                    async with mesh.connect(endpoint) as client:
                        fleet = await client.fleet()
                        last = _seen(fleet)
                        if len(fleet.nodes) == nodes and _idle(fleet):
                            return
                except MeshError as error:
                    last = error.message
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{endpoint} is not whole again: {last}") from None


def _idle(fleet: FleetStatus) -> bool:
    return all(
        node.link_up
        and node.in_flight == 0
        and node.record.state == "ready"
        and all(m.state == "resident" and m.used_slots == 0 for m in node.record.models)
        for node in fleet.nodes
    )


def _seen(fleet: FleetStatus) -> list[tuple[object, ...]]:
    return [
        (n.record.name, n.record.state, n.link_up, n.in_flight, n.record.models[0].used_slots)
        for n in fleet.nodes
    ]


async def test_real_processes_under_random_faults_lose_and_repeat_nothing(tmp_path: Path) -> None:
    print(f"FAULT_SEED={SEED}")  # noqa: T201 - a failing test must say how to repeat it
    async with EtcdServer() as etcd:
        with real_mesh(tmp_path, etcd.endpoint) as real:
            for number in range(4):
                real.node(f"n{number}", words=WORDS, base_ms=8.0, slope_ms=0.2)
            for number in range(2):
                real.orchestrator(f"o{number}", free_port(), max_attempts=6)
            for box in (*real.nodes, *real.orchestrators):
                box.start()
            for endpoint in real.endpoints:
                await _whole(endpoint, nodes=4)
            asked, over = Asked(), asyncio.Event()
            chaos = Chaos(random.Random(SEED), real, etcd)
            async with asyncio.TaskGroup() as group:
                for number in range(CLIENTS):
                    endpoints = real.endpoints[:: 1 if number % 2 else -1]
                    group.create_task(_asking(asked, endpoints, over))
                await chaos.run(FAULTS)
                over.set()
            print(dict(chaos.done), dict(asked.outcomes), f"{asked.resumed} resumed")  # noqa: T201
            for endpoint in real.endpoints:
                await _whole(endpoint, nodes=4)
            left = await real.end()
    assert asked.defects == []
    assert left == [], "processes were left"
    assert asked.resumed > 0
    lost = {what for what in asked.outcomes if what.endswith("in mid-answer")}
    assert not lost, asked.outcomes
    assert asked.outcomes["answered"] > asked.outcomes.total() / 2, asked.outcomes
