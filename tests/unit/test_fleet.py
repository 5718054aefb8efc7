"""How records and hot signals change a fleet view."""

from __future__ import annotations

import pytest

from mesh.fleet import view as fleet
from mesh.fleet.records import (
    FleetView,
    Heartbeat,
    NodeRecord,
    NodeState,
    OrchestratorRecord,
    encode_record,
)
from mesh.registry.base import Change, Delete, Put
from mesh.types import NodeId, OrchestratorId

A, B = NodeId("a"), NodeId("b")
DEEP = b'{"new": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def _node(node: NodeId = A, instance: str = "1", state: NodeState = NodeState.READY) -> NodeRecord:
    return NodeRecord(
        id=node,
        instance=instance,
        name=f"box-{node}",
        host="host",
        pid=1,
        state=state,
        reason="",
        endpoint="tcp://127.0.0.1:1",
    )


def _put(record: NodeRecord) -> Put:
    return Put(f"nodes/{record.id}", encode_record(record))


_ORCHESTRATOR = Put(
    "orchestrators/o",
    encode_record(
        OrchestratorRecord(
            id=OrchestratorId("o"), instance="1", name="o", host="h", pid=2, endpoint="e"
        )
    ),
)


def _view(*records: NodeRecord) -> FleetView:
    view, problems = fleet.apply(FleetView(), [_put(r) for r in records], 1.0)
    assert problems == ()
    return view


def test_records_come_change_and_go() -> None:
    orchestrator = OrchestratorRecord(
        id=OrchestratorId("o"), instance="1", name="o", host="h", pid=2, endpoint="127.0.0.1:7700"
    )
    first, problems = fleet.apply(
        FleetView(),
        [_put(_node(A)), _put(_node(B)), Put("orchestrators/o", encode_record(orchestrator))],
        5.0,
    )
    assert problems == ()
    assert set(first.nodes) == {A, B}
    assert first.nodes[A].last_seen == 5.0
    assert first.orchestrators == {OrchestratorId("o"): orchestrator}
    second, _ = fleet.apply(
        first,
        [Delete("nodes/a"), Delete("orchestrators/o"), _put(_node(B, state=NodeState.DRAINING))],
        6.0,
    )
    assert set(second.nodes) == {B}
    assert second.orchestrators == {}
    assert second.nodes[B].record.state is NodeState.DRAINING
    assert second.revision == first.revision + 1


def test_the_old_view_is_left_as_it_was() -> None:
    before = _view(_node(A))
    fleet.apply(before, [Delete("nodes/a"), _put(_node(B))], 2.0)
    fleet.link(before, A, True, 2.0)
    fleet.in_flight(before, A, 1)
    assert set(before.nodes) == {A}
    assert (before.nodes[A].link_up, before.nodes[A].in_flight) == (False, 0)


def test_a_later_change_of_one_batch_wins() -> None:
    view, _ = fleet.apply(FleetView(), [_put(_node(A)), Delete("nodes/a")], 1.0)
    assert view.nodes == {}
    view, _ = fleet.apply(view, [Delete("nodes/a"), _put(_node(A, instance="2"))], 1.0)
    assert view.nodes[A].record.instance == "2"


def test_what_cannot_be_read_is_told_and_the_view_keeps_what_it_had() -> None:
    before = _view(_node(A))
    view, problems = fleet.apply(
        before,
        [
            Put("nodes/a", b"{half a reco"),
            Put("nodes/b", encode_record(_node(A))),
            Put("nodes/c", b'{"id": 3}'),
            Put("orchestrators/o", b"\xff"),
            Put("orchestrators/p", DEEP),
            Put("nodes/d", DEEP),
            Put("config/rules", b"not ours"),
            Put("", b""),
            Delete("nodes/never-there"),
            _put(_node(B)),
        ],
        2.0,
    )
    assert set(view.nodes) == {A, B}
    assert view.nodes[A] == before.nodes[A]
    assert [p.split(":")[0] for p in problems] == [
        "nodes/a",
        "nodes/b",
        "nodes/c",
        "orchestrators/o",
        "orchestrators/p",
        "nodes/d",
    ]
    assert "names another id, 'a'" in problems[1]


def test_nothing_changed_gives_the_same_view() -> None:
    view = _view(_node(A))
    assert fleet.apply(view, [], 2.0) == (view, ())
    assert fleet.apply(view, [Put("config/rules", b"x"), Delete("nodes/z")], 2.0)[0] is view


_NOTHING = [
    Put("config/rules", b"x"),
    Put("nodes/a", b"{"),
    Delete("nodes/z"),
    Delete("orchestrators/z"),
    Delete("config/rules"),
]


@pytest.mark.parametrize("nothing", _NOTHING, ids=lambda change: str(change)[:24])
@pytest.mark.parametrize(
    ("change", "nodes", "orchestrators"),
    [
        (Delete("nodes/a"), {B}, {"o"}),
        (Delete("orchestrators/o"), {A, B}, set()),
        (_put(_node(NodeId("c"))), {A, B, NodeId("c")}, {"o"}),
    ],
    ids=["node gone", "orchestrator gone", "node come"],
)
def test_one_change_of_a_batch_counts_whatever_stands_beside_it(
    change: Change, nothing: Change, nodes: set[NodeId], orchestrators: set[str]
) -> None:
    before, _ = fleet.apply(_view(_node(A), _node(B)), [_ORCHESTRATOR], 1.0)
    for batch in ([change], [change, nothing], [nothing, change]):
        after, _ = fleet.apply(before, batch, 2.0)
        assert (set(after.nodes), set(after.orchestrators)) == (nodes, orchestrators)
        assert after.revision == before.revision + 1


def test_a_record_put_again_keeps_what_links_and_attempts_told() -> None:
    view = _signalled()
    after, _ = fleet.apply(view, [_put(_node(A, state=NodeState.DRAINING))], 9.0)
    node = after.nodes[A]
    assert node.heartbeat == view.nodes[A].heartbeat
    assert (node.in_flight, node.link_up, node.set_aside_until) == (2, True, 50.0)
    assert node.last_seen == 9.0


def test_a_new_instance_owes_nothing_to_the_old_one() -> None:
    after, _ = fleet.apply(_signalled(), [_put(_node(A, instance="2"))], 9.0)
    node = after.nodes[A]
    assert (node.record.instance, node.last_seen) == ("2", 9.0)
    assert (node.heartbeat, node.set_aside_until, node.set_aside_reason) == (None, None, "")
    # these belong to this process, which takes them down itself
    assert (node.in_flight, node.link_up) == (2, True)


def test_a_link_that_goes_down_takes_its_heartbeat_with_it() -> None:
    node = fleet.link(_signalled(), A, False, 9.0).nodes[A]
    assert (node.link_up, node.heartbeat, node.set_aside_until) == (False, None, 50.0)
    assert node.last_seen == 3.0


def test_a_link_that_comes_up_is_a_sign_of_life_and_no_pardon() -> None:
    down = fleet.link(_signalled(), A, False, 4.0)
    node = fleet.link(down, A, True, 9.0).nodes[A]
    assert (node.link_up, node.last_seen, node.set_aside_until) == (True, 9.0, 50.0)


def test_a_heartbeat_is_a_sign_of_life() -> None:
    heartbeat = Heartbeat(node=A, state=NodeState.DRAINING)
    node = fleet.heard(_view(_node(A)), heartbeat, 7.0).nodes[A]
    assert (node.heartbeat, node.last_seen) == (heartbeat, 7.0)


def test_a_verdict_is_taken_back_with_its_reason() -> None:
    told = _signalled().nodes[A]
    assert (told.set_aside_until, told.set_aside_reason) == (50.0, "stalled")
    node = fleet.set_aside(_signalled(), A, None, "ignored").nodes[A]
    assert (node.set_aside_until, node.set_aside_reason) == (None, "")


def test_attempts_are_never_fewer_than_none() -> None:
    view = fleet.in_flight(_view(_node(A)), A, 1)
    view = fleet.in_flight(fleet.in_flight(view, A, -1), A, -1)
    assert view.nodes[A].in_flight == 0
    assert fleet.in_flight(view, A, 1).nodes[A].in_flight == 1


def test_signals_for_a_node_that_is_gone_change_nothing() -> None:
    view = _view(_node(A))
    gone = NodeId("gone")
    assert fleet.heard(view, Heartbeat(node=gone, state=NodeState.READY), 2.0) is view
    assert fleet.link(view, gone, True, 2.0) is view
    assert fleet.set_aside(view, gone, 9.0, "x") is view
    assert fleet.in_flight(view, gone, 1) is view


def _signalled() -> FleetView:
    view = fleet.link(_view(_node(A)), A, True, 2.0)
    view = fleet.heard(view, Heartbeat(node=A, state=NodeState.READY, expected_wait_s=0.5), 3.0)
    view = fleet.set_aside(view, A, 50.0, "stalled")
    return fleet.in_flight(view, A, 2)
