"""Domain types survive the client plane's wire, and bad input is named, not guessed at."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import InvalidRequest, ProtocolError
from mesh.fleet.records import (
    Cpu,
    FleetView,
    Gpu,
    Heartbeat,
    Memory,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    NodeView,
    OrchestratorRecord,
)
from mesh.protobuf.events import event_from_wire, event_to_wire
from mesh.protobuf.fleet import fleet_from_wire, fleet_to_wire
from mesh.protobuf.request import request_from_wire, request_to_wire
from mesh.protobuf.route import (
    route_from_wire,
    route_request_from_wire,
    route_request_to_wire,
    route_to_wire,
    routed_from_wire,
    routed_to_wire,
)
from mesh.stream import Assigned, Decided, Done, Progress, Ready, Route, StreamEvent, Tokens
from mesh.types import (
    Alternative,
    Candidate,
    Decision,
    FinishReason,
    Message,
    ModelId,
    NodeId,
    OrchestratorId,
    Piece,
    Priority,
    Request,
    RequestId,
    Role,
    SaidSampling,
    Specialty,
    StageVerdict,
)
from mesh.v1 import mesh_pb2 as pb

ID = RequestId("ab" * 16)
DECISION = Decision(
    specialty=Specialty("math"),
    stage="rules",
    rule="sum",
    confidence=0.75,
    alternatives=(
        Alternative(specialty=Specialty("math"), probability=0.75, rule="sum"),
        Alternative(specialty=Specialty("chat"), probability=0.25),
    ),
    verdicts=(
        StageVerdict(stage="memo", specialty=None, confidence=0.0, rule=None, micros=1.5),
        StageVerdict(
            stage="rules",
            specialty=Specialty("math"),
            confidence=0.75,
            rule="sum",
            micros=9.0,
            note="fired",
        ),
    ),
    rules_version="abc",
    micros=11.0,
)
EVENTS: list[StreamEvent] = [
    Decided(request_id=ID, decision=DECISION),
    Assigned(node=NodeId("n"), node_name="box", model=ModelId("m"), attempt=2),
    Progress(phase="prefilling", done=3, total=9),
    Tokens(first=7, pieces=(Piece(id=1, text=""), Piece(id=2, text="ü"))),
    Done(
        reason=FinishReason.LENGTH,
        node=NodeId("n"),
        node_name="box",
        model=ModelId("m"),
        prompt_tokens=3,
        completion_tokens=4,
        cached_tokens=1,
        ttft_ms=12.5,
        tokens_per_second=99.0,
        resumed=True,
        attempts=2,
        trace_id="cd" * 16,
        queue_ms=0.5,
    ),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_survive_the_wire(event: StreamEvent) -> None:
    data = event_to_wire(event).SerializeToString()
    assert event_from_wire(pb.GenerateEvent.FromString(data)) == event


def test_requests_survive_the_wire() -> None:
    request = Request(
        id=ID,
        messages=(
            Message.of(Role.SYSTEM, "be brief"),
            Message.of(Role.USER, "hé"),
        ),
        sampling=SaidSampling(
            max_tokens=9,
            temperature=0.5,
            top_p=0.9,
            top_k=5,
            min_p=0.25,
            repetition_penalty=1.5,
            seed=0,
            stop=("\n\n",),
        ),
        specialty=Specialty("math"),
        model=ModelId("m"),
        timeout_s=2.5,
        priority=Priority.BATCH,
    )
    data = request_to_wire(request).SerializeToString()
    fresh = RequestId("0" * 32)
    assert request_from_wire(pb.GenerateRequest.FromString(data), fresh_id=fresh) == request


def test_what_a_client_leaves_out_was_not_said() -> None:
    wire = pb.GenerateRequest(messages=[pb.Message(role="user", content="x")])
    request = request_from_wire(wire, fresh_id=ID)
    assert request.id == ID
    assert request.sampling == SaidSampling()
    assert (request.specialty, request.model, request.timeout_s) == (None, None, None)
    assert request.priority is Priority.NORMAL


def test_a_zero_that_was_set_is_a_zero() -> None:
    wire = pb.GenerateRequest(
        messages=[pb.Message(role="user", content="x")], sampling=pb.Sampling(max_tokens=0, seed=0)
    )
    sampling = request_from_wire(wire, fresh_id=ID).sampling
    assert (sampling.max_tokens, sampling.seed) == (0, 0)


@pytest.mark.parametrize(
    ("wire", "names"),
    [
        (pb.GenerateRequest(messages=[pb.Message(role="root")]), "unknown role 'root'"),
        (pb.GenerateRequest(timeout_s=-1), "timeout_s"),
        (pb.GenerateRequest(timeout_s=math.nan), "timeout_s"),
        (pb.GenerateRequest(priority="urgent"), "priority 'urgent'"),
        (pb.GenerateRequest(request_id="me"), "request_id"),
        (pb.GenerateRequest(specialty="No Name"), "specialty"),
        (pb.GenerateRequest(model="m" * 600), "model"),
    ],
)
def test_bad_requests_are_named(wire: pb.GenerateRequest, names: str) -> None:
    with pytest.raises(InvalidRequest, match=names):
        request_from_wire(wire, fresh_id=ID)


def test_what_the_wire_cannot_hold_is_refused_before_it_is_sent() -> None:
    request = Request(id=ID, messages=(Message.of(Role.USER, "\ud800"),))
    with pytest.raises(InvalidRequest):
        request_to_wire(request)
    with pytest.raises(InvalidRequest):
        request_to_wire(replace(request, messages=(), sampling=SaidSampling(max_tokens=2**40)))


def test_events_of_a_newer_orchestrator_are_skipped_and_broken_ones_refused() -> None:
    assert event_from_wire(pb.GenerateEvent()) is None
    with pytest.raises(ProtocolError, match="pair up"):
        event_from_wire(pb.GenerateEvent(tokens=pb.Tokens(ids=[1], texts=[])))
    with pytest.raises(ProtocolError, match="upgrade"):
        event_from_wire(pb.GenerateEvent(done=pb.Done(finish_reason="tired")))


def test_routes_survive_the_wire() -> None:
    route = Route(
        decision=DECISION,
        candidates=(
            Candidate(
                node=NodeId("n"),
                node_name="box",
                model=ModelId("m"),
                eligible=True,
                reason="resident",
                score=2.5,
            ),
        ),
    )
    assert route_from_wire(route_to_wire(route, ID)) == route
    ready = Ready(
        source="exact",
        text="42",
        node_name="",
        model=ModelId("tools"),
        reason=FinishReason.STOP,
    )
    known = replace(route, ready=ready, prior=Specialty("math"))
    assert route_from_wire(route_to_wire(known, ID)) == known


def test_what_a_dry_run_asks_survives_the_wire() -> None:
    request = Request(
        id=ID,
        messages=(Message.of(Role.USER, "x"),),
        sampling=SaidSampling(max_tokens=7, seed=3),
        specialty=Specialty("math"),
        tenant="us",
        cacheable=False,
    )
    wire = route_request_to_wire(request)
    assert route_request_from_wire(wire, fresh_id=ID) == request
    # A client that says nothing of them asks with the defaults.
    bare = pb.RouteRequest(messages=[pb.Message(role="user", content="x")])
    assert route_request_from_wire(bare, fresh_id=ID) == Request(id=ID, messages=request.messages)


def test_a_batch_says_of_each_prompt_what_became_of_it() -> None:
    route = Route(decision=DECISION, candidates=())
    wire = routed_to_wire(3, route, ID)
    assert (wire.index, routed_from_wire(wire)) == (3, route)
    failed = routed_from_wire(routed_to_wire(4, InvalidRequest("the prompt is empty"), ID))
    assert isinstance(failed, InvalidRequest)
    assert failed.message == "the prompt is empty"
    with pytest.raises(ProtocolError, match="prompt 6"):
        routed_from_wire(pb.RouteBatchResponse(index=5))


def test_a_fleet_survives_the_wire_with_its_newest_slots() -> None:
    model = ModelRecord(
        id=ModelId("m"),
        engine="llama_cpp",
        specialties=(Specialty("math"),),
        state=ModelState.LOADING,
        slots=4,
        used_slots=0,
        context_length=512,
        device="GPU-1",
        error="none yet",
    )
    gpu = Gpu(
        uuid="GPU-1", name="P40", index=0, total_bytes=24 << 30, used_bytes=1, free_bytes=2,
        temperature_c=40.0,
    )  # fmt: skip
    record = NodeRecord(
        id=NodeId("n"),
        instance="",
        name="box",
        host="h",
        pid=7,
        state=NodeState.STARTING,
        reason="",
        endpoint="tcp://h:1",
        specialties=(Specialty("math"),),
        models=(model,),
        gpus=(gpu,),
        accelerator="one P40",
        cpu=Cpu(name="c", physical_cores=2, logical_cores=0),
        memory=Memory(total_bytes=2, available_bytes=1),
        started_at=5.0,
    )
    load = ModelLoad(model=ModelId("m"), state=ModelState.RESIDENT, slots=4, used_slots=3)
    heartbeat = Heartbeat(node=record.id, state=NodeState.READY, models=(load,))
    orchestrator = OrchestratorRecord(
        id=OrchestratorId("o"), instance="", name="one", host="h", pid=1, endpoint="h:7700"
    )
    view = FleetView(
        nodes={
            record.id: NodeView(
                record=record, heartbeat=heartbeat, last_seen=90.0, in_flight=2, link_up=True
            )
        },
        orchestrators={orchestrator.id: orchestrator},
    )
    wire = fleet_to_wire(view, registry_connected=True, now=100.0, wall=1000.0)
    status = fleet_from_wire(pb.FleetResponse.FromString(wire.SerializeToString()))
    node = status.nodes[0]
    newest = replace(model, state=ModelState.RESIDENT, used_slots=3)
    assert node.record == replace(record, state=NodeState.READY, models=(newest,))
    assert (node.last_seen, node.last_seen_age_s) == (990.0, 10.0)
    assert (node.in_flight, node.link_up) == (2, True)
    assert status.orchestrators == (orchestrator,)
    assert status.registry_connected


def test_a_record_that_the_wire_cannot_hold_hides_no_other() -> None:
    def node(name: str, started_at: float) -> NodeView:
        record = NodeRecord(
            id=NodeId(name), instance="", name=name, host="h", pid=1, started_at=started_at,
            state=NodeState.READY, reason="", endpoint="tcp://h:1",
        )  # fmt: skip
        return NodeView(record=record)

    view = FleetView(nodes={NodeId("a"): node("a", math.nan), NodeId("b"): node("b", 5)})
    wire = fleet_to_wire(view, registry_connected=False, now=1.0, wall=2.0)
    status = fleet_from_wire(wire)
    assert [listed.record.name for listed in status.nodes] == ["b"]
    assert [each.key for each in status.unreadable] == ["nodes/a"]


def test_a_record_that_this_client_cannot_read_is_named() -> None:
    newer = b'{"id": "n", "instance": "", "name": "n", "host": "h", "pid": 1, "reason": "", '
    newer += b'"endpoint": "e", "state": "dreaming", "mood": "a field of tomorrow"}'
    known = newer.replace(b"dreaming", b"ready")
    rows = [pb.Node(record=record) for record in (newer, b"", known)]
    rows.append(pb.Node(record=known, gone_since=math.inf))
    rows.append(pb.Node(record=known, last_seen_age_s=math.nan))
    status = fleet_from_wire(pb.FleetResponse(nodes=rows, orchestrators=[pb.Orchestrator()]))
    (read,) = status.nodes
    assert read.record.name == "n"
    told = [each.reason for each in status.unreadable]
    for reason, words in zip(
        told, ("dreaming", "a node", "moment", "age", "an orchestrator"), strict=True
    ):
        assert words in reason
        assert "upgrade the older of the two" in reason


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_request_or_an_invalid_one(data: bytes) -> None:
    with suppress(DecodeError, InvalidRequest):
        request_from_wire(pb.GenerateRequest.FromString(data), fresh_id=ID)
