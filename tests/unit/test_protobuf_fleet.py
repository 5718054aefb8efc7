"""Every field of a record crosses the client plane's wire, so that `mesh status` can show it."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.fleet.records import (
    PROTOCOL_VERSION,
    Cpu,
    FleetView,
    Gpu,
    Heartbeat,
    Memory,
    ModelCounts,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    NodeView,
    OrchestratorRecord,
    RefusedRules,
    RulesStatus,
)
from mesh.protobuf.fleet import current_record, fleet_from_wire, fleet_to_wire
from mesh.types import ModelId, NodeId, OrchestratorId, Specialty
from mesh.v1 import mesh_pb2 as pb
from tests.unit.test_placement import NOW, Box

WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12)
IDS = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,11}\Z")
ENDPOINTS = IDS.map(lambda host: f"{host}:7000")
PID = st.integers(1, 2**31 - 1)
COUNT = st.integers(1, 65_535)
PERCENT = st.integers(1, 100)
BYTES = st.integers(1, 2**53)
NUMBER = st.floats(0.001, 1e9)
CELSIUS = st.floats(0.001, 1e3)
WATTS = st.floats(0.001, 1e6)
SHARE = st.floats(0.01, 0.99)

COUNTS = st.builds(
    ModelCounts,
    sequences=BYTES,
    reused=BYTES,
    prompt_tokens=BYTES,
    reused_tokens=BYTES,
    drafted_tokens=BYTES,
    accepted_tokens=BYTES,
)
GPUS = st.builds(
    Gpu,
    uuid=WORDS,
    name=WORDS,
    index=COUNT,
    total_bytes=BYTES,
    used_bytes=BYTES,
    free_bytes=BYTES,
    temperature_c=CELSIUS,
    power_w=WATTS,
    utilisation=SHARE,
    compute_capability=WORDS,
    parent_uuid=WORDS,
    error=WORDS,
    throttled=WORDS,
    throttled_to=SHARE,
    dtypes=st.lists(WORDS, min_size=1, max_size=3).map(tuple),
    unified=st.just(True),
)
SPECIALTIES = st.lists(WORDS.map(Specialty), min_size=1, max_size=3).map(tuple)
MODELS = st.builds(
    ModelRecord,
    id=WORDS.map(ModelId),
    engine=WORDS,
    specialties=SPECIALTIES,
    state=st.sampled_from([ModelState.LOADING, ModelState.RESIDENT, ModelState.FAILED]),
    slots=COUNT,
    used_slots=COUNT,
    context_length=COUNT,
    device=WORDS,
    file=WORDS,
    file_bytes=BYTES,
    architecture=WORDS,
    parameters=BYTES,
    quantisation=WORDS,
    tokenizer_hash=WORDS,
    template_hash=WORDS,
    tier=WORDS,
    input_price=NUMBER,
    output_price=NUMBER,
    error=WORDS,
    pinned=st.just(True),
    ttl_s=NUMBER,
    estimated_bytes=BYTES,
    measured_bytes=BYTES,
    load_s=NUMBER,
    note=WORDS,
    last_error=WORDS,
    load_percent=PERCENT,
    unload_at=NUMBER,
    queued=COUNT,
    prefill_tps=NUMBER,
    decode_tps=NUMBER,
    decode_tps_half=NUMBER,
    decode_tps_full=NUMBER,
    cpu_fallback=st.just(True),
    embeds=st.just(True),
    instant=st.just(True),
    counts=COUNTS,
)
NODES = st.builds(
    NodeRecord,
    id=IDS.map(NodeId),
    instance=WORDS,
    name=WORDS,
    host=WORDS,
    pid=PID,
    state=st.sampled_from([NodeState.READY, NodeState.DRAINING, NodeState.FAILED]),
    reason=WORDS,
    endpoint=ENDPOINTS,
    transport=st.just("grpc"),
    direct_endpoint=ENDPOINTS,
    specialties=SPECIALTIES,
    models=st.lists(MODELS, min_size=1, max_size=2, unique_by=lambda each: each.id).map(tuple),
    gpus=st.lists(GPUS, min_size=1, max_size=2).map(tuple),
    accelerator=WORDS,
    cpu=st.builds(Cpu, name=WORDS, physical_cores=COUNT, logical_cores=COUNT, load=SHARE),
    memory=st.builds(Memory, total_bytes=BYTES, available_bytes=BYTES),
    version=WORDS,
    protocol=st.integers(PROTOCOL_VERSION + 1, 1000),
    started_at=NUMBER,
    updated_at=NUMBER,
)
ORCHESTRATORS = st.builds(
    OrchestratorRecord,
    id=IDS.map(OrchestratorId),
    instance=WORDS,
    name=WORDS,
    host=WORDS,
    pid=PID,
    endpoint=ENDPOINTS,
    version=WORDS,
    rules_version=WORDS,
    rules=st.builds(
        RulesStatus,
        version=WORDS,
        count=COUNT,
        refused=st.builds(RefusedRules, version=WORDS, why=WORDS, at=NUMBER),
    ),
    fallback=WORDS,
    ticket_key=WORDS,
    started_at=NUMBER,
    updated_at=NUMBER,
)


def over_the_wire(view: FleetView) -> Any:
    wire = fleet_to_wire(view, registry_connected=True, now=0.0, wall=0.0)
    return fleet_from_wire(pb.FleetResponse.FromString(wire.SerializeToString()))


def left_at_default(value: Any) -> list[str]:
    """Fields of a record, and of records in it, that a test has left as they are by default."""
    if isinstance(value, tuple):
        return [name for each in value for name in left_at_default(each)]
    if not is_dataclass(value) or isinstance(value, type):
        return []
    found = []
    for each in fields(value):
        now = getattr(value, each.name)
        found += [f"{type(value).__name__}.{each.name}"] if now == _default(each) else []
        found += left_at_default(now)
    return found


def _default(field: Field[Any]) -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default


@settings(max_examples=60, deadline=None)
@given(node=NODES, orchestrator=ORCHESTRATORS)
def test_every_field_of_a_record_crosses_the_wire(
    node: NodeRecord, orchestrator: OrchestratorRecord
) -> None:
    assert left_at_default((node, orchestrator)) == [], "a new field: give it a value above"
    view = FleetView(
        nodes={node.id: NodeView(record=node, link_up=True)},
        orchestrators={orchestrator.id: orchestrator},
    )
    found = over_the_wire(view)
    assert [each.record for each in found.nodes] == [node]
    assert found.orchestrators == (orchestrator,)


@settings(max_examples=30, deadline=None)
@given(model=MODELS, gpu=GPUS, node=NODES)
def test_what_nobody_knows_stays_unknown(model: ModelRecord, gpu: Gpu, node: NodeRecord) -> None:
    bare = replace(
        node,
        models=(replace(model, error=None, ttl_s=None, input_price=None, output_price=None),),
        gpus=(
            replace(
                gpu,
                temperature_c=None,
                power_w=None,
                utilisation=None,
                compute_capability=None,
                parent_uuid=None,
                error=None,
            ),
        ),
        cpu=None,
        memory=None,
    )
    (found,) = over_the_wire(FleetView(nodes={bare.id: NodeView(record=bare, link_up=True)})).nodes
    assert found.record == bare


@pytest.mark.parametrize("price", [0.0, -0.0])
def test_a_price_of_nothing_is_a_price(price: float) -> None:
    model = ModelRecord(
        id=ModelId("m"),
        engine="openai",
        specialties=(),
        state=ModelState.RESIDENT,
        slots=1,
        used_slots=0,
        context_length=1,
        device="cpu",
        input_price=price,
    )
    node = NodeRecord(
        id=NodeId("n"),
        instance="i",
        name="n",
        host="h",
        pid=1,
        state=NodeState.READY,
        reason="",
        endpoint="e",
        models=(model,),
    )
    view = NodeView(record=node, link_up=True)
    (found,) = over_the_wire(FleetView(nodes={node.id: view})).nodes
    assert found.record.models[0].input_price == 0.0
    assert found.record.models[0].output_price is None


@given(counts=COUNTS, record=NODES)
@settings(max_examples=20, deadline=None)
def test_a_heartbeats_counts_are_laid_over_the_record(
    counts: ModelCounts, record: NodeRecord
) -> None:
    model = record.models[0]
    load = ModelLoad(model=model.id, state=model.state, slots=4, used_slots=1, counts=counts)
    beat = Heartbeat(node=record.id, state=record.state, models=(load,))
    found = current_record(NodeView(record=record, heartbeat=beat))
    assert found.models[0].counts == counts


def test_a_model_that_is_set_aside_says_so_in_its_note_and_its_neighbour_does_not() -> None:
    seen = Box(name="x").view()
    good = seen.record.models[0]
    bad = replace(good, id=ModelId("bad"))
    seen = replace(
        seen,
        record=replace(seen.record, models=(good, bad)),
        models_aside={bad.id: (NOW + 1.0, "rubbish\x1b[2J")},
    )
    for now, note in ((NOW, "set aside after a failure: rubbish"), (NOW + 1.0, "")):
        view = FleetView(nodes={seen.record.id: seen})
        wire = fleet_to_wire(view, registry_connected=True, now=now, wall=1000.0)
        (node,) = fleet_from_wire(wire).nodes
        assert [model.note for model in node.record.models] == ["", note]
