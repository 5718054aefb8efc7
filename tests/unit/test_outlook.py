"""Nobody takes the work now: whether somebody will, and what the client hears if not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.errors import CannotAnswer, ContextOverflow, NoCandidate, UnknownModel, UnknownSpecialty
from mesh.fleet.outlook import Absent, Missing, absent
from mesh.fleet.placement import rank
from mesh.fleet.reasons import error_of
from mesh.fleet.records import FleetView, ModelLoad, ModelState, NodeState, NodeView
from mesh.fleet.work import Work
from mesh.types import ModelId, NodeId, Specialty
from tests.unit.test_placement import CHAT, CODE, FAILED, LOADING, MATH, NOW, Box, _fleet


def work(**given: Any) -> Work:
    fields: dict[str, Any] = {"specialty": MATH, "model": None, "prompt_bytes": 100}
    return Work(**(fields | given))


def outcome(fleet: FleetView, asked: Work | None = None, registry: str = "") -> Absent:
    ranking = rank(fleet, asked or work(), NOW)
    assert len(ranking) == 0
    return absent(ranking, registry=registry)


def message(found: Absent) -> str:
    return error_of(found).message


MAY_COME = [
    (Box(name="x", state=NodeState.STARTING), True),
    (Box(name="x", aside=NOW + 1), True),
    (Box(name="x", link=False), True),
    (Box(name="x", state=NodeState.DRAINING, aside=NOW + 1), False),
    (Box(name="x", state=NodeState.FAILED, link=False), False),
    (Box(name="x", model_state=FAILED), False),
    (Box(name="x", model_state=FAILED, state=NodeState.STARTING), True),
]


@pytest.mark.parametrize(("box", "may_come"), MAY_COME)
def test_a_node_that_is_about_to_take_work_is_worth_a_moment(box: Box, may_come: bool) -> None:
    for fleet in (_fleet(box), _fleet(Box(name="a", state=NodeState.DRAINING), box)):
        found = outcome(fleet)
        assert (found.missing, found.may_come) == (Missing.FREE_NODE, may_come)
        assert not found.loading


def test_nobody_waits_for_a_node_that_was_tried_or_is_for_other_work() -> None:
    starting = Box(name="x", state=NodeState.STARTING)
    tried = work(exclude=frozenset({NodeId("id-x")}))
    assert not outcome(_fleet(starting), tried).may_come
    other = Box(name="y", serves=(CODE,), state=NodeState.STARTING)
    assert not outcome(_fleet(Box(name="x", context=1), other)).may_come
    unable = work(unable=frozenset({ModelId("m")}))
    idle = Box(name="z", model="n", state=NodeState.DRAINING)
    assert not outcome(_fleet(starting, idle), unable).may_come


def loading(box: Box, state: ModelState = LOADING) -> NodeView:
    view = box.view()
    assert view.heartbeat is not None
    load = ModelLoad(model=ModelId(box.model), state=state, slots=0, used_slots=0)
    return replace(view, heartbeat=replace(view.heartbeat, models=(load,)))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(name="x", state=NodeState.STARTING), True),
        (Box(name="x", aside=NOW + 1), True),
        (Box(name="x", state=NodeState.DRAINING), False),
        (Box(name="x", state=NodeState.FAILED), False),
        (Box(name="x", state=NodeState.STARTING, link=False), False),
    ],
)
def test_a_model_that_is_being_loaded_is_worth_minutes(box: Box, expected: bool) -> None:
    view = loading(box)
    fleet = FleetView(nodes={view.record.id: view})
    assert outcome(fleet).loading is expected
    assert not outcome(fleet, work(exclude=frozenset({view.record.id}))).loading
    for other in (ModelState.RESIDENT, ModelState.COLD):
        idle = loading(box, other)
        assert not outcome(FleetView(nodes={idle.record.id: idle})).loading
    deaf = replace(view, heartbeat=None, record=replace(view.record, state=NodeState.STARTING))
    assert not outcome(FleetView(nodes={deaf.record.id: deaf})).loading


def test_an_empty_fleet_may_fill_when_the_registry_comes_back() -> None:
    found = outcome(FleetView())
    assert (found.missing, found.may_come) == (Missing.NODE, False)
    assert message(found) == "no node is known yet; start one with `mesh node` or `mesh up`"
    away = outcome(FleetView(), registry="the registry is unreachable")
    assert (away.missing, away.may_come) == (Missing.NODE, True)
    assert message(away) == "no node is known yet; the registry is unreachable"


def test_a_refusal_that_any_node_would_repeat_is_final_and_its_own_error() -> None:
    overflow = ContextOverflow("9 tokens, and 8 fit", node_id="n")
    inability = CannotAnswer("not plain arithmetic", node_id="n")
    starting = _fleet(Box(name="x", state=NodeState.STARTING))
    found = outcome(starting, work(overflow=overflow, inability=inability))
    assert (found.missing, found.may_come) == (Missing.CONTEXT, False)
    error = error_of(found)
    assert (type(error), error.message, error.node_id) == (ContextOverflow, overflow.message, "n")
    assert error is not overflow
    unable = work(inability=inability, unable=frozenset({ModelId("m")}))
    found = outcome(starting, unable)
    assert (found.missing, found.may_come) == (Missing.ABLE_MODEL, False)
    error = error_of(found)
    assert (type(error), error.message) == (CannotAnswer, inability.message)
    assert error is not inability
    # Another model of the specialty has not said so yet.
    both = _fleet(Box(name="x", link=False), Box(name="y", model="other", link=False))
    assert outcome(both, unable).missing is Missing.FREE_NODE


def test_each_request_gets_an_error_of_its_own() -> None:
    found = outcome(FleetView())
    first, second = error_of(found), error_of(found)
    first.request_id = "one"
    assert second.request_id is None


def test_a_name_that_nobody_knows_is_told_with_those_that_are_known() -> None:
    fleet = _fleet(
        Box(name="x", serves=(MATH,), model="one"), Box(name="y", serves=(CODE,), model="two")
    )
    found = outcome(fleet, work(model=ModelId("three")))
    assert (found.missing, type(error_of(found))) == (Missing.MODEL, UnknownModel)
    assert message(found) == "no node has a model 'three'; known models: one, two"
    found = outcome(fleet, work(specialty=CHAT))
    assert (found.missing, type(error_of(found))) == (Missing.SPECIALTY, UnknownSpecialty)
    assert message(found) == "no node serves 'chat'; known specialties: code, math"
    many = _fleet(*(Box(name=f"n{i:02}", model=f"m{i:02}", link=False) for i in range(22)))
    assert message(outcome(many, work(model=ModelId("x")))).endswith("m18, m19 and 2 more")


@pytest.mark.parametrize(
    ("substitutes", "named", "kind", "said"),
    [
        (("law",), True, UnknownSpecialty, "no node serves 'chat', nor 'law', which may stand in"),
        (("a", "b"), True, UnknownSpecialty, "nor 'a' or 'b', which may stand in for it; known"),
        (("law",), False, NoCandidate, "no node serves 'chat' or the fallback 'law'; known"),
        (("a", "law"), False, NoCandidate, "no node serves 'chat', 'a' or the fallback 'law';"),
        (("chat",), False, NoCandidate, "no node serves 'chat'; known specialties: math"),
    ],
)
def test_who_might_have_stood_in_is_told_too(
    substitutes: tuple[str, ...], named: bool, kind: type[Exception], said: str
) -> None:
    fleet = _fleet(Box(name="x"))
    asked = work(specialty=CHAT, substitutes=tuple(map(Specialty, substitutes)), named=named)
    found = outcome(fleet, asked)
    assert type(error_of(found)) is kind
    assert said in message(found)


def test_a_prompt_that_no_node_has_room_for_is_too_long_and_not_only_now() -> None:
    fleet = _fleet(Box(name="x", context=1_000), Box(name="y", context=2_000))
    found = outcome(fleet, work(prompt_bytes=1_000_000))
    assert found.missing is Missing.CONTEXT
    assert not found.may_come
    assert not found.loading
    assert type(error_of(found)) is ContextOverflow
    assert message(found) == (
        "the prompt has 1,000,000 bytes, and the largest context for 'math' has 2,000 tokens (on "
        "y), which it cannot fit; shorten it, or start a node with a larger --context"
    )
    room = Box(name="y", context=10**7, state=NodeState.STARTING)
    fleet = _fleet(Box(name="x", context=1_000), room)
    assert outcome(fleet, work(prompt_bytes=1_000_000)).may_come


def test_what_is_wrong_with_each_node_is_told_and_of_many_the_first() -> None:
    fleet = _fleet(Box(name="x", link=False), Box(name="y", serves=(CODE,)))
    assert message(outcome(fleet)) == (
        "no node can take 'math' now: x: no link to tcp://127.0.0.1:1"
    )
    named = outcome(fleet, work(model=ModelId("m"), exclude=frozenset({NodeId("id-y")})))
    assert message(named) == (
        "no node can take model 'm' now: x: no link to tcp://127.0.0.1:1; "
        "y: already tried for this request"
    )
    many = _fleet(*(Box(name=f"n{i}", state=NodeState.DRAINING) for i in range(7)))
    assert message(outcome(many)) == (
        "no node can take 'math' now: n0: draining; n1: draining; n2: draining; n3: draining; "
        "n4: draining; and 2 more"
    )


def test_a_prompt_too_long_for_one_waits_for_a_larger_one_that_is_away_for_a_moment() -> None:
    overflow = ContextOverflow("2,500 tokens, and 2,048 fit")
    asked = work(overflow=overflow, larger_than=2048)
    small, large = Box(name="a", context=2048), Box(name="b", context=8192, aside=NOW + 1)
    found = outcome(_fleet(small, large), asked)
    assert (found.missing, found.may_come) == (Missing.FREE_NODE, True)
    for other in (replace(large, context=2048), replace(large, state=NodeState.FAILED)):
        assert outcome(_fleet(small, other), asked).missing is Missing.CONTEXT
