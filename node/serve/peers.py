"""This node's own view of its peers, and its own links to them, for as long as it needs either.

Five hundred nodes that all watched each other would make the registry send every change five
hundred times, for the sake of a hand-over that most of them never make. So the watch begins with
the first forward and ends when none came for a while; links likewise, and never many of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from mesh.clock import Clock
from mesh.errors import NodeLost
from mesh.fleet import view as fleet
from mesh.fleet.complaints import Complaints
from mesh.fleet.records import FleetView, Heartbeat, ModelRecord
from mesh.registry.base import NODES, Change, Registry
from mesh.transport.base import Attempt, AttemptStream, Dialer
from mesh.transport.links import Links
from mesh.types import ModelId, NodeId

log = logging.getLogger(__name__)

MAX_LINKS = 16
IDLE_S = 60.0  # without a forward: links and the watch end
SET_ASIDE_S = 2.0  # after a failure; the next forward after it is the probe
SNAPSHOT_S = 1.0  # to wait for the watch's first word; without it, nobody is known


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
        self._transports = frozenset(dialers)
        self._clock = clock
        self._connect_timeout_s = connect_timeout_s
        self._idle_s = idle_s
        self._view = FleetView()
        self._complaints = Complaints()
        self._links = Links(
            dialers,
            clock,
            on_heartbeat=self._heard,
            on_link=self._linked,
            limit=links,
            idle_s=idle_s,
        )
        self._group: asyncio.TaskGroup | None = None
        self._watching: asyncio.Task[None] | None = None
        self._snapshot = asyncio.Event()
        self._used_at = float("-inf")

    @property
    def links(self) -> int:
        """Links that exist now, up or not."""
        return len(self._links)

    @property
    def watching(self) -> bool:
        return self._watching is not None

    async def run(self) -> None:
        """Owns links and watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._links.run(), name="links to peers")
                while True:
                    await self._clock.sleep(self._idle_s / 4)
                    self._rest()
        finally:
            self._group = None

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
            node: replace(seen, link_up=self._links.hopeful(seen.record))
            for node, seen in self._view.nodes.items()
            if seen.record.transport in self._transports
        }
        return replace(self._view, nodes=nodes)

    def name(self, node: NodeId) -> str:
        return self._view.name(node)

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
        found = self._view.nodes.get(node)
        if found is None or self._group is None:
            raise NodeLost("that peer's record is gone", node_id=node)
        self._view = fleet.in_flight(self._view, node, 1)
        try:
            async with (
                self._links.use(found.record, self._connect_timeout_s) as link,
                link.open(attempt) as stream,
            ):
                yield stream
        finally:
            self._used_at = self._clock.now()
            self._view = fleet.in_flight(self._view, node, -1)

    def _heard(self, heartbeat: Heartbeat) -> None:
        self._view = fleet.heard(self._view, heartbeat, self._clock.now())

    def _linked(self, node: NodeId, up: bool) -> None:
        self._view = fleet.link(self._view, node, up, self._clock.now())

    async def _watch(self) -> None:
        self._view = FleetView()
        async for changes in self._registry.watch(NODES):
            for portion in fleet.portions(changes):
                self._apply(portion)
                await asyncio.sleep(0)
            self._snapshot.set()

    def _apply(self, changes: Sequence[Change]) -> None:
        before = self._view
        now = self._clock.now()
        self._view, problems = fleet.apply(before, changes, now)
        for line in self._complaints.lines(problems, now):
            log.warning("%s", line)
        for node in before.nodes.keys() - self._view.nodes.keys():
            self._links.release(node)

    def _rest(self) -> None:
        """Ends the watch when it was not needed for a while."""
        idle = not len(self._links) and self._used_at <= self._clock.now() - self._idle_s
        if self._watching is not None and idle:
            self._watching.cancel()
            self._watching = None
