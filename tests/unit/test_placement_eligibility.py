"""Who can take a piece of work: codes with their values, and the words for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.fleet.eligibility import (
    BYTES_PER_TOKEN_AT_MOST,
    Refusal,
    RefusalCode,
    model_refusal,
    node_refusal,
    offer_of,
    served,
)
from mesh.fleet.placement import Ineligible, rank
from mesh.fleet.reasons import words
from mesh.fleet.records import FleetView, ModelRecord, ModelState, NodeState, NodeView
from mesh.fleet.standings import Row, Standings
from mesh.fleet.work import Work
from mesh.types import ModelId, NodeId, Specialty
from tests.unit.test_placement import CHAT, FAILED, MATH, NOW, RESIDENT, Box
from tests.unit.test_placement_best import NAMES, fleets

Code = RefusalCode


def work(**given: Any) -> Work:
    fields: dict[str, Any] = {"specialty": MATH, "model": None, "prompt_bytes": 100}
    return Work(**(fields | given))


OF_NODE = [
    (Box(name="x"), Refusal(Code.TRIED), "already tried for this request"),
    (Box(name="x", state=NodeState.STARTING), Refusal(Code.NODE_STARTING), "starting"),
    (
        Box(name="x", state=NodeState.STARTING, reason="loads"),
        Refusal(Code.NODE_STARTING, "loads"),
        "starting: loads",
    ),
    (Box(name="x", state=NodeState.DRAINING), Refusal(Code.NODE_DRAINING), "draining"),
    (Box(name="x", state=NodeState.FAILED), Refusal(Code.NODE_FAILED), "failed"),
    (
        Box(name="x", aside=NOW + 1.5),
        Refusal(Code.SET_ASIDE, "stalled", seconds=1.5),
        "set aside for 1.5 s more: stalled",
    ),
    (
        Box(name="x", link=False),
        Refusal(Code.NO_LINK, "tcp://127.0.0.1:1"),
        "no link to tcp://127.0.0.1:1",
    ),
]


@pytest.mark.parametrize(("box", "refusal", "said"), OF_NODE, ids=[said for *_, said in OF_NODE])
def test_a_node_takes_nothing_and_says_why(box: Box, refusal: Refusal, said: str) -> None:
    exclude = frozenset({NodeId("id-x")}) if refusal.code is Code.TRIED else frozenset()
    assert node_refusal(box.view(), NOW, exclude) == refusal
    assert words(refusal) == said


def test_a_node_that_was_set_aside_until_now_takes_work() -> None:
    assert node_refusal(Box(name="x", aside=NOW).view(), NOW, frozenset()) is None


def test_a_transport_that_is_not_known_is_named_before_the_link_that_it_cannot_have() -> None:
    view = Box(name="x", link=False).view()
    strange = replace(view, record=replace(view.record, transport="quic"))
    assert node_refusal(strange, NOW, frozenset()) == Refusal(Code.UNKNOWN_TRANSPORT, "quic")


def model(**given: Any) -> ModelRecord:
    fields: dict[str, Any] = {
        "id": ModelId("m"),
        "engine": "simulated",
        "specialties": (MATH,),
        "state": RESIDENT,
        "slots": 1,
        "used_slots": 0,
        "context_length": 10,
        "device": "cpu",
    }
    return ModelRecord(**(fields | given))


FULL = 10 * BYTES_PER_TOKEN_AT_MOST

OF_MODEL: list[tuple[ModelRecord, Work, Refusal | None]] = [
    (model(), work(), None),
    (model(), work(specialty=CHAT), Refusal(Code.OTHER_SPECIALTY, "chat")),
    (model(), work(specialty=CHAT, model=ModelId("m")), None),
    (model(), work(model=ModelId("n")), Refusal(Code.OTHER_MODEL, "n")),
    (model(state=FAILED), work(), Refusal(Code.MODEL_FAILED)),
    (model(state=FAILED, error="bad"), work(), Refusal(Code.MODEL_FAILED, "bad")),
    (model(error="an old one"), work(), None),
    (model(), work(prompt_bytes=FULL), None),
    (
        model(),
        work(prompt_bytes=FULL + 1),
        Refusal(Code.PROMPT_TOO_LONG, prompt_bytes=FULL + 1, context_tokens=10),
    ),
    (model(context_length=0), work(prompt_bytes=10**9), None),
    (model(embeds=True), work(), Refusal(Code.ONLY_EMBEDS)),
    (model(), work(embeds=True), Refusal(Code.ONLY_ANSWERS)),
    (model(embeds=True), work(embeds=True), None),
    (model(), work(unable=frozenset({ModelId("m")})), Refusal(Code.UNABLE)),
    (model(), work(unable=frozenset({ModelId("n")})), None),
    (model(), work(larger_than=9), None),
    (model(), work(larger_than=10), Refusal(Code.CONTEXT_TOO_SMALL, context_tokens=10)),
    (
        model(context_length=1),
        work(prompt_bytes=1, larger_than=5),
        Refusal(Code.CONTEXT_TOO_SMALL, context_tokens=1),
    ),
    (model(context_length=0), work(larger_than=10), None),
]


@pytest.mark.parametrize(("record", "asked", "refusal"), OF_MODEL)
def test_a_model_takes_the_work_or_says_why_not(
    record: ModelRecord, asked: Work, refusal: Refusal | None
) -> None:
    assert model_refusal(offer_of(record, record.state, {}), asked, asked.specialty) == refusal


def test_every_code_has_words_of_its_own() -> None:
    said = [words(Refusal(code, "it", 1.0, 2, 3)) for code in RefusalCode]
    assert len(set(said)) == len(RefusalCode)
    assert words(Refusal(Code.CONTEXT_TOO_SMALL, context_tokens=2048)) == (
        "its context of 2,048 tokens is too small for this"
    )


def test_a_model_counts_as_serving_in_whatever_state_while_it_is_able() -> None:
    asked = work()
    assert served([model(state=FAILED)], asked, MATH)
    assert not served([model()], asked, CHAT)
    assert not served([model(embeds=True)], asked, MATH)
    assert not served([model()], work(unable=frozenset({ModelId("m")})), MATH)
    assert not served([], asked, MATH)


def naively(node: NodeView, record: ModelRecord, asked: Work, specialty: Specialty) -> bool:
    """Eligibility, as one would say it aloud."""
    told = node.load(record.id) or record
    fits = record.id == asked.model if asked.model else specialty in record.specialties
    return (
        fits
        and told.state is not ModelState.FAILED
        and record.embeds is asked.embeds
        and record.id not in asked.unable
        and (not record.context_length or asked.prompt_bytes <= 64 * record.context_length)
        and not 0 < record.context_length <= asked.larger_than
        and node.record.id not in asked.exclude
        and (node.heartbeat or node.record).state is NodeState.READY
        and (node.set_aside_until is None or node.set_aside_until <= NOW)
        and node.link_up
    )


@settings(max_examples=300, deadline=None)
@given(
    view=fleets(),
    specialty=NAMES,
    substitutes=st.lists(st.sampled_from(["chat", "code"]), max_size=2, unique=True),
    named=st.sampled_from([None, None, "m1", "m9"]),
    prompt_bytes=st.sampled_from([0, 128, 129, 5000]),
    larger_than=st.sampled_from([0, 0, 2, 64]),
    excluded=st.sets(st.sampled_from(["node-0", "node-1"])),
    unable=st.sets(st.sampled_from(["m1", "m3"])),
    limit=st.integers(0, 5),
)
def test_a_ranking_has_every_row_once_and_the_eligible_ones_first_and_in_order(
    view: FleetView,
    specialty: str,
    substitutes: list[str],
    named: str | None,
    prompt_bytes: int,
    larger_than: int,
    excluded: set[str],
    unable: set[str],
    limit: int,
) -> None:
    asked = work(
        specialty=Specialty(specialty),
        substitutes=tuple(map(Specialty, substitutes)),
        model=ModelId(named) if named else None,
        prompt_bytes=prompt_bytes,
        larger_than=larger_than,
        exclude=frozenset(map(NodeId, excluded)),
        unable=frozenset(map(ModelId, unable)),
    )
    ranking = rank(view, asked, NOW, Standings())
    rows = ranking.explained()
    every = {
        (node.record.id, model.id if model else "")
        for node in view.nodes.values()
        for model in node.record.models or (None,)
    }
    listed = [(row.view.record.id, row.model.id if row.model else "") for row in rows]
    assert len(listed) == len(every)
    assert set(listed) == every
    eligible = [row for row in rows if isinstance(row, Row)]
    assert rows[: len(ranking)] == tuple(eligible) == ranking.best()
    assert ranking.best(limit) == tuple(eligible[:limit])
    assert {(row.view.record.id, row.model.id) for row in eligible} == {
        (node.record.id, record.id)
        for node in view.nodes.values()
        for record in node.record.models
        if naively(node, record, asked, ranking.specialty)
    }
    ranks = [row.rank() for row in eligible]
    assert ranks == sorted(ranks)
    rest = [row for row in rows if isinstance(row, Ineligible)]
    names = [(row.view.record.name, row.model.id if row.model else "") for row in rest]
    assert names == sorted(names)


def _two_models() -> NodeView:
    seen = Box(name="x", heard=False).view()
    good, bad = seen.record.models[0], replace(seen.record.models[0], id=ModelId("bad"))
    return replace(seen, record=replace(seen.record, models=(good, bad)))


@pytest.mark.parametrize("how", ["aside", "tried"])
def test_what_is_known_against_one_model_of_a_node_leaves_its_others(how: str) -> None:
    seen, bad = _two_models(), ModelId("bad")
    asked = work()
    if how == "aside":
        seen = replace(seen, models_aside={bad: (NOW + 2.0, "rubbish")})
        why = Refusal(Code.SET_ASIDE, "rubbish", seconds=2.0)
    else:
        asked, why = work(tried=frozenset({(seen.record.id, bad)})), Refusal(Code.TRIED)
    ranking = rank(FleetView(nodes={seen.record.id: seen}), asked, NOW)
    assert [row.model.id for row in ranking.best()] == ["m"]
    assert [(row.model.id, row.refusal) for row in ranking.refused() if row.model] == [(bad, why)]
    later = rank(FleetView(nodes={seen.record.id: seen}), asked, NOW + 2.0)
    assert len(later) == (2 if how == "aside" else 1)


def test_strict_work_is_for_the_same_weights_alone() -> None:
    seen, bad = _two_models(), ModelId("bad")
    asked = work(prefer=ModelId("m"), strict=True)
    ranking = rank(FleetView(nodes={seen.record.id: seen}), asked, NOW)
    assert [row.model.id for row in ranking.best()] == ["m"]
    (refused,) = ranking.refused()
    assert refused.model is not None
    assert (refused.model.id, refused.refusal) == (bad, Refusal(Code.OTHER_WEIGHTS, "m"))
    assert words(refused.refusal) == "has other weights than 'm', and the request is strict"
    assert (
        len(rank(FleetView(nodes={seen.record.id: seen}), replace(asked, strict=False), NOW)) == 2
    )
