"""Placement by measured speeds: who would have a request answered soonest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.fleet.answer_time import (
    ANSWER_TOKENS,
    PROMPT_TOKENS,
    UNKNOWN_S,
    answer_s,
    band,
    decode_at,
)
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
from mesh.fleet.standings import row_of
from mesh.types import ModelId, NodeId, Specialty
from tests.unit.test_placement import _eligible, _place

RESIDENT, COLD = ModelState.RESIDENT, ModelState.COLD
# A batch of four makes 2.5 times as many tokens as one stream.
FAST: dict[str, Any] = {
    "prefill_tps": 1000.0,
    "decode_tps": 80.0,
    "decode_tps_half": 130.0,
    "decode_tps_full": 200.0,
}
SLOW: dict[str, Any] = {key: value / 2.5 for key, value in FAST.items()}
CPU_BOX: dict[str, Any] = {key: value / 20 for key, value in FAST.items()}
CARD = Gpu(uuid="GPU-1", name="card", index=0, total_bytes=0, used_bytes=0, free_bytes=0)
COOL, HOT = CARD, replace(CARD, throttled="too hot", throttled_to=0.5)


@dataclass(frozen=True, kw_only=True)
class Box:
    name: str
    speeds: dict[str, Any]
    used: int = 0
    queued: int = 0
    in_flight: int = 0
    wait: float | None = None
    node_wait: float = 0.0
    gpu: Gpu = COOL
    state: ModelState = RESIDENT
    changes: tuple[tuple[str, Any], ...] = ()

    def view(self) -> NodeView:
        given: dict[str, Any] = {
            "id": ModelId("m"),
            "engine": "llama_cpp",
            "specialties": (Specialty("math"),),
            "state": self.state,
            "slots": 4,
            "used_slots": 0,
            "context_length": 4096,
            "device": self.gpu.uuid,
        }
        model = ModelRecord(**(given | self.speeds | dict(self.changes)))
        record = NodeRecord(
            id=NodeId(f"id-{self.name}"),
            instance="i",
            name=self.name,
            host="h",
            pid=1,
            state=NodeState.READY,
            reason="",
            endpoint="tcp://127.0.0.1:1",
            models=(model,),
            gpus=(self.gpu,),
        )
        load = ModelLoad(
            model=model.id,
            state=self.state,
            slots=4,
            used_slots=self.used,
            queued=self.queued,
            expected_wait_s=self.wait,
        )
        beat = Heartbeat(
            node=record.id,
            state=NodeState.READY,
            models=(load,),
            expected_wait_s=self.node_wait,
        )
        return NodeView(record=record, heartbeat=beat, in_flight=self.in_flight, link_up=True)


def placed(*boxes: Box) -> list[str]:
    views = [box.view() for box in boxes]
    return _eligible(_place(FleetView(nodes={view.record.id: view for view in views})))


FIRST = [
    ("the faster of two idle ones", [Box(name="fast", speeds=FAST), Box(name="slow", speeds=SLOW)]),
    ("the faster of two equally busy ones",
     [Box(name="fast", speeds=FAST, used=2), Box(name="slow", speeds=SLOW, used=2)]),
    ("a fast one with some work before a slow idle one: 4.2 against 6.8 s",
     [Box(name="fast", speeds=FAST, used=3), Box(name="slow", speeds=SLOW)]),
    ("an idle slow one before a fast one that is shared by so many that it is slower",
     [Box(name="slow", speeds=SLOW),
      Box(name="fast", speeds=FAST | {"decode_tps_half": 80.0, "decode_tps_full": 80.0}, used=3)]),
    ("any free slot before none, since nobody is sent to wait at a node",
     [Box(name="cpu", speeds=CPU_BOX), Box(name="fast", speeds=FAST, used=4)]),
    ("of two full ones, the sooner: wait and work together",
     [Box(name="fast", speeds=FAST, used=4, wait=3.0),
      Box(name="slow", speeds=SLOW, used=4, wait=1.0)]),
    ("of two full ones, the slower where its line is that much shorter",
     [Box(name="slow", speeds=SLOW, used=4, wait=1.0),
      Box(name="fast", speeds=FAST, used=4, queued=9, wait=30.0)]),
    ("a cool card before the same card that is throttled",
     [Box(name="cool", speeds=FAST), Box(name="hot", speeds=FAST, gpu=HOT)]),
    ("a cool busy card before the same card idle and throttled",
     [Box(name="cool", speeds=SLOW, used=1), Box(name="hot", speeds=SLOW, gpu=HOT)]),
    ("a throttled card that is still the fastest", [Box(name="hot", speeds=FAST, gpu=HOT),
     Box(name="cpu", speeds=CPU_BOX)]),
    ("a throttled card after its like where nobody measured either",
     [Box(name="cool", speeds={}), Box(name="hot", speeds={}, gpu=HOT)]),
    ("a measured fast one before one that nobody measured",
     [Box(name="fast", speeds=FAST), Box(name="new", speeds={})]),
    ("one that nobody measured before one measured to be very slow",
     [Box(name="new", speeds={}), Box(name="cpu", speeds=CPU_BOX)]),
    ("a resident slow one before a cold fast one",
     [Box(name="slow", speeds=SLOW), Box(name="fast", speeds=FAST, state=COLD)]),
    ("of two cold ones, the one that loads sooner",
     [Box(name="slow", speeds=SLOW, state=COLD, changes=(("load_s", 2.0),)),
      Box(name="fast", speeds=FAST, state=COLD, changes=(("load_s", 60.0),))]),
    ("exact tools before a model that does the same",
     [Box(name="tools", speeds={}, changes=(("instant", True),)), Box(name="fast", speeds=FAST)]),
    ("attempts that no heartbeat tells of yet are work too",
     [Box(name="a", speeds=FAST, used=1), Box(name="b", speeds=FAST, in_flight=4)]),
]  # fmt: skip


@pytest.mark.parametrize(("why", "boxes"), FIRST, ids=[why for why, _ in FIRST])
def test_first_is(why: str, boxes: list[Box]) -> None:
    for order in permutations(boxes):
        assert placed(*order) == [box.name for box in boxes], why


def test_nodes_within_a_quarter_are_equal_and_share_the_load_by_free_slots() -> None:
    linear = {"decode_tps": 50.0, "decode_tps_half": 100.0, "decode_tps_full": 200.0}
    like = {key: value * 1.02 for key, value in linear.items()}
    boxes = Box(name="a", speeds=like, used=1), Box(name="b", speeds=linear)
    assert placed(*boxes) == ["b", "a"]


def test_a_model_waits_as_long_as_it_says_itself_and_not_as_its_node_does() -> None:
    own = Box(name="a", speeds=FAST, used=4, wait=7.0, node_wait=0.0).view()
    older = Box(name="a", speeds=FAST, used=4, node_wait=2.0).view()
    for view, wait in ((own, 7.0), (older, 2.0)):
        assert view.heartbeat is not None
        assert row_of(view, view.record.models[0], view.heartbeat.models[0]).wait_s == wait


def test_the_reason_says_how_long_an_answer_takes() -> None:
    view = Box(name="a", speeds=FAST).view()
    (row,) = _place(FleetView(nodes={view.record.id: view}))
    assert row.reason == "resident, 4 of 4 slots free, an answer in about 2.7 s"


def model(**changes: Any) -> ModelRecord:
    return Box(name="x", speeds={}, changes=tuple(changes.items())).view().record.models[0]


def seconds(record: ModelRecord, gpu: Gpu = COOL, **changes: Any) -> float | None:
    given: dict[str, Any] = {"state": RESIDENT, "free_slots": 4, "unseen": 0, "wait_s": 0.0}
    return answer_s(record, (gpu,), **(given | changes))


def test_the_sums() -> None:
    record = model(**FAST)
    alone = PROMPT_TOKENS / 1000 + ANSWER_TOKENS / 80
    assert seconds(record) == pytest.approx(alone)
    assert seconds(record, HOT) == pytest.approx(2 * alone)
    fourth = PROMPT_TOKENS / 1000 + ANSWER_TOKENS * 4 / 200
    assert seconds(record, free_slots=1) == pytest.approx(fourth)
    assert seconds(record, free_slots=0, wait_s=3.0) == pytest.approx(3.0 + fourth)
    whole = PROMPT_TOKENS / 1000 + ANSWER_TOKENS / 200
    told = seconds(record, free_slots=-2, wait_s=3.0, unseen=2)
    assert told == pytest.approx(3.0 + 2 * whole + fourth)
    assert seconds(model()) is None


@given(
    speeds=st.tuples(*[st.sampled_from([0.0, -1.0, 1e-300, 0.5, 80.0, 1e300])] * 4),
    left=st.sampled_from([-1.0, 0.0, 1e-9, 0.5, 1.0, 7.0]),
    free=st.integers(-50, 64),
    slots=st.integers(0, 64),
    wait=st.sampled_from([0.0, 1.0, 1e12]),
    state=st.sampled_from(list(ModelState)),
)
def test_no_record_of_another_box_breaks_the_sums(
    speeds: tuple[float, ...], left: float, free: int, slots: int, wait: float, state: ModelState
) -> None:
    record = replace(model(**dict(zip(FAST, speeds, strict=True))), slots=slots)
    gpus = (replace(CARD, throttled_to=left),)
    found = answer_s(record, gpus, state=state, free_slots=free, unseen=3, wait_s=wait)
    assert found is None or 0 < found <= 1e6
    assert -50 < band(found, record, gpus) < 80


def test_speeds_between_levels_are_on_a_line_and_flat_beyond() -> None:
    known = {"slots": 8, "one": 40.0, "half": 100.0, "full": 160.0}
    assert [decode_at(n, **known) for n in (1, 4, 8, 12)] == [40.0, 100.0, 160.0, 160.0]  # type: ignore[arg-type]
    assert decode_at(6, **known) == pytest.approx(130.0)  # type: ignore[arg-type]
    assert decode_at(3, slots=8, one=0.0, half=0.0, full=0.0) == 0.0


def test_what_nobody_measured_counts_as_a_small_card() -> None:
    assert band(None, model(), (COOL,)) == band(UNKNOWN_S, model(), (COOL,))
    assert band(None, model(), (HOT,)) > band(None, model(), (COOL,))
