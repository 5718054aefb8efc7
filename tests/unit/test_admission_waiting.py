"""Waiting for a slot: whose turn it is, how long there is hope, what those hear for whom there is
none."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import DeadlineExceeded, NoCandidate, Overloaded
from mesh.fleet.outlook import Busy
from mesh.fleet.work import Work
from mesh.types import ModelId, Priority, Specialty
from orchestrator.slots.queue import (
    AGING_S,
    LOADING_S,
    RECOVERY_S,
    RETRY_AFTER_S,
    SETTLING_S,
    Admission,
    Place,
    Queue,
)
from tests.unit.test_admission import Slots, nobody, shell, waiting, work


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def outcome(place: Place, clock: ManualClock) -> Any:
    """The reservation, or the error."""
    try:
        return await place.reservation(clock.now() + 60)
    except NoCandidate as error:
        return error


async def test_each_who_waited_in_vain_gets_an_error_of_its_own(clock: ManualClock) -> None:
    """An error is marked with its request's id when it is raised."""
    slots = Slots(clock)
    slots.absent = nobody(may_come=True)
    admission = shell(slots)
    with admission.queue(work()) as one, admission.queue(work()) as other:
        await clock.advance(RECOVERY_S)
        admission._match()
        errors = [await outcome(place, clock) for place in (one, other)]
    assert [type(error) for error in errors] == [NoCandidate, NoCandidate]
    assert errors[0] is not errors[1]
    assert errors[0].message == errors[1].message


async def test_who_is_offered_nothing_gets_an_error_of_its_own(clock: ManualClock) -> None:
    slots = Slots(clock)
    slots.absent = nobody()
    admission = shell(slots)
    errors = []
    for _ in range(2):
        with pytest.raises(NoCandidate) as refusal:
            admission.offer(work())
        errors.append(refusal.value)
    assert errors[0] is not errors[1]


@pytest.mark.parametrize(
    ("priority", "ahead_of"),
    [(Priority.BATCH, Priority.INTERACTIVE), (Priority.NORMAL, Priority.INTERACTIVE)],
)
async def test_a_request_rises_by_one_priority_in_the_time_of_aging(
    priority: Priority, ahead_of: Priority
) -> None:
    steps = 2 if priority is Priority.BATCH else 1
    for late_s, first in ((0.5, 0), (-0.5, 1)):
        queue = Queue(limit=2)
        old = waiting(priority, 100.0)
        new = waiting(ahead_of, 100.0 + steps * AGING_S + late_s)
        for each in (new, old):
            assert queue.add(each)
        assert list(queue.ordered()).index(old) == first


async def test_equals_are_served_in_the_order_in_which_they_came_and_not_by_when_they_began() -> (
    None
):
    queue = Queue(limit=3)
    first, second, third = (waiting(Priority.NORMAL, 5.0) for _ in range(3))
    for each in (first, second, third):
        queue.add(each)
    assert list(queue.ordered()) == [first, second, third]
    queue.remove(first)
    queue.add(first)
    assert list(queue.ordered()) == [second, third, first]
    assert (len(queue), queue.depth(Priority.NORMAL), queue.depth(Priority.BATCH)) == (3, 3, 0)


async def test_hope_is_over_after_its_time_and_begins_anew_once_somebody_was_there(
    clock: ManualClock,
) -> None:
    slots = Slots(clock)
    slots.absent = nobody(may_come=True)
    admission = shell(slots)
    with admission.queue(work()) as place:
        assert slots.alarms == [clock.now() + SETTLING_S]
        await clock.advance(RECOVERY_S - 0.1)
        slots.absent = None  # full, but there
        admission._match()
        slots.absent = nobody(may_come=True)
        admission._match()
        await clock.advance(RECOVERY_S - 0.1)
        admission._match()
        assert not place.served
        await clock.advance(0.2)
        admission._match()
        assert place.served
        assert isinstance(await outcome(place, clock), NoCandidate)
    assert admission.depth[Priority.NORMAL] == 0


@pytest.mark.parametrize("may_come", [True, False])
async def test_who_waits_for_a_slot_of_a_node_that_goes_away_waits_as_long_as_who_resumes(
    clock: ManualClock, may_come: bool
) -> None:
    """It is back in three seconds, and meanwhile perhaps its record is gone as well."""
    slots = Slots(clock)
    admission = shell(slots)
    with admission.queue(work()) as place:
        slots.absent = nobody(may_come=may_come)
        admission._match()
        await clock.advance(RECOVERY_S - 0.1)
        admission._match()
        assert not place.served
        slots.absent, slots.free = None, 1
        admission._match()
        assert place.served
        (await place.reservation(clock.now() + 1)).release()


async def test_a_registry_that_comes_and_is_empty_ends_the_hope(clock: ManualClock) -> None:
    slots = Slots(clock)
    slots.absent = replace(nobody(may_come=True), registry="it is away")
    admission = shell(slots)
    with admission.queue(work()) as place:
        await clock.advance(SETTLING_S - 0.1)
        slots.absent = nobody(may_come=False)
        admission._match()
        assert isinstance(await outcome(place, clock), NoCandidate)


async def test_a_request_that_lost_its_node_waits_as_long_as_it_has_patience(
    clock: ManualClock,
) -> None:
    slots = Slots(clock)
    slots.absent = nobody()
    admission = shell(slots)
    patient = work(patience_s=7.0)
    assert admission.offer(patient) is None
    with admission.queue(patient) as place:
        assert slots.alarms == [clock.now() + 7.0]
        await clock.advance(6.9)
        admission._match()
        assert not place.served
        await clock.advance(0.2)
        admission._match()
        assert isinstance(await outcome(place, clock), NoCandidate)


class Choosy(Slots):
    """Who has hoped in vain gets a slot (of a substitute)."""

    def take(self, wanted: Work) -> Any:
        self.wanted = [*getattr(self, "wanted", []), wanted]
        if wanted.settled:
            self.absent = None
        return super().take(wanted)


async def test_once_hope_is_over_a_substitute_is_asked_before_the_request_is_given_up(
    clock: ManualClock,
) -> None:
    slots = Choosy(clock, free=1)
    slots.absent = nobody(may_come=True)
    admission = shell(slots)
    with admission.queue(work()) as place:
        assert not place.served
        await clock.advance(SETTLING_S)
        admission._match()
        assert place.served
        reservation = await place.reservation(clock.now() + 1)
        reservation.release()
    assert [wanted.settled for wanted in slots.wanted] == [False, False, True]


async def test_a_model_that_is_being_loaded_is_waited_for_when_nobody_else_can(
    clock: ManualClock,
) -> None:
    slots = Slots(clock)
    slots.absent = nobody(may_come=True, loading=True)
    admission = shell(slots)
    with admission.queue(work()) as place:
        assert place.phase == "loading"
        await clock.advance(SETTLING_S)
        admission._match()
        assert not place.served
        assert slots.alarms[-1] == clock.now() - SETTLING_S + LOADING_S
        await clock.advance(LOADING_S - SETTLING_S - 1)
        admission._match()
        assert not place.served
        await clock.advance(1)
        admission._match()
        assert isinstance(await outcome(place, clock), NoCandidate)


async def test_what_is_waited_for_is_told(clock: ManualClock) -> None:
    slots = Slots(clock)
    admission = shell(slots)
    with admission.queue(work()) as place:
        assert place.phase == "queued"
        slots.absent = nobody(may_come=True)
        admission._match()
        assert place.phase == "queued"
        slots.absent = nobody(loading=True, may_come=True)
        admission._match()
        assert place.phase == "loading"
        slots.absent = None
        admission._match()
        assert place.phase == "queued"


async def test_a_deadline_that_passes_while_nobody_is_there_says_why(clock: ManualClock) -> None:
    slots = Slots(clock)
    slots.absent = nobody(may_come=True)
    admission = shell(slots)
    with admission.queue(work()) as one, admission.queue(work()) as other:
        errors = []
        for place in (one, other):
            with pytest.raises(NoCandidate, match="no node is known yet") as refusal:
                await place.reservation(clock.now() + 0.02)
            errors.append(refusal.value)
        assert errors[0] is not errors[1]
    assert len(admission._queue) == 0


async def test_a_deadline_that_has_passed_ends_the_wait_at_once(clock: ManualClock) -> None:
    admission = shell(Slots(clock))
    with admission.queue(work()) as place, pytest.raises(DeadlineExceeded, match=r"in 0\.0 s"):
        await place.reservation(clock.now() - 5)


async def test_those_of_one_kind_are_looked_at_once_a_pass(clock: ManualClock) -> None:
    slots = Slots(clock)
    admission = shell(slots, limit=8)
    tried: list[Work] = []

    def take(wanted: Work) -> Any:
        tried.append(wanted)
        return Busy(1)

    admission._take = take
    other = work(specialty=Specialty("code"))
    with ExitStack() as stack:
        for each in (work(), work(), other, work(), other):
            stack.enter_context(admission.queue(each))
        tried.clear()
        admission._match()
        assert [wanted.specialty for wanted in tried] == ["math", "code"]


async def test_one_kind_that_waits_does_not_hold_up_another(clock: ManualClock) -> None:
    slots = Slots(clock)
    admission = shell(slots)

    def take(wanted: Work) -> Any:
        return Busy(1) if wanted.specialty == "math" else Slots.take(slots, wanted)

    admission._take = take
    slots.free = 1
    with admission.queue(work()) as math:
        admission._matched = slots.version
        reservation = admission.offer(work(specialty=Specialty("code")))
        assert reservation is not None
        reservation.release()
        slots.free = 1
        admission._matched = slots.version
        assert admission.offer(work()) is None, "it would overtake"
        with admission.queue(work(specialty=Specialty("code"))) as code:
            assert code.served
            assert not math.served


async def test_nobody_is_offered_anything_while_a_change_is_not_looked_at(
    clock: ManualClock,
) -> None:
    slots = Slots(clock)
    admission = shell(slots)
    with admission.queue(work()):
        slots.free = 1
        slots.version += 1
        assert admission.offer(work(specialty=Specialty("code"))) is None


@pytest.mark.parametrize(
    ("given", "other"),
    [
        ({"specialty": Specialty("code")}, True),
        ({"substitutes": (Specialty("chat"),)}, True),
        ({"model": ModelId("m")}, True),
        ({"prompt_bytes": 16}, True),
        ({"prompt_bytes": 15}, False),
        ({"exclude": frozenset({"n"})}, True),
        ({"unable": frozenset({"m"})}, True),
        ({"larger_than": 5}, True),
        ({"settled": True}, True),
        ({"embeds": True}, True),
        ({"priority": Priority.BATCH}, False),
        ({"arrived": 5.0}, False),
        ({"affinity": b"x"}, False),
    ],
)
def test_what_makes_work_of_another_kind(given: dict[str, Any], other: bool) -> None:
    assert (work(**given).kind != work().kind) is other


async def test_a_granted_slot_that_nobody_takes_is_given_back_and_a_taken_one_is_not(
    clock: ManualClock,
) -> None:
    slots = Slots(clock, free=2)
    admission = shell(slots)
    with admission.queue(work()) as place:
        assert place.served
    assert slots.released == 1
    with admission.queue(work()) as place:
        reservation = await place.reservation(clock.now() + 1)
    assert slots.released == 1
    reservation.release()
    assert slots.released == 2


async def test_who_leaves_the_queue_is_not_served(clock: ManualClock) -> None:
    slots = Slots(clock)
    admission = shell(slots)
    with admission.queue(work()):
        pass
    slots.free = 1
    admission._match()
    assert slots.free == 1
    # Cancelled while it waits: the task's own clean-up leaves the queue.
    slots.free = 0
    async with AsyncExitStack() as stack:
        place = stack.enter_context(admission.queue(work()))
        waiter = asyncio.ensure_future(place.reservation(clock.now() + 60))
        await asyncio.sleep(0)
        waiter.cancel()
    assert admission.depth[Priority.NORMAL] == 0
    slots.free = 1
    admission._match()
    assert slots.free == 1


def full(admission: Admission) -> Overloaded:
    with pytest.raises(Overloaded) as refusal:
        admission.queue(work())
    return refusal.value


async def test_the_hint_is_how_long_the_queue_takes_to_move_through(clock: ManualClock) -> None:
    slots = Slots(clock)
    admission = shell(slots, limit=3)
    low, high = RETRY_AFTER_S
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(admission.queue(work()))
        assert full(admission).retry_after_s == 2 * low, "nothing was granted yet"
        await grant(admission, slots, 1)
        assert full(admission).retry_after_s == 2 * low, "one says nothing of the pace"
        await clock.advance(4.0)
        await grant(admission, slots, 1)
        await clock.advance(4.0)
        # Two grants in 8 s, and three wait.
        assert full(admission).retry_after_s == pytest.approx(12.0)
        assert "try again in 12.0 s" in full(admission).message
        await clock.advance(1000.0)
        assert full(admission).retry_after_s == high
        await grant(admission, slots, 16)
        assert full(admission).retry_after_s == low


async def grant(admission: Admission, slots: Slots, count: int) -> None:
    """Lets ``count`` requests through that nobody else has anything of."""
    for _ in range(count):
        slots.free = 1
        with admission.queue(work(Priority.INTERACTIVE)) as place:
            (await place.reservation(slots.clock.now() + 1)).release()
        slots.free = 0


async def test_resumed_requests_are_never_turned_away(clock: ManualClock) -> None:
    admission = shell(Slots(clock), limit=1)
    with admission.queue(work()), admission.queue(work(resuming=True)):
        assert admission.depth[Priority.NORMAL] == 2
        full(admission)
