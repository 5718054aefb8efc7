"""Which slot is held for a piece of work, and what is said when none is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.fleet.outlook import Absent, Busy, Missing
from mesh.fleet.records import FleetView, ModelRecord, NodeState, NodeView
from mesh.fleet.work import Work
from mesh.types import ModelId, NodeId
from orchestrator.slots.capacity import FEW, Capacity, Reservation
from tests.unit.test_placement import CHAT, MATH, Box, _fleet


@dataclass
class Fleet:
    """What ``Capacity`` asks of a fleet. ``free``: by node name; who is not in it has one."""

    view: FleetView
    free: dict[str, int] = field(default_factory=dict)
    registry_connected: bool = True
    unlinked: int = 0
    needed: list[str] = field(default_factory=list)
    held: Counter[tuple[str, str]] = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)

    def need(self, nodes: Iterable[NodeView]) -> None:
        self.needed += [node.record.name for node in nodes]

    def free_slots(self, node: NodeId, model: ModelId) -> int:
        name = self.view.nodes[node].record.name
        self.asked.append(name)
        return self.free.get(name, 1) - self.held[name, model]

    @contextmanager
    def hold(self, node: NodeId, model: ModelId) -> Iterator[None]:
        key = (self.view.nodes[node].record.name, model)
        self.held[key] += 1
        try:
            yield
        finally:
            self.held[key] -= 1


def work(**given: Any) -> Work:
    fields: dict[str, Any] = {"specialty": MATH, "model": None, "prompt_bytes": 100}
    return Work(**(fields | given))


def capacity(fleet: Fleet) -> Capacity:
    return Capacity(fleet, ManualClock(), registry="registry at test")  # type: ignore[arg-type]


def taken(fleet: Fleet, asked: Work | None = None) -> str:
    """The name of the node whose slot is held."""
    found = capacity(fleet).take(asked or work())
    assert isinstance(found, Reservation)
    return found.candidate.node_name


def ladder(count: int) -> list[Box]:
    """``n00`` ranks first, and each after it next."""
    return [Box(name=f"n{i:02}", slots=100, used=i) for i in range(count)]


def test_the_best_row_with_a_free_slot_is_held_and_given_back_once() -> None:
    fleet = Fleet(_fleet(*ladder(3)), free={"n00": 0})
    found = capacity(fleet).take(work())
    assert isinstance(found, Reservation)
    assert found.candidate.node_name == "n01"
    assert found.candidate.reason == "resident, 99 of 100 slots free"
    assert found.model is fleet.view.nodes[NodeId("id-n01")].record.models[0]
    assert +fleet.held == {("n01", "m"): 1}
    found.release()
    found.release()
    assert not +fleet.held


def test_leaving_the_context_gives_the_slot_back() -> None:
    fleet = Fleet(_fleet(*ladder(1)))
    found = capacity(fleet).take(work())
    assert isinstance(found, Reservation)
    with found as same:
        assert same is found
        assert fleet.held["n00", "m"] == 1
    assert fleet.held["n00", "m"] == 0


def test_a_held_slot_is_not_given_to_the_next() -> None:
    fleet = Fleet(_fleet(*ladder(2)))
    source = capacity(fleet)
    first, second = source.take(work()), source.take(work())
    assert isinstance(first, Reservation)
    assert isinstance(second, Reservation)
    assert (first.candidate.node_name, second.candidate.node_name) == ("n00", "n01")
    assert source.take(work()) == Busy(2)


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 3 * FEW])
def test_where_every_slot_is_taken_a_slot_is_waited_for(count: int) -> None:
    fleet = Fleet(_fleet(*ladder(count)), free=dict.fromkeys((f"n{i:02}" for i in range(count)), 0))
    assert capacity(fleet).take(work()) == Busy(count)
    assert not fleet.held


@pytest.mark.parametrize("free", [FEW - 1, FEW, FEW + 3])
def test_a_slot_is_found_however_far_down_the_ranking_it_is(free: int) -> None:
    count = FEW + 5
    full = {f"n{i:02}": 0 for i in range(count) if i != free}
    assert taken(Fleet(_fleet(*ladder(count)), free=full)) == f"n{free:02}"


def test_of_several_far_down_the_best_is_taken() -> None:
    full = {f"n{i:02}": 0 for i in range(FEW + 1)}
    assert taken(Fleet(_fleet(*ladder(FEW + 5)), free=full)) == f"n{FEW + 1:02}"


def test_a_large_fleet_is_not_asked_node_by_node_while_the_best_are_free() -> None:
    fleet = Fleet(_fleet(*ladder(50)), free={"n00": 0})
    assert taken(fleet) == "n01"
    assert fleet.asked == ["n00", "n01"]


def test_a_small_fleet_is_asked_once() -> None:
    fleet = Fleet(_fleet(*ladder(FEW)), free=dict.fromkeys((f"n{i:02}" for i in range(FEW)), 0))
    assert capacity(fleet).take(work()) == Busy(FEW)
    assert fleet.asked == [f"n{i:02}" for i in range(FEW)]


def test_the_model_that_began_the_answer_goes_on_with_it_wherever_it_ranks() -> None:
    far = Box(name="far", model="begun", slots=100, used=90)
    farther = Box(name="farther", model="begun", slots=100, used=95)
    boxes = [*ladder(2 * FEW), far, farther]
    asked = work(prefer=ModelId("begun"))
    assert taken(Fleet(_fleet(*boxes)), asked) == "far"
    assert taken(Fleet(_fleet(*boxes), free={"far": 0}), asked) == "farther"
    assert taken(Fleet(_fleet(*boxes), free={"far": 0, "farther": 0}), asked) == "n00"
    assert taken(Fleet(_fleet(*boxes)), work(prefer=ModelId("gone"))) == "n00"


def test_a_context_that_proved_too_small_is_not_tried_again() -> None:
    small = [replace(box, context=512) for box in ladder(FEW + 2)]
    large = Box(name="large", slots=100, used=50, context=2048)
    unknown = Box(name="unknown", slots=100, used=60, context=0)
    asked = work(larger_than=1024)
    boxes = [*small, large, unknown]
    assert taken(Fleet(_fleet(*boxes)), asked) == "large"
    assert taken(Fleet(_fleet(*boxes), free={"large": 0}), asked) == "unknown"
    full = {"large": 0, "unknown": 0}
    assert capacity(Fleet(_fleet(*boxes), free=full)).take(asked) == Busy(2)


def test_a_home_goes_first_and_where_it_is_full_the_best_does() -> None:
    boxes = ladder(3)
    asked = work(home=(NodeId("id-n02"), ModelId("m")))
    assert taken(Fleet(_fleet(*boxes)), asked) == "n02"
    assert taken(Fleet(_fleet(*boxes), free={"n02": 0}), asked) == "n00"


GONE = Box(name="gone", state=NodeState.DRAINING)
SOON = Box(name="soon", state=NodeState.STARTING)
TALKER = Box(name="talker", serves=(CHAT,), model="t")


def test_nobody_there_says_so_and_what_is_wrong_with_the_registry() -> None:
    found = capacity(Fleet(FleetView())).take(work())
    assert isinstance(found, Absent)
    assert (found.missing, found.registry, found.may_come) == (Missing.NODE, "", False)
    away = capacity(Fleet(FleetView(), registry_connected=False)).take(work())
    assert isinstance(away, Absent)
    assert away.registry == "registry at test is unreachable"
    assert away.may_come


def test_a_substitute_answers_where_no_specialist_will_come() -> None:
    fleet = Fleet(_fleet(GONE, TALKER))
    found = capacity(fleet).take(work(substitutes=(CHAT,)))
    assert isinstance(found, Reservation)
    assert found.candidate.node_name == "talker"
    assert found.candidate.reason.startswith("no node can take 'math' now; ")
    assert isinstance(capacity(fleet).take(work()), Absent)
    full = Fleet(_fleet(GONE, TALKER), free={"talker": 0})
    assert capacity(full).take(work(substitutes=(CHAT,))) == Busy(1)


@pytest.mark.parametrize(
    ("box", "given", "waits"),
    [
        (SOON, {}, True),
        (SOON, {"settled": True}, False),
        (GONE, {"patience_s": 5.0}, True),
        (GONE, {"patience_s": 5.0, "settled": True}, False),
        (GONE, {}, False),
    ],
)
def test_a_specialist_is_hoped_for_before_a_substitute_is_asked(
    box: Box, given: dict[str, Any], waits: bool
) -> None:
    found = capacity(Fleet(_fleet(box, TALKER))).take(work(substitutes=(CHAT,), **given))
    assert isinstance(found, Absent if waits else Reservation)


def test_what_a_reservation_holds_is_of_that_moment() -> None:
    fleet = Fleet(_fleet(Box(name="n", context=0)))
    source = capacity(fleet)
    first = source.take(work())
    assert isinstance(first, Reservation)
    first.release()
    node = fleet.view.nodes[NodeId("id-n")]
    told: ModelRecord = replace(node.record.models[0], context_length=512)
    newer = replace(node, record=replace(node.record, models=(told,)))
    fleet.view = replace(fleet.view, nodes={node.record.id: newer})
    second = source.take(work())
    assert isinstance(second, Reservation)
    assert (first.model.context_length, second.model.context_length) == (0, 512)


def test_who_may_serve_and_has_no_link_is_needed_and_nobody_else() -> None:
    boxes = [
        Box(name="far", link=False),
        Box(name="other", link=False, serves=(CHAT,)),
        Box(name="full", slots=1, used=1),
    ]
    fleet = Fleet(_fleet(*boxes), free={"full": 0})
    source = capacity(fleet)
    assert isinstance(source.take(work()), Busy)
    assert fleet.needed == []  # all have the link that they may have
    fleet.unlinked = 2
    assert isinstance(source.take(work()), Busy)
    assert fleet.needed == ["far"]
    source.take(work())
    assert fleet.needed == ["far"]  # not again at once
