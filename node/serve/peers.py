"""This node's own view of its peers, and its own links to them, for as long as it needs either.

Five hundred nodes that all watched each other would make the registry send every change five
hundred times, for the sake of a hand-over that most of them never make. So the watch begins with
the first forward and ends when none came for a while; links likewise, and never many of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from mesh.clock import Clock
from mesh.errors import MeshError, NodeLost, Overloaded
from mesh.fleet import view as fleet
from mesh.fleet.records import FleetView, Heartbeat, ModelRecord, NodeRecord
from mesh.registry.base import NODES, Registry
from mesh.transport.base import Attempt, AttemptStream, Dialer, Link
from mesh.types import ModelId, NodeId

log = logging.getLogger(__name__)

MAX_LINKS = 16
IDLE_S = 60.0  # without a forward: links and the watch end
SET_ASIDE_S = 2.0  # after a failure; the next forward after it is the probe
SNAPSHOT_S = 1.0  # to wait for the watch's first word; without it, nobody is known


@dataclass(slots=True, eq=False)
class _Line:
    """A link, the task that runs it, and how much it is needed."""

    node: NodeId
    endpoint: str
    link: Link
    up: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    streams: int = 0
    used_at: float = 0.0
    failed: bool = False


class Peers:
    """``dialers``: by transport, as records name them; peers of another transport are not seen.
    ``connect_timeout_s``: for a link to come up. Everything but ``run`` works only while it runs.
    """

    def __init__(
        self,
        registry: Registry,
        dialers: Mapping[str, Dialer],
        clock: Clock,
        *,
        connect_timeout_s: float,
        links: int = MAX_LINKS,
        idle_s: float = IDLE_S,
    ) -> None:
        self._registry = registry
        self._dialers = dict(dialers)
        self._clock = clock
        self._connect_timeout_s = connect_timeout_s
        self._limit = links
        self._idle_s = idle_s
        self._view = FleetView()
        self._lines: dict[NodeId, _Line] = {}
        self._group: asyncio.TaskGroup | None = None
        self._watching: asyncio.Task[None] | None = None
        self._snapshot = asyncio.Event()
        self._used_at = float("-inf")

    @property
    def links(self) -> int:
        """Links that exist now, up or not."""
        return len(self._lines)

    @property
    def watching(self) -> bool:
        return self._watching is not None

    async def run(self) -> None:
        """Owns links and watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                while True:
                    await self._clock.sleep(self._idle_s / 4)
                    self._sweep()
        finally:
            self._group = None
            self._lines.clear()

    async def look(self) -> FleetView:
        """The peers, as placement is to see them: one without a link yet is as good as linked,
        since it is dialled when it is chosen. Empty while the registry has not answered."""
        self._used_at = self._clock.now()
        if self._group is None:
            return FleetView()
        if self._watching is None:
            self._snapshot.clear()
            self._watching = self._group.create_task(self._watch(), name="watch peers")
        try:
            async with asyncio.timeout(SNAPSHOT_S):
                await self._snapshot.wait()
        except TimeoutError:
            return FleetView()
        nodes = {
            node: replace(seen, link_up=self._hopeful(node))
            for node, seen in self._view.nodes.items()
            if seen.record.transport in self._dialers
        }
        return replace(self._view, nodes=nodes)

    def name(self, node: NodeId) -> str:
        found = self._view.nodes.get(node)
        return found.record.name if found else node

    def model(self, node: NodeId, model: ModelId) -> ModelRecord | None:
        """What is known of a peer's model."""
        return self._view.model(node, model)

    def failed(self, node: NodeId, reason: str) -> None:
        """It is not chosen for ``SET_ASIDE_S``."""
        log.warning("peer %s set aside for %g s: %s", self.name(node), SET_ASIDE_S, reason)
        until = self._clock.now() + SET_ASIDE_S
        self._view = fleet.set_aside(self._view, node, until, reason)

    @asynccontextmanager
    async def attempt(self, node: NodeId, attempt: Attempt) -> AsyncIterator[AttemptStream]:
        """The attempt's stream on that peer, whose link is dialled if need be; leaving it cancels
        the attempt there. Raises ``NodeLost`` when the peer cannot be reached, and ``Overloaded``
        when all links are in use."""
        line = self._line(node)
        line.streams += 1
        self._view = fleet.in_flight(self._view, node, 1)
        try:
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    await line.up.wait()
            except TimeoutError:
                line.failed = True
                raise NodeLost(
                    f"no link to {self.name(node)} at {line.endpoint} within "
                    f"{self._connect_timeout_s:g} s",
                    node_id=node,
                ) from None
            async with line.link.open(attempt) as stream:
                yield stream
        finally:
            line.streams -= 1
            line.used_at = self._used_at = self._clock.now()
            self._view = fleet.in_flight(self._view, node, -1)

    def _hopeful(self, node: NodeId) -> bool:
        line = self._lines.get(node)
        return line is None or line.link.up or not line.failed

    def _line(self, node: NodeId) -> _Line:
        found = self._view.nodes.get(node)
        if found is None or self._group is None:
            raise NodeLost("that peer's record is gone", node_id=node)
        line = self._lines.get(node)
        if line is not None and line.endpoint == found.record.endpoint and not _ended(line):
            return line
        if line is not None:
            self._hang_up(line)  # it listens elsewhere now: a restart
        if len(self._lines) >= self._limit:
            idle = [each for each in self._lines.values() if not each.streams]
            if not idle:
                raise Overloaded(f"all {self._limit} links to peers are in use")
            self._hang_up(min(idle, key=lambda each: each.used_at))
        return self._dial(found.record, self._group)

    def _dial(self, record: NodeRecord, group: asyncio.TaskGroup) -> _Line:
        node = record.id
        lines: list[_Line] = []  # the callbacks name the line, which is there only after the link

        def heard(heartbeat: Heartbeat) -> None:
            if lines and self._lines.get(node) is lines[0] and heartbeat.node == node:
                self._view = fleet.heard(self._view, heartbeat, self._clock.now())

        def moved(up: bool) -> None:
            if not lines or self._lines.get(node) is not lines[0]:
                return
            (lines[0].up.set if up else lines[0].up.clear)()
            lines[0].failed = not up
            self._view = fleet.link(self._view, node, up, self._clock.now())

        try:
            link = self._dialers[record.transport].link(record.endpoint, node, heard, moved)
        except MeshError as error:
            raise NodeLost(
                f"cannot dial {record.name} at {record.endpoint}: {error.message}", node_id=node
            ) from error
        line = _Line(node=node, endpoint=record.endpoint, link=link, used_at=self._clock.now())
        lines.append(line)
        self._lines[node] = line
        line.task = group.create_task(_own(line), name=f"link {node}")
        return line

    def _hang_up(self, line: _Line) -> None:
        if self._lines.get(line.node) is line:
            del self._lines[line.node]
        if line.task is not None:
            line.task.cancel()

    async def _watch(self) -> None:
        self._view = FleetView()
        async for changes in self._registry.watch(NODES):
            self._view, problems = fleet.apply(self._view, changes, self._clock.now())
            for problem in problems:
                log.warning("a record is of no use: %s", problem)
            self._snapshot.set()
            gone = [line for node, line in self._lines.items() if node not in self._view.nodes]
            for line in gone:
                if not line.streams:  # what streams there goes on; the registry may be wrong
                    self._hang_up(line)

    def _sweep(self) -> None:
        before = self._clock.now() - self._idle_s
        for line in list(self._lines.values()):
            if not line.streams and line.used_at <= before:
                self._hang_up(line)
        if self._watching is not None and not self._lines and self._used_at <= before:
            self._watching.cancel()
            self._watching = None


def _ended(line: _Line) -> bool:
    return line.task is not None and line.task.done()


async def _own(line: _Line) -> None:
    try:
        await line.link.run()
    except MeshError as error:
        line.failed = True
        log.warning("link to peer %s at %s ended: %s", line.node, line.endpoint, error.message)
