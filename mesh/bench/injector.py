"""Makes the scheduled faults happen to nodes of this host, by the process ids in their records."""

from __future__ import annotations

import contextlib
import heapq
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from random import Random
from typing import Protocol

import psutil

from mesh.bench.faults import RANDOM, Action, FaultEvent, times
from mesh.clock import Clock
from mesh.errors import ConfigError, MeshError, NoCandidate, NodeLost
from mesh.fleet.records import NodeRecord, NodeState

MAX_MARKS = 10_000  # what the report holds; what happens beyond it is counted only

_SIGNALS = {
    Action.KILL: signal.SIGKILL,
    Action.STOP: signal.SIGSTOP,
    Action.DRAIN: signal.SIGTERM,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultMark:
    """What happened ``at_s`` seconds into the run. ``action``: ``kill``, ``stop``, ``continue`` or
    ``drain``. ``done`` False: it did not happen, and ``note`` says why."""

    at_s: float
    action: str
    node: str
    done: bool
    note: str = ""


class NodeProcess(Protocol):
    """A process that stays the same one even if its id is given away again (psutil's does)."""

    @property
    def pid(self) -> int: ...

    def send_signal(self, sig: int) -> None: ...


Find = Callable[[NodeRecord], NodeProcess]
Fleet = Callable[[], Awaitable[Sequence[NodeRecord]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strike:
    event: FaultEvent
    later: Iterator[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wake:
    node: str
    process: NodeProcess


class Injector:
    """Runs a schedule. ``fleet`` is asked before every fault: a restarted node has a new process.

    ``random`` targets are drawn from ``seed``, one draw a fault, among the ready nodes of this host
    in the order of their names: the same seed and the same fleet give the same faults.
    """

    def __init__(
        self,
        events: Sequence[FaultEvent],
        fleet: Fleet,
        clock: Clock,
        *,
        seed: int,
        find: Find | None = None,
        host: str | None = None,
    ) -> None:
        self.marks: list[FaultMark] = []
        self.unlisted = 0  # beyond MAX_MARKS
        self._fleet = fleet
        self._clock = clock
        self._random = Random(seed)
        self._find = find or find_process
        self._host = host or socket.gethostname()
        self._order = count()
        self._due: list[tuple[float, int, _Strike | _Wake]] = []
        for event in events:
            later = times(event)
            self._push(next(later), _Strike(event=event, later=later))

    async def run(self, start: float, until_s: float | None = None) -> None:
        """From ``start`` (monotonic seconds) on; no new fault after ``until_s`` seconds. What is
        stopped is continued at its time, and in any case before this returns or is cancelled."""
        try:
            while self._due:
                at_s, _, item = self._due[0]
                if isinstance(item, _Strike) and until_s is not None and at_s >= until_s:
                    heapq.heappop(self._due)
                    continue
                if (wait := start + at_s - self._clock.now()) > 0:
                    await self._clock.sleep(wait)
                heapq.heappop(self._due)
                match item:
                    case _Strike(event=event, later=later):
                        if (again := next(later, None)) is not None:
                            self._push(again, item)
                        await self._strike(event, start)
                    case _Wake():
                        self._wake(item, self._clock.now() - start)
        finally:
            for _, _, item in self._due:
                if isinstance(item, _Wake):
                    self._wake(item, self._clock.now() - start)
            self._due.clear()

    def _push(self, at_s: float, item: _Strike | _Wake) -> None:
        heapq.heappush(self._due, (at_s, next(self._order), item))

    async def _strike(self, event: FaultEvent, start: float) -> None:
        # Drawn even if nothing comes of it: what is drawn later must not depend on that.
        draw = self._random.random()
        node = event.target
        try:
            record = self._choose(event, await self._fleet(), draw)
            node = record.name
            process = self._find(record)
            process.send_signal(_SIGNALS[event.action])
        except (MeshError, psutil.Error, OSError) as error:
            reason = error.message if isinstance(error, MeshError) else str(error)
            self._mark(self._clock.now() - start, event.action, node, False, reason)
            return
        at_s = self._clock.now() - start
        self._mark(at_s, event.action, node, True, f"pid {process.pid}")
        if event.for_s is not None:
            self._push(at_s + event.for_s, _Wake(node=node, process=process))

    def _choose(self, event: FaultEvent, nodes: Sequence[NodeRecord], draw: float) -> NodeRecord:
        here = [node for node in nodes if node.host == self._host]
        if event.target == RANDOM:
            ready = [node for node in here if node.state is NodeState.READY]
            if not ready:
                raise NoCandidate("no node of this host is ready")
            ready.sort(key=lambda node: (node.name, node.id))
            return ready[int(draw * len(ready))]
        found = [node for node in here if event.target in (node.name, node.id)]
        if len(found) != 1:
            raise NoCandidate(f"{len(found)} nodes of this host are called so now")
        return found[0]

    def _wake(self, wake: _Wake, at_s: float) -> None:
        try:
            wake.process.send_signal(signal.SIGCONT)
        except (psutil.Error, OSError) as error:  # killed or restarted meanwhile
            self._mark(at_s, "continue", wake.node, False, str(error))
        else:
            self._mark(at_s, "continue", wake.node, True, f"pid {wake.process.pid}")

    def _mark(self, at_s: float, action: str, node: str, done: bool, note: str) -> None:
        if len(self.marks) >= MAX_MARKS:
            self.unlisted += 1
            return
        self.marks.append(FaultMark(at_s=at_s, action=action, node=node, done=done, note=note))


def find_process(record: NodeRecord) -> NodeProcess:
    """The process of ``record``, if it is a node's: a record outlives its process by a lease, and
    the id may be somebody else's by then. Raises ``NodeLost`` or ``ConfigError``."""
    try:
        process = psutil.Process(record.pid)
        words = process.cmdline()
    except psutil.Error:
        raise NodeLost(f"node '{record.name}' has no process {record.pid} any more") from None
    if ("-m", "node") not in pairwise(words):
        raise ConfigError(f"process {record.pid} is no node's; leaving it alone")
    with contextlib.suppress(psutil.Error):
        if process.status() == psutil.STATUS_ZOMBIE:
            raise NodeLost(f"node '{record.name}' (process {record.pid}) is dead already")
    return process
