"""The fault schedule: what is read, what is refused and where, and whom it may hit."""

from __future__ import annotations

from itertools import islice

import pytest

from mesh.bench.faults import (
    Action,
    FaultEvent,
    check_targets,
    check_within,
    parse,
    times,
)
from mesh.errors import ConfigError
from mesh.fleet.records import NodeRecord, NodeState
from mesh.types import NodeId


def record(name: str, *, host: str = "here", node_id: str | None = None) -> NodeRecord:
    return NodeRecord(
        id=NodeId(node_id or f"node-{name}"),
        instance="",
        name=name,
        host=host,
        pid=1,
        state=NodeState.READY,
        reason="",
        endpoint="tcp://127.0.0.1:1",
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("kill node-2 at 10s", [FaultEvent(action=Action.KILL, target="node-2", at_s=10.0)]),
        (
            "stop math at 5s for 2s",
            [FaultEvent(action=Action.STOP, target="math", at_s=5.0, for_s=2.0)],
        ),
        (
            "kill node-2 at 10s;stop math at 500ms for 2s ; drain code at 1m;",
            [
                FaultEvent(action=Action.KILL, target="node-2", at_s=10.0),
                FaultEvent(action=Action.STOP, target="math", at_s=0.5, for_s=2.0),
                FaultEvent(action=Action.DRAIN, target="code", at_s=60.0),
            ],
        ),
        (
            "Kill RANDOM every 2s",
            [FaultEvent(action=Action.KILL, target="random", at_s=2.0, every_s=2.0)],
        ),
        (
            "stop random every 4s for 500ms",
            [FaultEvent(action=Action.STOP, target="random", at_s=4.0, every_s=4.0, for_s=0.5)],
        ),
        ("kill x at 0s", [FaultEvent(action=Action.KILL, target="x", at_s=0.0)]),
    ],
)
def test_a_schedule_is_read(text: str, wanted: list[FaultEvent]) -> None:
    assert list(parse(text)) == wanted
    assert parse("; ".join(map(str, wanted))) == tuple(wanted)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("explode math at 2s", 1, "'explode' where 'kill' or 'stop' or 'drain' belongs"),
        ("kill", 5, "the end where a node's name"),
        ("kill at 2s", 6, "'at' where a node's name"),
        ("kill math", 10, "the end where 'at' or 'every' belongs"),
        ("kill math in 2s", 11, "'in' where 'at' or 'every' belongs"),
        ("kill math at", 13, "the end where a time like"),
        ("kill math at 2", 14, "'2' where a time like"),
        ("kill math at 2s code", 17, "'code' where ';' or the end belongs"),
        ("kill math at 2s for 2s", 17, "only a stop lasts"),
        ("stop math at 2s", 16, "the end where 'for' belongs"),
        ("kill math every 50ms", 17, "a time of 100ms or more"),
        ("kill math at 2s; boom", 18, "'boom' where 'kill'"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, place: int, said: str) -> None:
    with pytest.raises(ConfigError, match="--faults: ") as caught:
        parse(text)
    assert f"at character {place}: " in caught.value.message
    assert said in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("text", ["", "  ", ";;"])
def test_an_empty_schedule_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no fault in it"):
        parse(text)


def test_a_repeated_fault_happens_at_every_multiple() -> None:
    (event,) = parse("kill random every 3s")
    assert list(islice(times(event), 4)) == [3.0, 6.0, 9.0, 12.0]
    (once,) = parse("kill x at 3s")
    assert list(times(once)) == [3.0]


@pytest.mark.parametrize("target", ["math", "node-math", "random"])
def test_a_node_of_this_host_may_be_hit(target: str) -> None:
    nodes = [record("math"), record("code", host="elsewhere")]
    check_targets(parse(f"kill {target} at 1s"), nodes, host="here")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nobody", "no node 'nobody' in the mesh; there are: code, far, far, math"),
        ("code", "node 'code' is on elsewhere and this is here"),
        ("far", "2 nodes are called 'far'; say an id instead: far-1, far-2"),
    ],
)
def test_a_node_that_is_not_here_is_refused(target: str, said: str) -> None:
    nodes = [
        record("math"),
        record("code", host="elsewhere"),
        record("far", node_id="far-1"),
        record("far", node_id="far-2"),
    ]
    with pytest.raises(ConfigError) as caught:
        check_targets(parse(f"kill {target} at 1s"), nodes, host="here")
    assert said in caught.value.message


def test_random_needs_a_node_of_this_host() -> None:
    with pytest.raises(ConfigError, match="no node of this mesh runs on here"):
        check_targets(parse("kill random every 1s"), [record("a", host="there")], host="here")


def test_a_fault_after_the_end_is_refused() -> None:
    check_within(parse("kill a at 4s"), 5.0)
    with pytest.raises(ConfigError, match="'kill a at 5s' never happens: the run lasts 5s"):
        check_within(parse("kill a at 5s"), 5.0)
