"""A node's model by its id, and the newest word on it."""

from __future__ import annotations

from dataclasses import replace

from mesh.fleet.records import FleetView, ModelLoad, ModelState, NodeState
from mesh.types import ModelId, NodeId
from tests.unit.test_placement import COLD, RESIDENT, Box, _fleet

M, OTHER = ModelId("m"), ModelId("other")


def test_a_model_is_found_by_its_id_on_its_node() -> None:
    view = Box(name="x").view()
    (record,) = view.record.models
    second = replace(record, id=OTHER)
    node = replace(view.record, models=(record, second))
    assert node.model(M) is record
    assert node.model(OTHER) is second
    assert node.model(ModelId("none")) is None
    fleet = FleetView(nodes={node.id: replace(view, record=node)})
    assert fleet.model(node.id, OTHER) is second
    assert fleet.model(node.id, ModelId("none")) is None
    assert fleet.model(NodeId("gone"), M) is None
    assert list(fleet.models()) == [record, second]


def test_a_model_that_several_host_comes_once_for_each() -> None:
    fleet = _fleet(Box(name="x"), Box(name="y"))
    assert [model.id for model in fleet.models()] == [M, M]


def test_a_heartbeat_is_the_newest_word_and_without_one_the_record_is() -> None:
    view = Box(name="x", model_state=COLD).view()
    assert view.heartbeat is not None
    load = ModelLoad(model=M, state=RESIDENT, slots=3, used_slots=1)
    other = replace(load, model=OTHER)
    told = replace(
        view,
        heartbeat=replace(
            view.heartbeat, models=(other, load), state=NodeState.DRAINING, reason="told to"
        ),
    )
    assert told.load(M) is load
    assert told.newest(M) is load
    assert told.newest(OTHER) is other
    assert (told.state, told.reason) == (NodeState.DRAINING, "told to")
    silent = replace(told, heartbeat=None)
    assert silent.load(M) is None
    newest = silent.newest(M)
    assert newest is silent.record.models[0]
    assert newest.state is ModelState.COLD
    assert silent.newest(OTHER) is None
    assert (silent.state, silent.reason) == (NodeState.READY, "")
    partial = replace(told, heartbeat=replace(view.heartbeat, models=()))
    assert partial.newest(M) is partial.record.models[0]
