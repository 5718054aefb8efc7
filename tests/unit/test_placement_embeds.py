"""A model makes vectors or gives answers: placement never mixes the two, and says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.errors import NoCandidate, UnknownSpecialty
from mesh.fleet.eligibility import Refusal, RefusalCode
from mesh.fleet.outlook import Absent, absent
from mesh.fleet.placement import Instead, Lack, Ranking, rank, stand_in
from mesh.fleet.reasons import NO_EMBEDDER, candidates, error_of, words
from mesh.fleet.records import FleetView, ModelState, NodeState, NodeView
from mesh.fleet.work import Work
from mesh.types import ModelId, NodeId, Specialty
from tests.unit.test_placement import NOW, Box

EMBEDDING, CHAT = Specialty("embedding"), Specialty("chat")
ONLY_EMBEDS = words(Refusal(RefusalCode.ONLY_EMBEDS))
ONLY_ANSWERS = words(Refusal(RefusalCode.ONLY_ANSWERS))


def embeds(box: Box) -> NodeView:
    view = box.view()
    models = tuple(replace(model, embeds=True) for model in view.record.models)
    return replace(view, record=replace(view.record, models=models))


def fleet(*views: NodeView) -> FleetView:
    return FleetView(nodes={view.record.id: view for view in views})


def ranked(view: FleetView, specialty: Specialty, **given: Any) -> Ranking:
    fields: dict[str, Any] = {"specialty": specialty, "model": None, "prompt_bytes": 10}
    return rank(view, Work(**(fields | given)), NOW)


BOTH = fleet(
    embeds(Box(name="vectors", serves=(EMBEDDING, CHAT), model="v")),
    Box(name="words", serves=(EMBEDDING, CHAT), model="w").view(),
)


@pytest.mark.parametrize("specialty", [EMBEDDING, CHAT])
@pytest.mark.parametrize(
    ("wanted", "chosen", "other", "reason"),
    [(True, "vectors", "words", ONLY_ANSWERS), (False, "words", "vectors", ONLY_EMBEDS)],
)
def test_rows_of_the_other_kind_are_ineligible_and_say_so(
    specialty: Specialty, wanted: bool, chosen: str, other: str, reason: str
) -> None:
    ranking = ranked(BOTH, specialty, embeds=wanted)
    rows = candidates(ranking, ranking.explained())
    assert [(row.node_name, row.eligible) for row in rows] == [(chosen, True), (other, False)]
    assert rows[1].reason == reason
    assert candidates(ranking, ranking.best()) == rows[:1]


def test_a_model_named_for_what_it_cannot_do_is_ineligible() -> None:
    for wanted, model in ((True, "w"), (False, "v")):
        ranking = ranked(BOTH, CHAT, model=ModelId(model), embeds=wanted)
        assert not any(row.eligible for row in candidates(ranking, ranking.explained()))
        assert ranking.best() == ()


def test_a_model_of_the_other_kind_does_not_count_as_serving_a_specialty() -> None:
    view = fleet(
        embeds(Box(name="a", serves=(CHAT,), model="v")),
        Box(name="b", serves=(Specialty("math"),)).view(),
    )
    asked = Work(specialty=CHAT, model=None, prompt_bytes=1, substitutes=(Specialty("math"),))
    assert stand_in(view, asked) == ("math", Instead(Lack.NOBODY_SERVES, CHAT))
    assert stand_in(view, replace(asked, embeds=True))[0] == CHAT


def outcome(view: FleetView, work: Work) -> Absent:
    return absent(rank(view, work, NOW))


def work(specialty: Specialty = EMBEDDING, model: str | None = None) -> Work:
    named = ModelId(model) if model else None
    return Work(specialty=specialty, model=named, prompt_bytes=1, named=True, embeds=True)


def test_a_fleet_without_an_embedder_says_how_to_start_one() -> None:
    words = fleet(Box(name="words", serves=(EMBEDDING,)).view())
    found = outcome(words, work())
    assert isinstance(error_of(found), NoCandidate)
    assert error_of(found).message == NO_EMBEDDER
    assert not found.may_come
    starting = Box(name="new", state=NodeState.STARTING).view()
    assert outcome(fleet(starting), work()).may_come


def test_a_specialty_that_no_embedder_has_is_named() -> None:
    found = outcome(BOTH, work(Specialty("law")))
    assert isinstance(error_of(found), UnknownSpecialty)
    assert "'law'" in error_of(found).message


def test_a_model_that_has_not_told_yet_what_it_is_is_waited_for_a_moment() -> None:
    """Its heartbeat says that it is resident; its record is from before its file was read."""
    box = Box(name="new", serves=(EMBEDDING,), model="v", model_state=ModelState.RESIDENT).view()
    model = replace(box.record.models[0], state=ModelState.LOADING)
    new = replace(box, record=replace(box.record, models=(model,)))
    assert outcome(fleet(new), work()).may_come
    other = embeds(Box(name="full", serves=(EMBEDDING,), model="f", state=NodeState.DRAINING))
    assert outcome(fleet(new, other), work()).may_come
    assert outcome(fleet(new, other), work(model="v")).may_come
    told = replace(new, record=replace(new.record, models=(replace(model, architecture="llama"),)))
    assert not outcome(fleet(told, other), work(model="v")).may_come


def test_nobody_waits_for_a_model_of_the_other_kind_to_be_loaded() -> None:
    box = Box(name="words", serves=(EMBEDDING,), model_state=ModelState.LOADING).view()
    model = replace(box.record.models[0], architecture="llama")
    loading = replace(box, record=replace(box.record, models=(model,)))
    full = embeds(Box(name="vectors", serves=(EMBEDDING,), state=NodeState.DRAINING))
    view = fleet(loading, full)
    found = outcome(view, work())
    assert isinstance(error_of(found), NoCandidate)
    assert "words: " + ONLY_ANSWERS in error_of(found).message
    assert not found.loading
    assert not found.may_come
    assert NodeId("id-words") in view.nodes
