"""Which node an order is for, and how its steps are worded."""

from __future__ import annotations

import pytest

from mesh.cli.ordering import chosen, words
from mesh.errors import ConfigError
from mesh.fleet.records import NodeRecord, NodeState
from mesh.orders import Phase, Step

COMMAND = "mesh load wren math"


def record(name: str, **changes: str) -> NodeRecord:
    given = {"id": f"node-{name}", "host": "here", "direct_endpoint": "127.0.0.1:1", **changes}
    return NodeRecord(  # type: ignore[call-arg]
        instance="i",
        name=name,
        pid=1,
        state=NodeState.READY,
        reason="",
        endpoint="tcp://127.0.0.1:2",
        **given,  # type: ignore[arg-type]
    )


def test_a_node_is_meant_by_name_or_id() -> None:
    fleet = [record("robin"), record("wren")]
    assert chosen("wren", fleet, "here", COMMAND).id == "node-wren"
    assert chosen("node-robin", fleet, "here", COMMAND).name == "robin"


def test_of_one_name_the_one_of_this_box_is_meant() -> None:
    fleet = [record("wren", host="there", id="node-1"), record("wren")]
    assert chosen("wren", fleet, "here", COMMAND).host == "here"


@pytest.mark.parametrize(
    ("fleet", "words_"),
    [
        ([], "no node 'wren' in the fleet; there are: none"),
        ([record("wrem")], "did you mean 'wrem'"),
        ([record("robin"), record("owl")], "there are: owl, robin"),
        ([record("wren", host="attic")], "runs on attic, and .* own box .*: run `mesh load wren"),
        ([record("wren", id="node-1"), record("wren", id="node-2")], "by id: node-1, node-2"),
        ([record("wren", direct_endpoint="")], "direct_bind = 'off'"),
    ],
)
def test_no_node_several_and_one_elsewhere_are_told_apart(
    fleet: list[NodeRecord], words_: str
) -> None:
    with pytest.raises(ConfigError, match=words_):
        chosen("wren", fleet, "here", COMMAND)


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (Step(phase=Phase.PULLING, model="m", percent=40), "pulling m: 40%"),
        (Step(phase=Phase.LOADING, model="m", percent=7), "loading m: 7%"),
        (Step(phase=Phase.WAITING, model="m", text="a makes room for it"), "m waits: a makes room"),
        (Step(phase=Phase.WAITING, model="m"), "looking at m"),
        (Step(phase=Phase.ANSWERS, model="m", answers=1), "m ends 1 answer first"),
        (Step(phase=Phase.ANSWERS, model="m", answers=3), "m ends 3 answers first"),
        (Step(phase=Phase.ANSWERS, model="m"), "m is ending"),
    ],
)
def test_a_step_is_a_line(step: Step, line: str) -> None:
    assert words(step).startswith(line)
