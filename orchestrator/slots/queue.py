"""Where requests wait for a slot: bounded, by priority with aging, bound to a node late.

A request does not pile up behind one node: it waits here, and the first slot that comes free and
fits is its own. ``Queue`` is the pure order; ``Admission`` is the thin shell that wakes whoever is
served. Policy at the limit: refused at once, with a hint when to come back.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from mesh.clock import Clock
from mesh.errors import DeadlineExceeded, Overloaded
from mesh.fleet.eligibility import asked_for
from mesh.fleet.outlook import Absent, Busy, Missing
from mesh.fleet.reasons import error_of
from mesh.fleet.records import ModelRecord
from mesh.fleet.work import Work
from mesh.types import Priority
from orchestrator.picture.fleet import Fleet
from orchestrator.slots.capacity import Reservation

# Seconds of waiting that lift a request by one priority. Nothing starves: a batch request that
# waited 20 s stands equal to an interactive one that came just now.
AGING_S = 10.0
# How long to hope for a node that is starting or being dialled. A link takes milliseconds to stand
# and a set-aside node is tried again within a second.
SETTLING_S = 2.0
# How long to wait for a node that was there, or may come, when nobody else could answer: a
# supervised node is up again within a few seconds. Alike for who lost its node in mid-answer and
# for who waits in line for its first token.
RECOVERY_S = 10.0
# How long to wait for a model that is being loaded, when nothing else could answer: as long as the
# slowest disks need. The request's own deadline is usually nearer.
LOADING_S = 300.0
RETRY_AFTER_S = (0.5, 30.0)  # bounds of the hint, seconds
_RANK = {Priority.INTERACTIVE: 0, Priority.NORMAL: 1, Priority.BATCH: 2}


@dataclass(slots=True, eq=False)
class Waiting:
    """One request in the queue. ``absent``: why no node at all is left for it, since
    ``lonely_since``; None while some node only needs to have a slot come free. ``hopeful``: a node
    was there for it, or was only away, since it waits here."""

    work: Work
    granted: asyncio.Future[Reservation]
    number: int = 0
    hopeful: bool = False
    lonely_since: float | None = None
    absent: Absent | None = None

    @property
    def order(self) -> tuple[float, int]:
        """Ascending. Aging needs no clock: that everyone's rank falls by one in ``AGING_S`` is the
        same as that a lower priority arrived so much later."""
        return (self.work.arrived + AGING_S * _RANK[self.work.priority], self.number)


@dataclass(slots=True)
class Queue:
    """Pure data. ``limit``: requests per priority; resumed ones pass it, since they were admitted
    before and there are no more of them than there are streams."""

    limit: int
    _lines: dict[Priority, dict[int, Waiting]] = field(
        default_factory=lambda: {priority: {} for priority in Priority}
    )
    _number: int = 0

    def add(self, waiting: Waiting) -> bool:
        """False: full."""
        line = self._lines[waiting.work.priority]
        if len(line) >= self.limit and not waiting.work.resuming:
            return False
        self._number += 1
        waiting.number = self._number
        line[waiting.number] = waiting
        return True

    def remove(self, waiting: Waiting) -> bool:
        """False: it was not there."""
        return self._lines[waiting.work.priority].pop(waiting.number, None) is not None

    def ordered(self) -> Iterator[Waiting]:
        """Whose turn it is, first to last; first come first served within a priority."""
        lines = [sorted(line.values(), key=_order) for line in self._lines.values()]
        return heapq.merge(*lines, key=_order)

    def depth(self, priority: Priority) -> int:
        return len(self._lines[priority])

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))


class Place:
    """A place in the queue, as a context: leaving it takes the request out and gives back what it
    was granted but did not take."""

    def __init__(self, waiting: Waiting, leave: Callable[[Waiting], None], clock: Clock) -> None:
        self._waiting = waiting
        self._leave = leave
        self._clock = clock
        self._taken = False

    @property
    def served(self) -> bool:
        """Whether ``reservation`` will not wait."""
        return self._waiting.granted.done()

    @property
    def phase(self) -> str:
        """What is waited for, as ``Progress`` says it: a model that is ``loading``, or a slot."""
        absent = self._waiting.absent
        return "loading" if absent is not None and absent.loading else "queued"

    @property
    def lonely(self) -> bool:
        """Whether there is no node at all for it, full or not."""
        return self._waiting.absent is not None

    async def reservation(self, deadline: float) -> Reservation:
        """Waits for a slot until ``deadline`` (monotonic seconds). Raises ``DeadlineExceeded``, or
        what ``Absent`` says when no node is left and none came within the request's patience."""
        begun = self._clock.now()
        try:
            async with asyncio.timeout(max(0.0, deadline - begun)):
                granted = await self._waiting.granted
        except TimeoutError:
            if self._waiting.absent is not None:
                raise error_of(self._waiting.absent) from None
            waited = self._clock.now() - begun
            raise DeadlineExceeded(
                f"no slot came free for '{self._waiting.work.specialty}' in {waited:.1f} s; "
                "allow more time or try again later"
            ) from None
        self._taken = True
        return granted

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave(self._waiting)
        granted = self._waiting.granted
        if self._taken or granted.cancel():
            return
        if not granted.cancelled() and granted.exception() is None:
            granted.result().release()


class Admission:
    """``take`` finds and holds a slot (``Capacity.take``). ``limit``: requests per priority."""

    def __init__(
        self,
        fleet: Fleet,
        take: Callable[[Work], Reservation | Busy | Absent],
        clock: Clock,
        *,
        limit: int,
    ) -> None:
        self._fleet = fleet
        self._take = take
        self._clock = clock
        self._queue = Queue(limit)
        self._matched = -1
        self._grants: deque[float] = deque(maxlen=16)

    @property
    def depth(self) -> dict[Priority, int]:
        """Requests waiting now."""
        return {priority: self._queue.depth(priority) for priority in Priority}

    async def run(self) -> None:
        """Matches waiting requests with slots at each change of the fleet, until cancelled. Changes
        that come in one turn of the loop cost one pass."""
        version = 0
        while True:
            version = await self._fleet.changed(version)
            self._match()

    def offer(self, work: Work) -> Reservation | None:
        """A slot at once, without overtaking anyone who waits for the like. None: ``queue`` it.
        Raises a ``NotServed`` when no node is there for it and none is expected, and the
        ``ContextOverflow`` of one that refused it for its length when none is larger."""
        if len(self._queue) and (self._matched != self._fleet.version or self._awaited(work)):
            return None
        match self._take(work):
            case Reservation() as reservation:
                return reservation
            case Absent() as absent if not _patience(work, absent):
                raise error_of(absent)
        return None

    def queue(self, work: Work) -> Place:
        """Raises ``Overloaded`` with ``retry_after_s`` when the queue of its priority is full."""
        future: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()
        waiting = Waiting(work, future)
        if not self._queue.add(waiting):
            hint = self._retry_after_s()
            raise Overloaded(
                f"{self._queue.limit} requests of priority '{work.priority}' wait already; "
                f"try again in {hint:.1f} s",
                retry_after_s=hint,
            )
        self._match()
        return Place(waiting, self._leave, self._clock)

    def awaited(self, model: ModelRecord) -> bool:
        """Whether somebody waits here for a slot of such a model."""
        return any(
            asked_for(model, work, specialty)
            for work in (waiting.work for waiting in self._queue.ordered())
            for specialty in (work.specialty, *work.substitutes)
        )

    def _leave(self, waiting: Waiting) -> None:
        self._queue.remove(waiting)

    def _awaited(self, work: Work) -> bool:
        return any(waiting.work.kind == work.kind for waiting in self._queue.ordered())

    def _match(self) -> None:
        self._matched = self._fleet.version
        now = self._clock.now()
        barred: dict[tuple[object, ...], Busy | Absent] = {}
        for waiting in self._queue.ordered():
            kind = waiting.work.kind
            if waiting.granted.done():
                continue
            found = barred.get(kind) or self._take(waiting.work)
            if not isinstance(found, Reservation):
                barred[kind] = found
            self._settle(waiting, found, now)

    def _settle(self, waiting: Waiting, found: Reservation | Busy | Absent, now: float) -> None:
        match found:
            case Reservation() as reservation:
                self._grants.append(now)
                self._queue.remove(waiting)
                waiting.granted.set_result(reservation)
            case Busy():
                waiting.lonely_since = waiting.absent = None
                waiting.hopeful = True
            case Absent() as absent:
                waiting.absent = absent
                waiting.hopeful = waiting.hopeful or _away(absent)
                if waiting.lonely_since is None:
                    waiting.lonely_since = now
                until = waiting.lonely_since + _patience(waiting.work, absent, waiting.hopeful)
                if until > now:
                    self._fleet.alarm(until)
                elif not waiting.work.settled:
                    waiting.work = replace(waiting.work, settled=True)
                    self._settle(waiting, self._take(waiting.work), now)
                else:
                    self._queue.remove(waiting)
                    waiting.granted.set_exception(error_of(absent))

    def _retry_after_s(self) -> float:
        """About when the queue will have moved through: its length times the mean gap of the last
        grants."""
        low, high = RETRY_AFTER_S
        if len(self._grants) < 2:
            return 2 * low
        gap = (self._clock.now() - self._grants[0]) / len(self._grants)
        return min(high, max(low, gap * len(self._queue)))


def _order(waiting: Waiting) -> tuple[float, int]:
    return waiting.order


def _away(absent: Absent) -> bool:
    """Whether there is a node for it, and it may come back."""
    return absent.may_come and absent.missing is Missing.FREE_NODE


def _patience(work: Work, absent: Absent, hopeful: bool = False) -> float:
    """Seconds to wait for a node when there is none. ``hopeful``: as of one that waits already."""
    patience_s = max(work.patience_s, SETTLING_S if hopeful or absent.may_come else 0.0)
    if not work.settled:
        return patience_s
    # Settled: a substitute could have answered by now, and there is none that can.
    if hopeful or _away(absent):
        patience_s = max(patience_s, RECOVERY_S)
    return max(patience_s, LOADING_S) if absent.loading else patience_s
