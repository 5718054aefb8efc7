"""The queue's order and limits (pure), and the shell that hands out slots."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import DeadlineExceeded, NoCandidate, Overloaded
from mesh.fleet.outlook import Absent, Busy, Missing
from mesh.fleet.placement import rank
from mesh.fleet.records import FleetView
from mesh.fleet.work import Work
from mesh.types import ModelId, Priority, Specialty
from orchestrator.slots.queue import AGING_S, RECOVERY_S, SETTLING_S, Admission, Queue, Waiting


def work(priority: Priority = Priority.NORMAL, arrived: float = 0.0, **given: Any) -> Work:
    fields: dict[str, Any] = {
        "specialty": Specialty("math"),
        "model": None,
        "prompt_bytes": 10,
        "priority": priority,
        "arrived": arrived,
    }
    return Work(**(fields | given))


def waiting(priority: Priority = Priority.NORMAL, arrived: float = 0.0, **given: Any) -> Waiting:
    return Waiting(work(priority, arrived, **given), asyncio.Future())


async def test_first_come_first_served_within_a_priority_and_by_priority_else() -> None:
    queue = Queue(limit=10)
    batch = waiting(Priority.BATCH, 1.0)
    normal, later = waiting(Priority.NORMAL, 2.0), waiting(Priority.NORMAL, 2.0)
    interactive = waiting(Priority.INTERACTIVE, 3.0)
    for each in (batch, normal, later, interactive):
        assert queue.add(each)
    assert list(queue.ordered()) == [interactive, normal, later, batch]
    assert [queue.depth(p) for p in Priority] == [1, 2, 1]
    assert queue.remove(normal)
    assert not queue.remove(normal)
    assert len(queue) == 3


async def test_waiting_lifts_a_request_over_newer_ones_of_higher_priority() -> None:
    queue = Queue(limit=10)
    batch = waiting(Priority.BATCH, 0.0)
    soon = waiting(Priority.INTERACTIVE, 2 * AGING_S - 0.1)
    late = waiting(Priority.INTERACTIVE, 2 * AGING_S + 0.1)
    for each in (late, soon, batch):
        queue.add(each)
    assert list(queue.ordered()) == [soon, batch, late]


async def test_the_limit_is_per_priority_and_resumed_requests_pass_it() -> None:
    queue = Queue(limit=1)
    assert queue.add(waiting())
    assert not queue.add(waiting())
    assert queue.add(waiting(Priority.BATCH))
    assert queue.add(waiting(resuming=True))
    assert len(queue) == 3


class Slots:
    """Stands for fleet and capacity: ``free`` slots, or nobody at all."""

    def __init__(self, clock: ManualClock, free: int = 0) -> None:
        self.clock = clock
        self.free = free
        self.absent: Absent | None = None
        self.version = 0
        self.taken: list[Work] = []
        self.alarms: list[float] = []
        self.released = 0
        self._event = asyncio.Event()

    def take(self, wanted: Work) -> Any:
        if self.absent is not None:
            return self.absent
        if self.free == 0:
            return Busy(1)
        self.free -= 1
        self.taken.append(wanted)
        return _Slot(self)

    def change(self) -> None:
        self.version += 1
        self._event.set()
        self._event = asyncio.Event()

    async def changed(self, since: int) -> int:
        while self.version <= since:
            await self._event.wait()
        return self.version

    def alarm(self, at: float) -> None:
        self.alarms.append(at)


def _Slot(slots: Slots) -> Any:
    from contextlib import ExitStack

    from mesh.fleet.records import ModelRecord, ModelState
    from mesh.types import Candidate, NodeId
    from orchestrator.slots.capacity import Reservation

    def give_back() -> None:
        slots.free += 1
        slots.released += 1
        slots.change()

    held = ExitStack()
    held.callback(give_back)
    model = ModelId("m")
    return Reservation(
        candidate=Candidate(node=NodeId("n"), node_name="n", model=model, eligible=True, reason=""),
        model=ModelRecord(
            id=model,
            engine="e",
            specialties=(),
            state=ModelState.RESIDENT,
            slots=1,
            used_slots=0,
            context_length=1,
            device="cpu",
        ),
        _held=held,
    )


def nobody(*, may_come: bool = False, loading: bool = False) -> Absent:
    ranking = rank(FleetView(), work(), 0.0)
    return Absent(Missing.NODE, ranking, may_come=may_come, loading=loading)


def shell(slots: Slots, limit: int = 4) -> Admission:
    return Admission(slots, slots.take, slots.clock, limit=limit)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_a_free_slot_is_taken_at_once(clock: ManualClock) -> None:
    slots = Slots(clock, free=1)
    reservation = shell(slots).offer(work())
    assert reservation is not None
    reservation.release()
    reservation.release()
    assert slots.released == 1


async def test_nobody_overtakes_those_who_wait_for_the_like(clock: ManualClock) -> None:
    slots = Slots(clock)
    admission = shell(slots)
    with admission.queue(work()) as place:
        slots.free = 1  # free, and nobody has been told yet
        slots.version += 1
        assert admission.offer(work()) is None
        with admission.queue(work()) as second:
            assert place.served
            assert not second.served
            reservation = await place.reservation(clock.now() + 1)
            reservation.release()


async def test_a_change_of_the_fleet_serves_the_one_whose_turn_it_is(clock: ManualClock) -> None:
    slots = Slots(clock)
    admission = shell(slots)
    runner = asyncio.ensure_future(admission.run())
    with (
        admission.queue(work(Priority.BATCH)) as batch,
        admission.queue(work(Priority.INTERACTIVE)) as interactive,
    ):
        slots.free = 1
        slots.change()
        await clock.settle()
        assert interactive.served
        assert not batch.served
    # The slot was granted and not taken: leaving gives it back.
    assert slots.released == 1
    assert admission.depth[Priority.BATCH] == 0
    runner.cancel()


async def test_a_full_queue_refuses_with_a_hint(clock: ManualClock) -> None:
    admission = shell(Slots(clock), limit=1)
    with admission.queue(work()):
        with pytest.raises(Overloaded, match="1 requests of priority 'normal'") as refusal:
            admission.queue(work())
        assert refusal.value.retry_after_s is not None
        with admission.queue(work(Priority.INTERACTIVE)):
            assert admission.depth[Priority.NORMAL] == 1


async def test_the_deadline_ends_the_wait(clock: ManualClock) -> None:
    admission = shell(Slots(clock))
    with admission.queue(work()) as place, pytest.raises(DeadlineExceeded, match="'math'"):
        await place.reservation(clock.now() + 0.02)
    assert admission.depth[Priority.NORMAL] == 0


async def test_when_nobody_is_there_and_nobody_will_come_the_refusal_is_at_once(
    clock: ManualClock,
) -> None:
    slots = Slots(clock)
    slots.absent = nobody()
    with pytest.raises(NoCandidate):
        shell(slots).offer(work())


async def test_a_node_that_may_come_is_waited_for_and_no_longer(clock: ManualClock) -> None:
    slots = Slots(clock)
    slots.absent = nobody(may_come=True)
    admission = shell(slots)
    assert admission.offer(work()) is None
    with admission.queue(work()) as place:
        assert slots.alarms == [clock.now() + SETTLING_S]
        assert not place.served
        await clock.advance(RECOVERY_S)
        with admission.queue(work()):  # any pass looks at everyone
            pass
        with pytest.raises(NoCandidate, match="no node is known yet"):
            await place.reservation(clock.now() + 60)


async def test_a_node_that_comes_in_time_serves(clock: ManualClock) -> None:
    slots = Slots(clock)
    slots.absent = nobody(may_come=True)
    admission = shell(slots)
    runner = asyncio.ensure_future(admission.run())
    with admission.queue(work()) as place:
        slots.absent, slots.free = None, 1
        slots.change()
        reservation = await place.reservation(clock.now() + 60)
        reservation.release()
    runner.cancel()
