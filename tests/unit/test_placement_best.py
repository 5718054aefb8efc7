"""``best`` is the beginning of what ``explained`` says, for less."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.fleet.placement import rank
from mesh.fleet.reasons import candidates
from mesh.fleet.records import (
    FleetView,
    Heartbeat,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    NodeView,
)
from mesh.fleet.standings import Standings
from mesh.fleet.work import Work
from mesh.types import ModelId, NodeId, Specialty

NOW = 100.0
NAMES = st.sampled_from(["math", "code", "chat"])
STATES = st.sampled_from(list(ModelState))


@st.composite
def models(draw: st.DrawFn) -> ModelRecord:
    return ModelRecord(
        id=ModelId(draw(st.sampled_from(["m1", "m2", "m3"]))),
        engine="simulated",
        specialties=tuple(map(Specialty, draw(st.lists(NAMES, min_size=1, max_size=2)))),
        state=draw(STATES),
        slots=draw(st.integers(1, 8)),
        used_slots=0,
        context_length=draw(st.sampled_from([2, 64, 4096])),
        device="cpu",
        decode_tps=draw(st.sampled_from([0.0, 0.0, 5.0, 50.0])),
    )


@st.composite
def nodes(draw: st.DrawFn, number: int) -> NodeView:
    hosted = draw(st.lists(models(), max_size=3, unique_by=lambda model: model.id))
    record = NodeRecord(
        id=NodeId(f"node-{number}"),
        instance="i",
        name=f"n{number}",
        host="h",
        pid=1,
        state=draw(st.sampled_from(list(NodeState))),
        reason="",
        endpoint="tcp://127.0.0.1:1",
        models=tuple(hosted),
    )
    beat = None
    if draw(st.booleans()):
        beat = Heartbeat(
            node=record.id,
            state=draw(st.sampled_from([NodeState.READY, NodeState.READY, NodeState.DRAINING])),
            models=tuple(
                ModelLoad(
                    model=model.id,
                    state=draw(STATES),
                    slots=model.slots,
                    used_slots=draw(st.integers(0, model.slots)),
                    queued=draw(st.integers(0, 2)),
                    expected_wait_s=draw(st.sampled_from([None, 0.0, 2.0])),
                )
                for model in hosted
            ),
            free_vram_bytes=tuple(draw(st.lists(st.integers(0, 5), max_size=2))),
            expected_wait_s=draw(st.sampled_from([0.0, 0.5])),
        )
    return NodeView(
        record=record,
        heartbeat=beat,
        link_up=draw(st.sampled_from([True, True, True, False])),
        in_flight=draw(st.integers(0, 4)),
        set_aside_until=draw(st.sampled_from([None, None, NOW - 1, NOW, NOW + 1])),
    )


@st.composite
def fleets(draw: st.DrawFn) -> FleetView:
    found = [draw(nodes(number)) for number in range(draw(st.integers(0, 6)))]
    return FleetView(nodes={view.record.id: view for view in found})


@settings(max_examples=300, deadline=None)
@given(
    views=st.lists(fleets(), min_size=1, max_size=3),
    specialty=NAMES,
    substitutes=st.lists(st.sampled_from(["chat", "code", "art"]), max_size=2, unique=True),
    model=st.sampled_from([None, None, "m1", "m9"]),
    prompt_bytes=st.sampled_from([0, 128, 129, 5000]),
    excluded=st.sets(st.sampled_from([NodeId("node-0"), NodeId("node-1")])),
    unable=st.sets(st.sampled_from([ModelId("m1"), ModelId("m3")]), max_size=1),
    prefer=st.one_of(
        st.none(),
        st.tuples(
            st.sampled_from([NodeId("node-0"), NodeId("node-2"), NodeId("node-9")]),
            st.sampled_from([ModelId("m1"), ModelId("m2")]),
        ),
    ),
    affinity=st.sampled_from([None, b"one", b"two"]),
    limit=st.integers(1, 4),
)
def test_the_first_rows_of_best_are_the_eligible_rows_of_explained(
    views: list[FleetView],
    specialty: str,
    substitutes: list[str],
    model: str | None,
    prompt_bytes: int,
    excluded: set[NodeId],
    unable: set[ModelId],
    prefer: tuple[NodeId, ModelId] | None,
    affinity: bytes | None,
    limit: int,
) -> None:
    standings = Standings()  # one over changing fleets, as an orchestrator has it
    for view in views:
        work = Work(
            specialty=Specialty(specialty),
            substitutes=tuple(map(Specialty, substitutes)),
            model=ModelId(model) if model else None,
            prompt_bytes=prompt_bytes,
            exclude=frozenset(excluded),
            unable=frozenset(unable),
            home=prefer,
            affinity=affinity,
        )
        fresh, kept = rank(view, work, NOW), rank(view, work, NOW, standings)
        rows = candidates(fresh, fresh.explained())
        wanted = tuple(row for row in rows if row.eligible)
        assert rows[: len(fresh)] == wanted
        assert candidates(kept, kept.best()) == wanted
        assert candidates(kept, kept.best(limit)) == wanted[:limit]
        odd = kept.best(only=lambda row: row.model.id != "m2")
        assert candidates(kept, odd) == tuple(row for row in wanted if row.model != "m2")


def test_a_changed_node_is_looked_at_again() -> None:
    view = FleetView(nodes={v.record.id: v for v in _many(3)})
    standings = Standings()
    work = Work(specialty=Specialty("math"), model=None, prompt_bytes=1)
    before = rank(view, work, NOW, standings).best()
    first = before[0].view
    gone = {**view.nodes, first.record.id: replace(first, link_up=False)}
    after = rank(replace(view, nodes=gone), work, NOW, standings).best()
    assert after == before[1:]


@pytest.mark.timeout(60)
def test_five_hundred_nodes_cost_a_fraction_of_a_millisecond() -> None:
    """The bar is 0.3 ms; ten times that here, since tests share their machine."""
    view = FleetView(nodes={v.record.id: v for v in _many(500)})
    standings = Standings()
    work = Work(
        specialty=Specialty("math"),
        model=None,
        prompt_bytes=100,
        home=(NodeId("node-17"), ModelId("m")),
        affinity=b"conversation",
    )
    took = []
    for _ in range(30):
        begun = time.perf_counter()
        rows = rank(view, work, NOW, standings).best(8)
        took.append(time.perf_counter() - begun)
    assert len(rows) == 8
    assert min(took) < 0.003


def _many(count: int) -> list[NodeView]:
    model = ModelRecord(
        id=ModelId("m"),
        engine="simulated",
        specialties=(Specialty("math"),),
        state=ModelState.RESIDENT,
        slots=8,
        used_slots=0,
        context_length=4096,
        device="cpu",
    )
    return [
        NodeView(
            record=NodeRecord(
                id=NodeId(f"node-{number}"),
                instance="i",
                name=f"n{number}",
                host="h",
                pid=1,
                state=NodeState.READY,
                reason="",
                endpoint="tcp://127.0.0.1:1",
                models=(model,),
            ),
            link_up=True,
            in_flight=number % 8,
        )
        for number in range(count)
    ]
