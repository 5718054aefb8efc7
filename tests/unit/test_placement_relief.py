"""Who stands in, and when: nobody serves it, nobody able, nobody free."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.fleet.placement import Instead, Lack, rank, relieved, specialty_of, stand_in
from mesh.fleet.reasons import candidates
from mesh.fleet.records import FleetView, NodeState
from mesh.fleet.standings import Standings
from mesh.fleet.work import Work
from mesh.types import ModelId, NodeId, Specialty
from tests.unit.test_placement import CHAT, CODE, MATH, NOW, Box, _fleet

ART = Specialty("art")


def work(**given: Any) -> Work:
    fields: dict[str, Any] = {"specialty": MATH, "model": None, "prompt_bytes": 100}
    return Work(**(fields | given))


DOWN = Box(name="x", serves=(MATH,), state=NodeState.DRAINING)


def test_the_first_substitute_that_can_take_work_relieves_those_who_cannot() -> None:
    fleet = _fleet(
        DOWN,
        Box(name="a", serves=(ART,), link=False),
        Box(name="c", serves=(CODE,)),
        Box(name="t", serves=(CHAT,)),
    )
    ranking = rank(fleet, work(substitutes=(MATH, ART, CODE, CHAT)), NOW)
    assert len(ranking) == 0
    assert (ranking.specialty, ranking.instead) == (MATH, None)
    relief = relieved(ranking)
    assert relief is not None
    assert (relief.specialty, relief.instead) == (CODE, Instead(Lack.NOBODY_FREE, MATH))
    (row,) = candidates(relief, relief.best())
    assert row.node_name == "c"
    assert row.reason == "no node can take 'math' now; resident, 4 of 4 slots free"


def test_nobody_relieves_where_no_substitute_can_or_may() -> None:
    fleet = _fleet(DOWN, Box(name="t", serves=(CHAT,), link=False), Box(name="c", serves=(CODE,)))
    assert relieved(rank(fleet, work(), NOW)) is None
    assert relieved(rank(fleet, work(substitutes=(CHAT,)), NOW)) is None
    named = work(substitutes=(CODE,), model=ModelId("other"))
    assert relieved(rank(fleet, named, NOW)) is None, "a model's name is no specialty"


def test_relief_keeps_to_what_the_work_needs_and_goes_without_its_home() -> None:
    fleet = _fleet(
        DOWN,
        Box(name="a", serves=(CHAT,), model="m", used=3),
        Box(name="b", serves=(CHAT,), model="n"),
        Box(name="d", serves=(CHAT,), model="o"),
    )
    asked = work(
        substitutes=(CHAT,),
        home=(NodeId("id-a"), ModelId("m")),
        exclude=frozenset({NodeId("id-b")}),
        unable=frozenset({ModelId("o")}),
    )
    relief = relieved(rank(fleet, asked, NOW), Standings())
    assert relief is not None
    assert [row.view.record.name for row in relief.best()] == ["a"]
    assert relief.home is None
    assert relief.now == NOW
    assert relief.view is fleet


def test_a_home_is_the_row_that_goes_first() -> None:
    fleet = _fleet(Box(name="home", used=3), Box(name="idle"))
    ranking = rank(fleet, work(home=(NodeId("id-home"), ModelId("m"))), NOW)
    first, second = ranking.best()
    assert ranking.home is first
    assert ranking.best(1) == (first,)
    assert ranking.best(only=lambda row: row is not first) == (second,)
    assert rank(fleet, work(), NOW).home is None


def test_only_the_first_able_substitute_stands_in_and_says_for_want_of_what() -> None:
    fleet = _fleet(
        Box(name="x", serves=(MATH,), model="tools"),
        Box(name="y", serves=(CODE,), model="coder"),
        Box(name="z", serves=(CHAT,), model="talker"),
    )
    unable = frozenset({ModelId("tools"), ModelId("coder")})
    asked = work(substitutes=(CODE, CHAT), unable=unable)
    assert stand_in(fleet, asked) == (CHAT, Instead(Lack.NOBODY_ABLE, MATH))
    assert stand_in(fleet, replace(asked, unable=frozenset())) == (MATH, None)
    strange = replace(asked, specialty=ART)
    assert stand_in(fleet, strange) == (CHAT, Instead(Lack.NOBODY_SERVES, ART))
    ranking = rank(fleet, strange, NOW)
    assert (ranking.specialty, ranking.instead) == (CHAT, Instead(Lack.NOBODY_SERVES, ART))


def test_a_named_model_that_is_not_there_is_not_replaced() -> None:
    fleet = _fleet(Box(name="x", serves=(CHAT,)))
    ranking = rank(fleet, work(model=ModelId("other"), substitutes=(CHAT,)), NOW)
    assert (len(ranking), ranking.specialty, ranking.instead) == (0, MATH, None)


def test_a_models_first_specialty_is_what_its_work_is_called() -> None:
    fleet = _fleet(
        Box(name="x", serves=(), model="m"),
        Box(name="y", serves=(CODE, MATH), model="m"),
        Box(name="z", serves=(CHAT,), model="n"),
    )
    assert specialty_of(fleet, ModelId("m")) == CODE
    assert specialty_of(fleet, ModelId("other")) is None
    assert specialty_of(fleet, None) is None


def test_what_left_the_mesh_is_forgotten() -> None:
    """A fleet whose nodes come with new names, as in a cloud, must not fill the memory."""
    standings = Standings()
    for number in range(100):
        fleet = _fleet(*(Box(name=f"{number}-{i}") for i in range(3)))
        assert len(rank(fleet, work(), NOW, standings)) == 3
        assert len(standings._known) <= 2 * 3 + 16 + 3
    before = dict(standings._known)
    rank(FleetView(nodes=fleet.nodes), work(), NOW, standings)
    assert all(standings._known[node] is before[node] for node in fleet.nodes)


def test_equal_offers_are_one_and_no_more_are_kept_than_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    standings = Standings()
    view = _fleet(Box(name="a"), Box(name="b"), Box(name="c", context=2048))
    assert len(rank(view, work(), NOW, standings)) == 3
    assert len(standings._offers) == 2
    offers = {row.node: row.offer for row in standings.rows(view, NOW, frozenset())}
    assert offers[NodeId("id-a")] is offers[NodeId("id-b")] is not offers[NodeId("id-c")]
    monkeypatch.setattr("mesh.fleet.standings.MOST_OFFERS", 2)
    for context in range(100, 120):
        view = _fleet(Box(name="a"), Box(name="b", context=context))
        ranking = rank(view, work(larger_than=context), NOW, standings)
        assert [row.view.record.name for row in ranking.best()] == ["a"]
        assert len(standings._offers) <= 4
