"""A process's links to nodes, at most one each: dialled, watched and hung up.

A link is had in one of two ways. *Wanted*: from its node's record until that is gone, used or not.
*By need*: dialled when it is used, hung up when nobody used it for ``idle_s`` seconds. At most
``limit`` of both; at it, the one that was idle for longest makes room, and without an idle one the
newcomer is refused.

A registry may name thousands of nodes, and most of them may be dead. So of the wanted ones only so
many are dialled at a time, and whoever does not answer rests while others have their turn
(``resting``); so do those beyond the limit, until somebody asks for them.

Losing the registry never breaks a stream: a wanted link whose record vanished is kept for as long
as its node answers, and one by need for as long as it is in use.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum

from mesh.clock import Clock
from mesh.errors import MeshError, NodeLost, Overloaded
from mesh.fleet.records import Heartbeat, NodeRecord
from mesh.transport.base import Attempt, AttemptStream, Dialer, Link
from mesh.transport.resting import Resting
from mesh.types import NodeId

log = logging.getLogger(__name__)

_SWEEPS = 4  # looks for idle links, in one ``idle_s``
DIALLING = 64  # wanted links that are not up at once, before others have to rest
TURN_S = 0.02  # between two looks at who may be dialled next
DIALS_A_TURN = 8  # a dial costs about a millisecond, and streams go on meanwhile
PATIENCE_S = 2.0  # for a link to come up, while others wait for its place


class _Why(Enum):
    WANTED = "wanted"
    NEEDED = "needed"
    RETIRED = "retired"  # wanted once; nobody dials it again once it is down


@dataclass(slots=True, eq=False)
class _Line:
    """A link, the task that runs it, and how much it is needed. ``failed``: it went down, or did
    not come up in time, and has not come up since."""

    record: NodeRecord
    why: _Why
    used_at: float
    begun_at: float
    link: Link = field(init=False)  # made with callbacks that name the line
    task: asyncio.Task[None] | None = None
    up: asyncio.Event = field(default_factory=asyncio.Event)
    streams: int = 0
    failed: bool = False

    @property
    def node(self) -> NodeId:
        return self.record.id

    @property
    def endpoint(self) -> str:
        return self.record.endpoint

    @property
    def spare(self) -> bool:
        return self.why is _Why.NEEDED and not self.streams

    @property
    def ended(self) -> bool:
        return self.task is not None and self.task.done()


class Links:
    """``dialers``: by transport, as records name them.

    ``on_heartbeat`` and ``on_link`` are called for the current link of each node only. ``on_rest``:
    a wanted node has no link for now, whether because it did not answer (True) or for want of room.
    ``limit``: None for none; ``idle_s``: None keeps links by need until their room is needed."""

    def __init__(
        self,
        dialers: Mapping[str, Dialer],
        clock: Clock,
        *,
        on_heartbeat: Callable[[Heartbeat], None],
        on_link: Callable[[NodeId, bool], None],
        on_rest: Callable[[NodeId, bool], None] = lambda node, failed: None,
        limit: int | None = None,
        idle_s: float | None = None,
    ) -> None:
        self._dialers = dialers
        self._clock = clock
        self._on_heartbeat = on_heartbeat
        self._on_link = on_link
        self._on_rest = on_rest
        self._limit = limit
        self._dialling = DIALLING if limit is None else max(1, min(DIALLING, limit // 2))
        self._resting = Resting()
        self._some_rest = asyncio.Event()
        self._said = False  # that the limit is reached
        self._idle_s = idle_s
        self._lines: dict[NodeId, _Line] = {}
        self._group: asyncio.TaskGroup | None = None

    def __len__(self) -> int:
        """Links that exist now, up or not."""
        return len(self._lines)

    async def run(self) -> None:
        """Owns every link's task until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for line in self._lines.values():
                    self._start(line)
                if self._idle_s is not None:
                    group.create_task(self._sweep(self._idle_s), name="idle links")
                await self._take_turns()
        finally:
            self._group = None
            self._lines.clear()

    @property
    def resting(self) -> int:
        """Wanted nodes that have no link now."""
        return len(self._resting)

    def want(self, record: NodeRecord) -> None:
        """There should be a link to this node, where its record says: now, or in its turn."""
        line = self._lines.get(record.id)
        if line is not None and line.endpoint == record.endpoint and not line.ended:
            line.record, line.why = record, _Why.WANTED
            return
        if line is not None:  # it listens elsewhere now, and its place is its own
            self._hang_up(line)
            self._dial_wanted(record)
        elif len(self._resting) or self._crowded or self._full:
            self._resting.add(record)
            self._some_rest.set()
            if self._full and not self._said:
                self._said = True
                log.warning(
                    "all %d links that this process may have are taken: other nodes are linked "
                    "when they are needed (more open files allow more)",
                    self._limit,
                )
        else:
            self._dial_wanted(record)

    def ask(self, nodes: Iterable[NodeId]) -> None:
        """Wanted nodes that somebody needs now: those without a link are dialled first."""
        for node in nodes:
            self._resting.ask(node)

    @contextmanager
    def hold(self, node: NodeId) -> Iterator[None]:
        """The node's link, if there is one, is in use while the context lasts."""
        line = self._lines.get(node)
        if line is None:
            yield
            return
        line.streams += 1
        try:
            yield
        finally:
            line.streams -= 1
            line.used_at = self._clock.now()

    def release(self, node: NodeId) -> None:
        """The node's record is gone. A wanted link that is up stays until it goes down, and what
        streams on one by need goes on: the registry may be wrong."""
        self._resting.forget(node)
        line = self._lines.get(node)
        if line is None:
            return
        if line.why is not _Why.NEEDED:
            line.why = _Why.RETIRED
        if line.spare or (line.why is _Why.RETIRED and not line.link.up):
            self._hang_up(line)

    def rests(self, node: NodeId) -> bool:
        return node in self._resting

    def tries(self, node: NodeId) -> bool:
        """Whether it has a link, up or not: it is known, or soon will be, whether it answers."""
        return node in self._lines

    def up(self, node: NodeId) -> bool:
        line = self._lines.get(node)
        return line is not None and line.link.up

    def hopeful(self, record: NodeRecord) -> bool:
        """Whether it is up, coming up, or would be dialled: nothing is known against it."""
        line = self._lines.get(record.id)
        if line is None:
            return not self._resting.paused(record.id, self._clock.now())
        return line.endpoint != record.endpoint or line.link.up or not line.failed

    def open(self, node: NodeId, attempt: Attempt) -> AttemptStream:
        """Raises ``NodeLost`` when there is no link, or it is not up."""
        line = self._lines.get(node)
        if line is None:
            raise NodeLost("there is no link to the node any more", node_id=node)
        return line.link.open(attempt)

    @asynccontextmanager
    async def use(self, record: NodeRecord, within_s: float) -> AsyncIterator[Link]:
        """The link to this node, dialled if need be and up; in use while the context lasts. Raises
        ``NodeLost`` when it is not up ``within_s`` seconds, and ``Overloaded`` at the limit."""
        line = self._line(record, _Why.NEEDED)
        line.streams += 1
        try:
            try:
                async with asyncio.timeout(within_s):
                    await line.up.wait()
            except TimeoutError:
                line.failed = True
                raise NodeLost(
                    f"no link to {record.name} at {line.endpoint} within {within_s:g} s",
                    node_id=line.node,
                ) from None
            yield line.link
        finally:
            line.streams -= 1
            line.used_at = self._clock.now()

    def _line(self, record: NodeRecord, why: _Why) -> _Line:
        line = self._lines.get(record.id)
        if line is not None:
            if line.endpoint == record.endpoint and not line.ended:
                return line
            # The node listens elsewhere now: a restart. What streams on the old link, ends there.
            self._hang_up(line)
        self._make_room()
        return self._dial(record, why)

    @property
    def _full(self) -> bool:
        return self._limit is not None and len(self._lines) >= self._limit

    @property
    def _crowded(self) -> bool:
        """Whether as many wanted nodes are dialled as may be at a time."""
        coming = (line for line in self._lines.values() if not line.link.up)
        return sum(line.why is _Why.WANTED for line in coming) >= self._dialling

    def _make_room(self, *, also: _Why = _Why.NEEDED) -> None:
        """Of those by need, and of ``also``. Raises ``Overloaded``."""
        if not self._full:
            return
        idle = [
            line
            for line in self._lines.values()
            if not line.streams and line.why in (_Why.NEEDED, also)
        ]
        if not idle:
            raise Overloaded(f"all {self._limit} links to nodes are in use")
        line = min(idle, key=lambda line: (line.why is _Why.WANTED, line.used_at))
        if line.why is _Why.WANTED:
            self._rest(line, failed=not line.link.up)
        else:
            self._hang_up(line)

    def _rest(self, line: _Line, *, failed: bool) -> None:
        self._hang_up(line)
        if failed:
            self._resting.failed(line.record, self._clock.now())
        else:
            self._resting.add(line.record)
        self._some_rest.set()
        self._on_rest(line.node, failed)

    def _dial_wanted(self, record: NodeRecord) -> None:
        self._resting.discard(record.id)
        try:
            self._dial(record, _Why.WANTED)
        except MeshError as error:
            # A record can name an endpoint that is none; that must cost this one link only.
            log.warning("node %s is not linked: %s", record.name, error.message)

    async def _take_turns(self) -> None:
        """Who rests is dialled when it is its turn."""
        while True:
            await self._some_rest.wait()
            self._turn()
            if not len(self._resting):
                self._some_rest.clear()
            await self._clock.sleep(TURN_S)

    def _turn(self) -> None:
        now = self._clock.now()
        for _ in range(DIALS_A_TURN):
            record = self._resting.next(now, asked_only=self._full)
            if record is None or (self._crowded and not self._clear(now)):
                return
            try:
                self._make_room(also=_Why.WANTED)
            except Overloaded:
                return
            self._dial_wanted(record)

    def _clear(self, now: float) -> bool:
        """Has one rest that does not answer; False: all of them still have time."""
        for line in self._lines.values():
            late = line.link.tries > 0 or now - line.begun_at > PATIENCE_S
            if line.why is _Why.WANTED and not line.link.up and not line.streams and late:
                self._rest(line, failed=True)
                return True
        return False

    def _dial(self, record: NodeRecord, why: _Why) -> _Line:
        node, endpoint, dialer = record.id, record.endpoint, self._dialers.get(record.transport)
        if dialer is None:
            known = " and ".join(sorted(self._dialers))
            raise NodeLost(
                f"it speaks '{record.transport}', and this version {known}", node_id=node
            )
        now = self._clock.now()
        line = _Line(record, why, used_at=now, begun_at=now)

        def heard(heartbeat: Heartbeat) -> None:
            if self._lines.get(node) is line and heartbeat.node == node:
                self._on_heartbeat(heartbeat)

        def moved(up: bool) -> None:
            if self._lines.get(node) is line:
                self._moved(line, up)

        try:
            line.link = dialer.link(endpoint, node, heard, moved)
        except MeshError as error:
            raise NodeLost(
                f"cannot dial {record.name} at {endpoint}: {error.message}", node_id=node
            ) from error
        self._lines[node] = line
        self._start(line)
        return line

    def _moved(self, line: _Line, up: bool) -> None:
        (line.up.set if up else line.up.clear)()
        line.failed = not up
        line.begun_at = self._clock.now()
        if up:
            self._resting.answered(line.node)
        if not up and line.why is _Why.RETIRED:
            self._hang_up(line)
        self._on_link(line.node, up)

    def _start(self, line: _Line) -> None:
        if self._group is not None:
            line.task = self._group.create_task(_own(line), name=f"link {line.node}")

    def _hang_up(self, line: _Line) -> None:
        del self._lines[line.node]
        if line.task is not None:
            line.task.cancel()

    async def _sweep(self, idle_s: float) -> None:
        while True:
            await self._clock.sleep(idle_s / _SWEEPS)
            before = self._clock.now() - idle_s
            for line in list(self._lines.values()):
                if line.spare and line.used_at <= before:
                    self._hang_up(line)


async def _own(line: _Line) -> None:
    try:
        await line.link.run()
    except MeshError as error:
        line.failed = True
        log.warning("link to node %s at %s ended: %s", line.node, line.endpoint, error.message)
