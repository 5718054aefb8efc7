"""Random faults on a mesh of twins: what can happen to a box, a network, a registry or a client.

All of it comes from one seed: the same seed is the same schedule.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import count

from mesh.fleet.records import NodeState
from mesh.registry.twin import TwinRegistry
from tests.faults.checked_client import CheckedClient
from tests.faults.faulty_node import FaultyNode
from tests.mesh.fakes import Mesh

Fault = Callable[["Chaos"], Awaitable[bool]]


class Chaos:
    """``meshes``: orchestrators on one network, the first of which runs the nodes' tasks.
    ``spared``: nodes that nothing happens to. ``done`` counts the faults by name."""

    def __init__(
        self,
        rng: random.Random,
        meshes: Sequence[Mesh],
        *,
        spared: Sequence[FaultyNode] = (),
    ) -> None:
        self.rng = rng
        self.meshes = tuple(meshes)
        self.nodes: list[FaultyNode] = []
        self.spared = tuple(spared)
        self.clients: list[CheckedClient] = []
        self.done: Counter[str] = Counter()
        self._home = self.meshes[0]
        self._down: set[str] = set()  # names of nodes that are going, gone or coming
        self._instances = count(1)
        self._group: asyncio.TaskGroup | None = None

    async def start(self, node: FaultyNode) -> None:
        """As a new process: a new instance with a registry session of its own."""
        node.recover()
        node.instance = f"start-{next(self._instances)}"
        node.registry = self._home.session()
        self._home.start(node.registry.run(), f"{node.name} registry")
        self._home.start(node.run(), node.name)
        if node not in self.nodes and node not in self.spared:
            self.nodes.append(node)

    async def run(self, faults: int, mean_gap_s: float) -> None:
        """Makes so many faults happen, and returns when all of them are over."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            while self.done.total() < faults:
                await self._home.clock.sleep(self.rng.expovariate(1 / mean_gap_s))
                name = self.rng.choice(tuple(FAULTS))
                if await FAULTS[name](self):
                    self.done[name] += 1
        self._group = None

    # What a fault is made of.

    def up(self) -> FaultyNode | None:
        """A node that runs, None when there is none to be had."""
        able = [node for node in self.nodes if node.name not in self._down]
        return self.rng.choice(able) if able else None

    def client(self) -> CheckedClient | None:
        running = [client for client in self.clients if client.task and not client.outcome]
        return self.rng.choice(running) if running else None

    def later(self, work: Awaitable[None]) -> None:
        if self._group is None:
            raise RuntimeError("faults happen inside run()")
        self._group.create_task(_awaited(work))

    async def pause(self, low_s: float, high_s: float) -> None:
        await self._home.clock.sleep(self.rng.uniform(low_s, high_s))

    def partition(self, session: TwinRegistry, cut: bool) -> None:
        self._home.store.partition(session, cut)

    def heal(self, node: FaultyNode, session: TwinRegistry) -> None:
        self._home.network.heal(node.id)
        self.partition(session, False)

    async def end(self, node: FaultyNode) -> None:
        """The process is gone. What it could still say, it has said."""
        session = node.registry
        await self._home.stop(f"{node.name} registry")
        await self._home.stop(node.name)
        self.heal(node, session)

    async def again(self, node: FaultyNode, low_s: float, high_s: float) -> None:
        await self.pause(low_s, high_s)
        await self.start(node)
        self._down.discard(node.name)

    def claim(self) -> FaultyNode | None:
        node = self.up()
        if node is not None:
            self._down.add(node.name)
        return node


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def kill(chaos: Chaos) -> bool:
    """SIGKILL: connections break, the lease runs on without its process."""
    node = chaos.claim()
    if node is None:
        return False
    chaos.partition(node.registry, True)
    node.network.reset(node.id)
    await chaos.end(node)
    chaos.later(chaos.again(node, 0.05, 4.0))
    return True


async def restart(chaos: Chaos) -> bool:
    """In good order, and back at once."""
    node = chaos.claim()
    if node is None:
        return False
    await chaos.end(node)
    chaos.later(chaos.again(node, 0.0, 0.2))
    return True


async def drain(chaos: Chaos) -> bool:
    """Nothing new, some grace for what runs, then off with the rest and gone."""
    node = chaos.claim()
    if node is None:
        return False
    node.become(NodeState.DRAINING)

    async def going() -> None:
        await chaos.pause(0.0, 2.0)
        node.leaving = True
        await chaos.pause(0.1, 0.3)
        await chaos.end(node)
        await chaos.again(node, 0.0, 2.0)

    chaos.later(going())
    return True


async def stop(chaos: Chaos) -> bool:
    """SIGSTOP, then SIGCONT: it says nothing to anybody, nor does it keep its lease."""
    node = chaos.up()
    if node is None:
        return False
    session = node.registry
    node.network.stall(node.id)
    chaos.partition(session, True)

    async def going_on() -> None:
        await chaos.pause(0.1, 4.0)
        chaos.heal(node, session)

    chaos.later(going_on())
    return True


async def cut(chaos: Chaos) -> bool:
    """The data plane swallows all; the registry still hears it."""
    node = chaos.up()
    if node is None:
        return False
    node.network.cut(node.id)

    async def mended() -> None:
        await chaos.pause(0.1, 4.0)
        node.network.heal(node.id)

    chaos.later(mended())
    return True


async def delay(chaos: Chaos) -> bool:
    """A network that holds things up again and again, each time for less than a timeout."""
    node = chaos.up()
    if node is None:
        return False

    async def stuttering() -> None:
        for _ in range(chaos.rng.randint(2, 6)):
            node.network.cut(node.id)
            await chaos.pause(0.02, 0.4)
            node.network.heal(node.id)
            await chaos.pause(0.02, 0.2)

    chaos.later(stuttering())
    return True


async def reset(chaos: Chaos) -> bool:
    """Every connection of a node that lives on breaks."""
    node = chaos.up()
    if node is None:
        return False
    node.network.reset(node.id)
    return True


async def engine(chaos: Chaos) -> bool:
    """The engine breaks under what runs on it, and is whole again soon."""
    node = chaos.up()
    if node is None:
        return False
    node.broken = True

    async def whole() -> None:
        await chaos.pause(0.05, 0.5)
        node.broken = False

    chaos.later(whole())
    return True


async def refuse(chaos: Chaos) -> bool:
    """A node says no for a while, whatever its heartbeat said."""
    node = chaos.up()
    if node is None:
        return False
    node.refusing = True

    async def willing() -> None:
        await chaos.pause(0.05, 1.0)
        node.refusing = False

    chaos.later(willing())
    return True


async def lease(chaos: Chaos) -> bool:
    """The registry loses a node's lease, and so its record; the node finds out later."""
    node = chaos.up()
    if node is None:
        return False
    chaos.meshes[0].store.drop_session(node.registry)
    return True


async def node_partition(chaos: Chaos) -> bool:
    """A node and the registry lose sight of each other; the data plane stands."""
    node = chaos.up()
    if node is None:
        return False
    session = node.registry
    chaos.partition(session, True)
    chaos.later(_reunited(chaos, [session]))
    return True


async def orchestrator_partition(chaos: Chaos) -> bool:
    session = chaos.rng.choice(chaos.meshes).registry
    chaos.partition(session, True)
    chaos.later(_reunited(chaos, [session]))
    return True


async def registry_away(chaos: Chaos) -> bool:
    """Nobody reaches the registry, for longer than leases last or shorter."""
    sessions = [mesh.registry for mesh in chaos.meshes]
    sessions += [node.registry for node in (*chaos.nodes, *chaos.spared)]
    for session in sessions:
        chaos.partition(session, True)
    chaos.later(_reunited(chaos, sessions))
    return True


async def _reunited(chaos: Chaos, sessions: Sequence[TwinRegistry]) -> None:
    await chaos.pause(0.2, 5.0)
    for session in sessions:
        chaos.partition(session, False)


async def slow_client(chaos: Chaos) -> bool:
    client = chaos.client()
    if client is None:
        return False
    client.pause_s = chaos.rng.uniform(0.2, 4.0)
    return True


async def cancel(chaos: Chaos) -> bool:
    """A client goes away: between two events, or in the middle of waiting for one."""
    client = chaos.client()
    if client is None or client.task is None:
        return False
    if chaos.rng.random() < 0.5:
        client.leave = True
    else:
        client.task.cancel()
    return True


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill,
        restart,
        drain,
        stop,
        cut,
        delay,
        reset,
        engine,
        refuse,
        lease,
        node_partition,
        orchestrator_partition,
        registry_away,
        slow_client,
        cancel,
    )
}
