"""Placement: who is asked first, who is not asked, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import pytest

from mesh.fleet.placement import Ranking, known_models, known_specialties, rank, specialty_of
from mesh.fleet.reasons import candidates
from mesh.fleet.records import (
    FleetView,
    Gpu,
    Heartbeat,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    NodeView,
)
from mesh.fleet.work import Work
from mesh.types import Candidate, ModelId, NodeId, Specialty

NOW = 100.0
MATH, CODE, CHAT = Specialty("math"), Specialty("code"), Specialty("chat")
RESIDENT, LOADING, COLD, FAILED = (
    ModelState.RESIDENT,
    ModelState.LOADING,
    ModelState.COLD,
    ModelState.FAILED,
)


@dataclass(frozen=True, kw_only=True)
class Box:
    """One node as a row of a test table."""

    name: str
    serves: tuple[Specialty, ...] = (MATH,)
    model: str = "m"
    state: NodeState = NodeState.READY
    reason: str = ""
    model_state: ModelState = RESIDENT
    error: str | None = None
    slots: int = 4
    used: int = 0
    queued: int = 0
    context: int = 1024
    wait: float = 0.0
    vram: int = 0
    in_flight: int = 0
    link: bool = True
    aside: float | None = None
    heard: bool = True
    gpus: tuple[Gpu, ...] = field(default=())

    def view(self) -> NodeView:
        model = ModelRecord(
            id=ModelId(self.model),
            engine="simulated",
            specialties=self.serves,
            state=self.model_state,
            slots=self.slots,
            used_slots=self.used,
            context_length=self.context,
            device="cpu",
            error=self.error,
        )
        record = NodeRecord(
            id=NodeId(f"id-{self.name}"),
            instance="1",
            name=self.name,
            host="h",
            pid=1,
            state=self.state,
            reason=self.reason,
            endpoint="tcp://127.0.0.1:1",
            models=(model,),
            gpus=self.gpus,
        )
        load = ModelLoad(
            model=model.id,
            state=self.model_state,
            slots=self.slots,
            used_slots=self.used,
            queued=self.queued,
        )
        heartbeat = Heartbeat(
            node=record.id,
            state=self.state,
            reason=self.reason,
            models=(load,),
            free_vram_bytes=(self.vram,),
            expected_wait_s=self.wait,
        )
        return NodeView(
            record=record,
            heartbeat=heartbeat if self.heard else None,
            in_flight=self.in_flight,
            link_up=self.link,
            set_aside_until=self.aside,
            set_aside_reason="stalled" if self.aside else "",
        )


def _fleet(*boxes: Box) -> FleetView:
    views = [box.view() for box in boxes]
    return FleetView(nodes={view.record.id: view for view in views})


def _rank(
    fleet: FleetView,
    specialty: Specialty = MATH,
    *,
    substitutes: tuple[Specialty, ...] = (),
    unable: tuple[str, ...] = (),
    home: str | None = None,
    affinity: bytes | None = None,
    model: str | None = None,
    prompt_bytes: int = 100,
    exclude: tuple[str, ...] = (),
) -> Ranking:
    work = Work(
        specialty=specialty,
        substitutes=substitutes,
        unable=frozenset(map(ModelId, unable)),
        home=(NodeId(f"id-{home}"), ModelId("m")) if home else None,
        affinity=affinity,
        model=ModelId(model) if model else None,
        prompt_bytes=prompt_bytes,
        exclude=frozenset(NodeId(f"id-{name}") for name in exclude),
    )
    return rank(fleet, work, NOW)


def _place(fleet: FleetView, specialty: Specialty = MATH, **given: Any) -> tuple[Candidate, ...]:
    """Every row, worded."""
    ranking = _rank(fleet, specialty, **given)
    return candidates(ranking, ranking.explained())


def _eligible(rows: tuple[Candidate, ...]) -> list[str]:
    return [row.node_name for row in rows if row.eligible]


RANKS = [
    ("a resident model before a cold one, however busy", [Box(name="x", used=4),
     Box(name="y", model_state=COLD)]),
    ("loading before cold", [Box(name="x", model_state=LOADING), Box(name="y", model_state=COLD)]),
    ("more free slots first", [Box(name="x", slots=4, used=1), Box(name="y", slots=4, used=2)]),
    ("free slots count, not their share", [Box(name="x", slots=8, used=5),
     Box(name="y", slots=2, used=0)]),
    ("own attempts that no heartbeat tells of yet", [Box(name="x", used=1),
     Box(name="y", used=0, in_flight=2)]),
    ("own attempts that the heartbeat counts already are not counted twice",
     [Box(name="x", used=2, in_flight=2), Box(name="y", used=3)]),
    ("a queue in front of the slots", [Box(name="x", used=4), Box(name="y", used=4, queued=3)]),
    ("the shorter wait", [Box(name="x", used=4, wait=0.5), Box(name="y", used=4, wait=2.0)]),
    ("more VRAM headroom", [Box(name="x", vram=8 << 30), Box(name="y", vram=2 << 30)]),
    ("fewer own attempts", [Box(name="x", used=3, in_flight=1),
     Box(name="y", used=3, in_flight=2)]),
    ("a full node stays eligible, last", [Box(name="x"), Box(name="y", used=4)]),
]  # fmt: skip


@pytest.mark.parametrize(("why", "boxes"), RANKS, ids=[why for why, _ in RANKS])
def test_rank(why: str, boxes: list[Box]) -> None:
    for order in permutations(boxes):
        rows = _place(_fleet(*order))
        assert _eligible(rows) == [box.name for box in boxes], why
        assert [row.score for row in rows] == sorted((r.score for r in rows), reverse=True)


REFUSED = [
    (Box(name="x", serves=(CODE,)), "does not serve 'math'"),
    (Box(name="x", state=NodeState.DRAINING, reason="told to"), "draining: told to"),
    (Box(name="x", state=NodeState.STARTING), "starting"),
    (Box(name="x", state=NodeState.FAILED, reason="no model loads"), "failed: no model loads"),
    (Box(name="x", link=False), "no link to tcp://127.0.0.1:1"),
    (Box(name="x", aside=NOW + 1.5), "set aside for 1.5 s more: stalled"),
    (Box(name="x", model_state=FAILED, error="bad magic"), "model failed: bad magic"),
    (Box(name="x", model_state=FAILED), "model failed"),
    (
        Box(name="x", context=1),
        "a prompt of 100 bytes cannot fit its context of 1 tokens",
    ),
]


@pytest.mark.parametrize(("box", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_cannot_take_work_comes_last_with_its_reason(box: Box, reason: str) -> None:
    rows = _place(_fleet(box, Box(name="good", used=4)))
    assert [(row.node_name, row.eligible) for row in rows] == [("good", True), ("x", False)]
    assert rows[1].reason == reason
    assert rows[1].score == 0.0
    assert _rank(_fleet(box)).best() == ()


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (Box(name="x", used=1), "resident, 3 of 4 slots free"),
        (Box(name="x", slots=1), "resident, 1 of 1 slot free"),
        (Box(name="x", used=4, queued=2, wait=1.25), "resident, 0 of 4 slots free, wait 1.2 s"),
        (Box(name="x", model_state=COLD), "cold, 4 of 4 slots free"),
        (Box(name="x", aside=NOW - 1), "resident, 4 of 4 slots free"),
        # Its heartbeat is ahead of its record: the context is not known yet.
        (Box(name="x", context=0), "resident, 4 of 4 slots free"),
    ],
)
def test_an_eligible_row_says_what_ranks_it(box: Box, reason: str) -> None:
    (row,) = _place(_fleet(box))
    assert (row.eligible, row.reason) == (True, reason)


def test_a_node_already_tried_is_left_out() -> None:
    rows = _place(_fleet(Box(name="x"), Box(name="y", used=2)), exclude=("x",))
    assert _eligible(rows) == ["y"]
    assert rows[1].reason == "already tried for this request"


def test_a_specialty_that_nobody_has_goes_to_the_fallback_and_says_so() -> None:
    fleet = _fleet(Box(name="x", serves=(CHAT,)), Box(name="y", serves=(MATH,)))
    rows = _place(fleet, Specialty("knowledge"), substitutes=(CHAT,))
    assert [(row.node_name, row.eligible, row.reason) for row in rows] == [
        ("x", True, "no node serves 'knowledge'; resident, 4 of 4 slots free"),
        ("y", False, "no node serves 'knowledge'; does not serve 'chat'"),
    ]


def test_a_specialty_asked_for_by_name_is_not_replaced() -> None:
    rows = _place(_fleet(Box(name="x", serves=(CHAT,))), Specialty("knowledge"))
    assert [row.reason for row in rows] == ["does not serve 'knowledge'"]


def test_specialists_that_are_down_are_waited_for_and_not_replaced() -> None:
    fleet = _fleet(
        Box(name="x", serves=(CHAT,)), Box(name="y", serves=(MATH,), state=NodeState.DRAINING)
    )
    assert _eligible(_place(fleet, MATH, substitutes=(CHAT,))) == []


def test_a_model_asked_for_by_name_is_served_whatever_its_specialties() -> None:
    fleet = _fleet(Box(name="x", serves=(CODE,), model="coder"), Box(name="y"))
    rows = _place(fleet, MATH, substitutes=(CHAT,), model="coder")
    assert _eligible(rows) == ["x"]
    assert rows[1].reason == "is not 'coder'"


def test_a_heartbeat_overrules_the_record() -> None:
    box = Box(name="x", state=NodeState.READY).view()
    assert box.heartbeat is not None
    draining = Heartbeat(node=box.record.id, state=NodeState.DRAINING, reason="stopping")
    stale = NodeView(record=box.record, heartbeat=draining, link_up=True)
    (row,) = _place(FleetView(nodes={box.record.id: stale}))
    assert (row.eligible, row.reason) == (False, "draining: stopping")


def test_without_a_heartbeat_the_record_counts() -> None:
    (row,) = _place(_fleet(Box(name="x", used=3, heard=False)))
    assert row.reason == "resident, 1 of 4 slots free"


def test_ties_are_broken_the_same_way_each_time_and_spread_over_nodes() -> None:
    boxes = [Box(name=f"n{i}") for i in range(20)]
    order = _eligible(_place(_fleet(*boxes)))
    assert order == _eligible(_place(_fleet(*reversed(boxes))))
    other = _eligible(_place(_fleet(*(Box(name=f"n{i}", model="other") for i in range(20)))))
    assert order != other  # not everybody's first choice for every model


def test_a_burst_of_own_attempts_spreads_over_equal_nodes() -> None:
    counts = dict.fromkeys("abcd", 0)
    for _ in range(12):
        boxes = [Box(name=name, in_flight=n) for name, n in counts.items()]
        counts[_eligible(_place(_fleet(*boxes)))[0]] += 1
    assert set(counts.values()) == {3}


def test_a_node_without_models_and_an_empty_fleet() -> None:
    view = Box(name="x").view()
    bare = NodeRecord(
        id=NodeId("bare"),
        instance="1",
        name="bare",
        host="h",
        pid=1,
        state=NodeState.READY,
        reason="",
        endpoint="tcp://127.0.0.1:1",
    )
    rows = _place(
        FleetView(
            nodes={view.record.id: view, bare.id: NodeView(record=bare, link_up=True)},
        )
    )
    assert (rows[1].model, rows[1].reason) == ("", "has no model")
    assert _place(FleetView()) == ()


def test_what_the_fleet_knows() -> None:
    fleet = _fleet(
        Box(name="x", serves=(MATH, CODE), model="one"),
        Box(name="y", serves=(CHAT,), model="two", state=NodeState.FAILED),
    )
    assert known_specialties(fleet) == {MATH, CODE, CHAT}
    assert known_models(fleet) == {"one", "two"}
    assert specialty_of(fleet, ModelId("one")) == MATH
    assert specialty_of(fleet, ModelId("three")) is None
