"""Random faults on a mesh of twins, in moved time. ``FAULT_SEED=n`` runs that seed only.

Two orchestrators share four nodes while clients ask all the time. Whatever happens, every stream is
a gap-free, duplicate-free prefix of one answer, every request ends in time, with its answer or a
typed error, and afterwards nothing is left: no slot, no task, no place in a queue.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

import pytest

from mesh.stream import Tokens
from mesh.types import Priority, Sampling
from orchestrator.answering.ask import Ask
from tests.faults.checked_client import ANSWERED, CANCELLED, CheckedClient
from tests.faults.faulty_node import FaultyNode
from tests.faults.moved_time import LoopClock, run_moved
from tests.faults.schedule import Chaos
from tests.mesh.fakes import Mesh, request, until
from tests.mesh.scripted import word

SEEDS = [int(os.environ["FAULT_SEED"])] if "FAULT_SEED" in os.environ else list(range(24))
FAULTS_PER_SEED = 60  # 24 seeds: 1,440 faults
NODES = 4
CLIENTS = 10
SETTLED_S = 60.0  # of moved time, for everything to come to rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a schedule left behind."""

    faults: Counter[str]
    clients: list[CheckedClient]
    nodes: list[FaultyNode]

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(client.outcome for client in self.clients)

    @property
    def defects(self) -> list[str]:
        found = [defect for client in self.clients for defect in client.defects]
        return found + [defect for node in self.nodes for defect in node.defects]


@contextmanager
def told(seed: int) -> Iterator[None]:
    """Names the seed in the output that a failure shows."""
    print(f"FAULT_SEED={seed}")  # noqa: T201 - a failing test must say how to repeat it
    yield


async def schedule(seed: int, *, spared: int = 0, max_attempts: int = 6, timeout_s: float) -> Ran:
    rng = random.Random(seed)
    clock = LoopClock()
    async with AsyncExitStack() as stack:
        first = Mesh(clock=clock, max_attempts=max_attempts, queue_limit=32)
        second = Mesh(beside=first, max_attempts=max_attempts, queue_limit=32)
        for mesh in (first, second):
            await stack.enter_async_context(mesh)
        nodes = [
            FaultyNode(
                f"n{i}",
                first.network,
                first.session(),
                slots=rng.randint(1, 4) if i >= spared else CLIENTS,
                rng=random.Random(rng.random()),
                pace_s=rng.choice((0.005, 0.02, 0.08)),
                tokenizer_hash=rng.choice(("one", "other")),
            )
            for i in range(NODES)
        ]
        chaos = Chaos(rng, (first, second), spared=nodes[:spared])
        for node in nodes:
            await chaos.start(node)
        await _usable(chaos, nodes)
        await _under_load(chaos, timeout_s)
        await _at_rest(chaos, nodes)
        await _whole_again(chaos, nodes)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, f"tasks left: {left}"
    return Ran(faults=chaos.done, clients=chaos.clients, nodes=nodes)


async def _usable(chaos: Chaos, nodes: list[FaultyNode]) -> None:
    await until(lambda: all(m.usable(n) for m in chaos.meshes for n in nodes), "all are usable")


async def _under_load(chaos: Chaos, timeout_s: float) -> None:
    """Clients, one request after the other each, for as long as faults happen."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:

        async def asking(number: int) -> None:
            while not over.is_set():
                client = _client(chaos, len(chaos.clients) + 1, timeout_s)
                chaos.clients.append(client)
                # A task of its own: a fault may cancel it, as gRPC does when a client is gone.
                client.task = group.create_task(client.run())
                await asyncio.wait([client.task])
                await chaos.pause(0.0, 0.3)

        for number in range(CLIENTS):
            group.create_task(asking(number))
        await chaos.run(FAULTS_PER_SEED, mean_gap_s=0.25)
        over.set()


def _client(chaos: Chaos, number: int, timeout_s: float) -> CheckedClient:
    rng = chaos.rng
    asked = request(
        number=number,
        sampling=Sampling(max_tokens=rng.choice((1, 5, 20, 60, 150, 400))),
        timeout_s=timeout_s * rng.uniform(0.2, 1.0),
        priority=rng.choice(tuple(Priority)),
    )
    return CheckedClient(mesh=rng.choice(chaos.meshes), request=asked)


async def _at_rest(chaos: Chaos, nodes: list[FaultyNode]) -> None:
    """Nothing is held by anybody once nobody asks for anything."""

    def held() -> list[str]:
        found = [f"{node.name}: {node.used} slots" for node in nodes if node.used]
        for mesh in chaos.meshes:
            seen = mesh.fleet.view.nodes.values()
            found += [f"{s.record.name}: {s.in_flight} in flight" for s in seen if s.in_flight]
            found += [f"{n} {p} queued" for p, n in mesh.admission.depth.items() if n]
        return found

    await _within(SETTLED_S, lambda: not held(), held)


async def _whole_again(chaos: Chaos, nodes: list[FaultyNode]) -> None:
    """Every orchestrator comes to use every node again, and all slots are there."""

    def missing() -> list[str]:
        return [
            node.name
            for mesh in chaos.meshes
            for node in nodes
            if not mesh.usable(node) or mesh.fleet.free_slots(node.id, node.model) < node.slots
        ]

    await _within(SETTLED_S, lambda: not missing(), missing)
    for number, mesh in enumerate(chaos.meshes):
        asked = request(number=10**6 + number, timeout_s=SETTLED_S)
        client = CheckedClient(mesh=mesh, request=asked)
        await client.run()
        assert (client.outcome, client.defects) == (ANSWERED, [])


async def _within(seconds: float, holds: Callable[[], bool], tell: Callable[[], object]) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 - conditions are of many kinds
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"after {seconds} s still: {tell()}") from None


@pytest.mark.parametrize("seed", SEEDS)
def test_under_random_faults_every_stream_is_a_prefix_of_one_answer_and_ends_in_time(
    seed: int,
) -> None:
    with told(seed):
        ran = run_moved(schedule(seed, timeout_s=20.0))
        print(dict(ran.faults), dict(ran.outcomes))  # noqa: T201
        assert ran.defects == []
        assert ran.faults.total() >= FAULTS_PER_SEED
        assert "" not in ran.outcomes
        # What makes the other checks worth something: most of it did get through.
        assert ran.outcomes[ANSWERED] >= len(ran.clients) / 3


@pytest.mark.parametrize("seed", SEEDS[:6])
def test_while_one_node_is_left_alone_no_request_is_lost(seed: int) -> None:
    with told(seed):
        ran = run_moved(schedule(seed, spared=1, max_attempts=1_000, timeout_s=600.0))
        print(dict(ran.faults), dict(ran.outcomes))  # noqa: T201
        assert ran.defects == []
        assert set(ran.outcomes) <= {ANSWERED, CANCELLED}
        assert any(client.resumed for client in ran.clients)


def test_one_seed_is_one_schedule() -> None:
    first, again = (run_moved(schedule(SEEDS[0], timeout_s=20.0)) for _ in range(2))
    assert first.faults == again.faults
    assert [(c.outcome, c.received, c.attempts) for c in first.clients] == [
        (c.outcome, c.received, c.attempts) for c in again.clients
    ]


@pytest.mark.parametrize(
    ("events", "names"),
    [
        ([Tokens(first=1, pieces=(word(1),))], "came where 0 was next"),
        ([Tokens(first=0, pieces=(word(0),))] * 2, "came where 1 was next"),
        ([Tokens(first=0, pieces=(word(1),))], "token 0 is"),
        ([Tokens(first=0, pieces=(word(0),))], "without a last word"),
    ],
    ids=["gap", "duplicate", "another answer's", "cut short"],
)
def test_the_check_itself_sees(events: list[Tokens], names: str) -> None:
    async def generate(_: Ask) -> AsyncGenerator[Tokens, None]:
        for event in events:
            yield event

    async def run() -> list[str]:
        mesh = Mesh(clock=LoopClock())
        mesh.api.generate = generate  # type: ignore[method-assign, assignment]
        client = CheckedClient(mesh=mesh, request=request(timeout_s=1.0))
        await client.run()
        return client.defects

    assert any(names in defect for defect in run_moved(run()))
