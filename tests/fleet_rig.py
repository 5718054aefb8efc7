"""A fleet view over the registry's twin, links that a test moves by hand, and moved time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from mesh.clock import ManualClock
from mesh.errors import NodeLost
from mesh.fleet.records import (
    TRANSPORTS,
    Heartbeat,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    NodeView,
    encode_record,
)
from mesh.registry.base import NODES
from mesh.registry.twin import TwinRegistry, TwinStore
from mesh.transport.base import Attempt, OnHeartbeat, OnLink
from mesh.types import ModelId, NodeId
from orchestrator.picture.fleet import Fleet

A, B = NodeId("a"), NodeId("b")
TOY = ModelId("toy")


def model(name: ModelId = TOY, slots: int = 4, **given: Any) -> ModelRecord:
    fields: dict[str, Any] = {
        "id": name,
        "engine": "simulated",
        "specialties": (),
        "state": ModelState.RESIDENT,
        "slots": slots,
        "used_slots": 0,
        "context_length": 1024,
        "device": "cpu",
    }
    return ModelRecord(**(fields | given))


def record(node: NodeId = A, **given: Any) -> NodeRecord:
    fields: dict[str, Any] = {
        "id": node,
        "instance": "first",
        "name": f"box {node}",
        "host": "host",
        "pid": 1,
        "state": NodeState.READY,
        "reason": "",
        "endpoint": f"there-{node}",
        "models": (model(),),
    }
    return NodeRecord(**(fields | given))


def load(name: ModelId = TOY, used: int = 0, slots: int = 4, **given: Any) -> ModelLoad:
    fields: dict[str, Any] = {"state": ModelState.RESIDENT, "slots": slots, "used_slots": used}
    return ModelLoad(model=name, **(fields | given))


@dataclass(eq=False)
class HandLink:
    """Up and down as the test says. ``running``: its task is alive."""

    endpoint: str
    node: NodeId
    on_heartbeat: OnHeartbeat
    on_link: OnLink
    up: bool = False
    running: bool = False
    tries: int = 0
    opened: list[Attempt] = field(default_factory=list)

    async def run(self) -> None:
        self.running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.running = False

    def open(self, attempt: Attempt) -> Any:
        if not self.up:
            raise NodeLost("it is down", node_id=self.node)
        self.opened.append(attempt)
        return self

    def move(self, up: bool) -> None:
        self.up = up
        self.on_link(up)

    def beat(self, *loads: ModelLoad) -> None:
        self.on_heartbeat(Heartbeat(node=self.node, state=NodeState.READY, models=loads))


@dataclass
class HandDialer:
    links: list[HandLink] = field(default_factory=list)

    def link(
        self, endpoint: str, node: NodeId, on_heartbeat: OnHeartbeat, on_link: OnLink
    ) -> HandLink:
        self.links.append(HandLink(endpoint, node, on_heartbeat, on_link))
        return self.links[-1]


class LongestPause(random.Random):
    """Draws the longest pause that is allowed, and tells between what."""

    drawn: list[tuple[float, float]]

    def uniform(self, a: float, b: float) -> float:
        self.drawn = [*getattr(self, "drawn", []), (a, b)]
        return b


class LateClock(ManualClock):
    """Every sleep takes ``late`` seconds longer, as in a process that does not run."""

    late = 0.0

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds + self.late)


class Rig:
    """``clock`` stands still unless a test moves it; every change here is followed by what it
    sets in motion."""

    def __init__(self, *, suspect_after_s: float | None = None) -> None:
        self.clock = LateClock()
        self.rng = LongestPause()
        self.dialers = {name: HandDialer() for name in TRANSPORTS}
        self.store = TwinStore()
        self.registry = TwinRegistry(self.store, lease_ttl_s=1e6, clock=self.clock)
        self.fleet = Fleet(
            self.registry, self.dialers, self.clock, self.rng, suspect_after_s=suspect_after_s
        )

    async def put(self, *records: NodeRecord) -> None:
        for each in records:
            await self.registry.put(f"{NODES}{each.id}", encode_record(each))
        await self.clock.settle()

    async def delete(self, node: NodeId = A) -> None:
        self.store.erase(self.registry, f"{NODES}{node}", None)
        await self.clock.settle()

    async def linked(self, node: NodeId = A, **given: Any) -> HandLink:
        """A node whose record is there and whose link is up; its link."""
        await self.put(record(node, **given))
        link = self.link(node)
        link.move(True)
        return link

    def link(self, node: NodeId = A) -> HandLink:
        """The newest."""
        return [link for d in self.dialers.values() for link in d.links if link.node == node][-1]

    def seen(self, node: NodeId = A) -> NodeView:
        return self.fleet.view.nodes[node]

    @property
    def verdict(self) -> tuple[float | None, str]:
        """On node a: seconds from now until which it is set aside, and why."""
        seen = self.seen()
        until = seen.set_aside_until
        left = None if until is None else round(until - self.clock.now(), 6)
        return left, seen.set_aside_reason

    def free(self, node: NodeId = A, name: ModelId = TOY) -> int:
        return self.fleet.free_slots(node, name)


@asynccontextmanager
async def rig(**given: Any) -> AsyncIterator[Rig]:
    """Running; use as ``async with rig() as made``."""
    made = Rig(**given)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(made.registry.run()), group.create_task(made.fleet.run())]
        await made.clock.settle()
        yield made
        for task in tasks:
            task.cancel()
