"""One link per node, dialled and hung up as records come and go.

Losing the registry never breaks a stream: a link whose record vanished is kept for as long as its
node answers, and hung up only when it goes down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.errors import MeshError, NodeLost
from mesh.fleet.records import Heartbeat, NodeRecord
from mesh.transport.base import Attempt, AttemptStream, Dialer, Link
from mesh.transport.dialers import Dialers
from mesh.types import NodeId

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Line:
    """A link and the task that runs it. ``retired``: nobody dials it again once it is down."""

    node: NodeId
    endpoint: str
    link: Link
    task: asyncio.Task[None] | None = None
    retired: bool = False


@dataclass(slots=True)
class Links:
    """``on_heartbeat`` and ``on_link`` are called for the current link of each node only."""

    dialers: Dialers
    on_heartbeat: Callable[[Heartbeat], None]
    on_link: Callable[[NodeId, bool], None]
    _lines: dict[NodeId, _Line] = field(default_factory=dict)
    _group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Owns every link's task until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for line in self._lines.values():
                    self._start(line)
                await asyncio.Event().wait()
        finally:
            self._group = None

    def want(self, record: NodeRecord) -> None:
        """There should be a link to this node, where its record says."""
        line = self._lines.get(record.id)
        if line is not None and line.endpoint == record.endpoint:
            line.retired = False
            return
        if line is not None:
            # The node listens elsewhere now: a restart. What streams on the old link, ends there.
            self._hang_up(line)
        dialer = self.dialers.get(record.transport)
        if dialer is None:
            log.warning(
                "node %s is not linked: it speaks '%s', and this version %s",
                record.name,
                record.transport,
                " and ".join(sorted(self.dialers)),
            )
            return
        self._dial(record.id, record.endpoint, dialer)

    def release(self, node: NodeId) -> None:
        """The node's record is gone. A link that is up stays until it goes down."""
        line = self._lines.get(node)
        if line is None:
            return
        line.retired = True
        if not line.link.up:
            self._hang_up(line)

    def up(self, node: NodeId) -> bool:
        line = self._lines.get(node)
        return line is not None and line.link.up

    def open(self, node: NodeId, attempt: Attempt) -> AttemptStream:
        """Raises ``NodeLost`` when there is no link, or it is not up."""
        line = self._lines.get(node)
        if line is None:
            raise NodeLost("there is no link to the node any more", node_id=node)
        return line.link.open(attempt)

    def __len__(self) -> int:
        return len(self._lines)

    def _dial(self, node: NodeId, endpoint: str, dialer: Dialer) -> None:
        # The callbacks name the line, which is there only after the link: hence the late binding.
        lines: list[_Line] = []

        def heard(heartbeat: Heartbeat) -> None:
            if lines and self._lines.get(node) is lines[0] and heartbeat.node == node:
                self.on_heartbeat(heartbeat)

        def moved(up: bool) -> None:
            if lines and self._lines.get(node) is lines[0]:
                self._moved(lines[0], up)

        try:
            link = dialer.link(endpoint, node, heard, moved)
        except MeshError as error:
            log.warning("cannot dial node %s at %s: %s", node, endpoint, error.message)
            return
        line = _Line(node, endpoint, link)
        lines.append(line)
        self._lines[node] = line
        self._start(line)

    def _moved(self, line: _Line, up: bool) -> None:
        if not up and line.retired:
            self._hang_up(line)
        self.on_link(line.node, up)

    def _start(self, line: _Line) -> None:
        if self._group is not None and line.task is None:
            line.task = self._group.create_task(_own(line), name=f"link {line.node}")

    def _hang_up(self, line: _Line) -> None:
        if self._lines.get(line.node) is line:
            del self._lines[line.node]
        if line.task is not None:
            line.task.cancel()


async def _own(line: _Line) -> None:
    try:
        await line.link.run()
    except MeshError as error:
        # A record can name an endpoint that is none; that must cost this one link only.
        log.warning("link to node %s at %s ended: %s", line.node, line.endpoint, error.message)
