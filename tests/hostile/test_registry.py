"""The registry's door: whatever stands at a key costs that key alone, is named, and ends nobody."""

from __future__ import annotations

import io
import re
from math import inf, nan

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from mesh.cli.fleet import as_data, render
from mesh.cli.fleet_models import render_models
from mesh.fleet import view as change
from mesh.fleet.placement import rank, relieved
from mesh.fleet.reasons import candidates
from mesh.fleet.records import FleetView, Heartbeat, ModelLoad, ModelState, NodeState
from mesh.fleet.work import Work
from mesh.protobuf.fleet import fleet_from_wire, fleet_to_wire
from mesh.registry.announcements import holder_of
from mesh.registry.base import Delete, Put
from mesh.stream import FleetStatus
from mesh.types import ModelId, NodeId, Specialty
from mesh.v1 import mesh_pb2 as pb
from orchestrator.router.rule_file import read as read_rules
from tests.hostile.records import DEEP, ROWS, Row, data, gpu, model, node, orchestrator, spoilt

GOOD = (
    Put("nodes/good", data(node(id="good", name="good", models=[model(id="good")]))),
    Put("orchestrators/front", data(orchestrator(id="front", name="front"))),
)
WORK = Work(specialty=Specialty("math"), model=None, prompt_bytes=10, substitutes=())


def fleet_with(*changes: Put | Delete) -> FleetView:
    view, _ = change.apply(FleetView(), [*GOOD, *changes], 10.0)
    for name in view.nodes:
        view = change.link(view, name, True, 10.0)
    return view


def listed(view: FleetView) -> FleetStatus:
    wire = fleet_to_wire(view, registry_connected=True, now=20.0, wall=1.7e9)
    return fleet_from_wire(pb.FleetResponse.FromString(wire.SerializeToString()))


def screen(fleet: FleetStatus, width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, emoji=False)
    console.print(render(fleet))
    console.print(render_models(fleet, 1.7e9))
    text = out.getvalue()
    assert max(map(cell_len, text.splitlines())) <= width
    return text


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_cannot_be_read_is_set_aside_and_all_else_goes_on(row: Row) -> None:
    view = fleet_with(Put(row.key, row.value))
    assert list(view.nodes) == [NodeId("good")]
    assert list(view.orchestrators) == ["front"]
    assert [each.view.record.name for each in rank(view, WORK, 11.0).best()] == ["good"]
    status = listed(view)
    assert [each.record.name for each in status.nodes] == ["good"]
    (told,) = status.unreadable
    assert re.search(row.told, told.reason), told
    assert told.reason.isprintable()
    assert told.key.isprintable()
    assert len(told.key) <= 200
    for width in (40, 200):
        words = screen(status, width)
        assert "good" in words
        assert "set aside" in " ".join(words.split())
        assert "\x1b" not in words
    assert as_data(status)["unreadable"] == [{"key": told.key, "reason": told.reason}]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_no_value_on_a_nodes_own_key_makes_it_a_duplicate_or_ends_it(row: Row) -> None:
    holder = holder_of(row.value)  # returns, whatever it is
    assert holder is None or holder.instance == "i"


def test_what_was_there_stays_while_its_key_holds_a_stray_value_and_is_renewed_after_it() -> None:
    view = fleet_with(Put("nodes/good", b"x"))
    assert list(view.nodes) == ["good"]
    assert "nodes/good" in view.unreadable
    again, problems = change.apply(view, [Put("nodes/good", b"x")], 11.0)
    assert problems == ()  # named once
    other, problems = change.apply(again, [Put("nodes/good", b"[]")], 11.0)
    assert len(problems) == 1
    mended, problems = change.apply(other, [GOOD[0]], 12.0)
    assert (mended.unreadable, problems) == ({}, ())


def test_what_a_record_says_may_go_to_a_log_or_a_terminal() -> None:
    name = "box\x1b[2J\nERROR a forged line\u202e"
    content = node(name=name, models=[model(note=name)], gpus=[gpu(name=name)])
    view = fleet_with(Put("nodes/x", data(content)))
    record = view.nodes[NodeId("x")].record
    for text in (record.name, record.models[0].note, record.gpus[0].name):
        assert text == "box ERROR a forged line"
    assert fleet_with(Put("nodes/x", data(node(name="bÖx")))).name(NodeId("x")) == "bÖx"


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(spoilt())
def test_a_record_is_set_aside_or_goes_through_all_that_is_done_with_one(
    one: tuple[str, bytes],
) -> None:
    key, value = one
    view = fleet_with(Put(key, value))
    known = {f"nodes/{name}" for name in view.nodes} | {
        f"orchestrators/{name}" for name in view.orchestrators
    }
    assert (key in known) != (key in view.unreadable)
    ranking = rank(view, WORK, 11.0)
    assert "good" in [each.view.record.id for each in ranking.best()]
    assert len(candidates(ranking, ranking.explained())) >= 1
    relieved(ranking)
    status = listed(view)
    assert "good" in [each.record.id for each in status.nodes]
    assert len(status.nodes) == len(view.nodes)
    assert [each.key for each in status.unreadable] == list(view.unreadable)
    for width in (40, 200):
        assert "good" in screen(status, width)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(spoilt())
def test_a_client_shows_whatever_rows_it_is_sent(one: tuple[str, bytes]) -> None:
    rows = [pb.Node(record=one[1]), pb.Node(record=GOOD[0].value)]
    wire = pb.FleetResponse(nodes=rows, gone=rows, orchestrators=[pb.Orchestrator(record=one[1])])
    status = fleet_from_wire(wire)
    assert "good" in [each.record.id for each in status.nodes]
    for width in (40, 200):
        assert "good" in screen(status, width)


BEATS = st.builds(
    Heartbeat,
    node=st.just(NodeId("good")),
    state=st.sampled_from(NodeState),
    reason=st.text(max_size=20),
    models=st.lists(
        st.builds(
            ModelLoad,
            model=st.sampled_from([ModelId("good"), ModelId("other")]),
            state=st.sampled_from(ModelState),
            slots=st.sampled_from([0, 1, 4, 10**6, -1, 2**63]),
            used_slots=st.sampled_from([0, 1, 10**6, -1, 2**63]),
            queued=st.sampled_from([0, 3, 10**6, -1]),
            load_percent=st.sampled_from([0, 100, 101, -1]),
            unload_at=st.sampled_from([0.0, 1.7e9, 1e300, nan, inf]),
            expected_wait_s=st.sampled_from([None, 0.0, 1e300, inf, nan, -1.0]),
        ),
        max_size=2,
    ).map(tuple),
    free_vram_bytes=st.lists(st.sampled_from([0, 2**30, 2**60, 2**64 - 1, -1])).map(tuple),
    expected_wait_s=st.sampled_from([0.0, 3.0, 1e300, inf, nan, -1.0]),
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(BEATS)
def test_a_heartbeat_is_refused_or_goes_through_all_that_is_done_with_one(beat: Heartbeat) -> None:
    try:
        read = msgspec.msgpack.decode(msgspec.msgpack.encode(beat), type=Heartbeat)
    except msgspec.DecodeError:
        return
    other = Put("nodes/calm", data(node(id="calm", name="calm")))
    view = change.heard(fleet_with(other), read, 11.0)
    ranking = rank(view, WORK, 11.0)
    assert "calm" in [each.view.record.id for each in ranking.best()]
    assert len(candidates(ranking, ranking.explained())) == 2
    status = listed(view)
    assert [each.record.id for each in status.nodes] == ["calm", "good"]
    for width in (40, 200):
        assert "calm" in screen(status, width)


def test_a_node_that_left_is_gone_for_a_while_and_of_many_the_last_are_known() -> None:
    view = fleet_with()
    view, _ = change.apply(view, [Delete("nodes/good")], 100.0)
    wire = fleet_to_wire(view, registry_connected=True, now=130.0, wall=1.7e9)
    status = fleet_from_wire(wire)
    (gone,) = status.gone
    assert (gone.standing, gone.gone_since, gone.last_seen_age_s) == ("gone", 1.7e9 - 30, 30.0)
    assert status.nodes == ()
    assert re.search(r"good\s+gone", screen(status, 100))
    assert "good is gone since" in screen(status, 100)
    assert [each["state"] for each in as_data(status)["nodes"]] == ["gone"]
    late = fleet_to_wire(view, registry_connected=True, now=100.0 + change.GONE_S, wall=1.7e9)
    assert not late.gone
    back, _ = change.apply(view, [GOOD[0]], 140.0)
    assert back.gone == {}
    many = [Put(f"nodes/n{n}", data(node(id=f"n{n}"))) for n in range(200)]
    view, _ = change.apply(view, many, 150.0)
    view, _ = change.apply(view, [Delete(each.key) for each in many], 151.0)
    assert list(view.gone) == [f"n{n}" for n in range(200 - change.GONE_NODES, 200)]


def test_a_node_that_cannot_be_reached_is_not_ready() -> None:
    def standing(view: FleetView, now: float) -> str:
        wire = fleet_to_wire(view, registry_connected=True, now=now, wall=1.7e9)
        (node,) = fleet_from_wire(wire).nodes
        return node.standing

    good = NodeId("good")
    view = fleet_with()
    assert standing(view, 10.0) == "ready"
    lost = change.link(view, good, False, 20.0)
    assert standing(lost, 20.0) == "unreachable"
    assert re.search(r"good\s+unreachable", screen(listed(lost), 100))
    assert standing(change.link(lost, good, True, 21.0), 21.0) == "ready"
    silent = change.silent(view, good, 20.0)
    assert standing(silent, 20.0) == "unreachable"
    beat = Heartbeat(node=good, state=NodeState.DRAINING)
    assert standing(change.heard(silent, beat, 21.0), 21.0) == "draining"
    new, _ = change.apply(FleetView(), GOOD, 10.0)
    new = change.link(new, good, False, 10.0)
    assert standing(new, 10.5) == "ready"  # its first link has a moment
    assert standing(change.link(new, good, False, 11.5), 11.1) == "unreachable"


@pytest.mark.parametrize(
    "content",
    [b"x = " + b"9" * 5_000, b"x=" + DEEP, b"\xff", b"x = 2020-13-45", b"[" * 6_000, b"\x00"],
)
def test_rules_that_cannot_be_read_are_a_problem_and_no_defect(content: bytes) -> None:
    _, problems = read_rules(content)
    assert problems


def test_many_that_are_no_use_do_not_flood_the_listing() -> None:
    view = fleet_with(*(Put(f"nodes/{n:05}", b"x") for n in range(5_000)))
    status = listed(view)
    assert len(status.unreadable) == 100
    assert status.unreadable_more == 4_900
    assert "4,900 keys more" in screen(status, 80)
