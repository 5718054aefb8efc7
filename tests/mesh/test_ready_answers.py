"""Answers that the router has already: they stream like any other, and no node is asked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from mesh.clock import Clock, SystemClock
from mesh.errors import MeshError, UnknownSpecialty
from mesh.stream import Assigned, Decided, Done, StreamEvent, Tokens
from mesh.types import Continuation, FinishReason, ModelId, Piece, Request, Sampling, Specialty
from orchestrator.memo.in_process import InProcessMemo
from orchestrator.memo.settings import MemoSettings
from orchestrator.router.base import Abstain, Features, Stage, Verdict
from orchestrator.router.cascade import Cascade
from orchestrator.router.memo import MemoStage
from orchestrator.router.ready import ReadyAnswer
from tests.mesh.fakes import Mesh, done_of, request, text_of
from tests.mesh.scripted import words
from tests.stage_rig import placed

MATH, CHAT = Specialty("math"), Specialty("chat")
READY = ReadyAnswer(
    source="exact",
    pieces=(Piece(id=0, text="forty"), Piece(id=1, text=" two")),
    reason=FinishReason.STOP,
    model=ModelId("tools"),
)


@dataclass(slots=True)
class Knows:
    """Stage ``exact`` of this test: knows one answer to everything that holds ``key``, and as the
    real one leaves alone what another specialty was asked for."""

    key: str = "42"
    name: str = "exact"

    def decide(self, features: Features) -> Verdict | Abstain:
        if self.key in features.last_user and features.specialty in (None, MATH):
            return Verdict(MATH, 1.0, answer=READY)
        return Abstain("not mine")


@dataclass(slots=True)
class Always:
    name: str = "rules"

    def decide(self, features: Features) -> Verdict | Abstain:
        return Verdict(MATH, 0.9, "always")


def asking(mesh: Mesh, *stages: Stage | MemoStage) -> Mesh:
    mesh.cascades.current = Cascade(placed(*stages), CHAT, "v1")
    return mesh


def memo(clock: Clock | None = None) -> MemoStage:
    clock = clock or SystemClock()
    return MemoStage(InProcessMemo(MemoSettings(), clock), "v1", clock)


async def collected(mesh: Mesh, asked: Request) -> list[StreamEvent]:
    return [event async for event in mesh.answered(asked)]


def kinds(events: Sequence[StreamEvent]) -> list[type]:
    return [type(event) for event in events]


async def test_an_answer_that_a_stage_has_streams_with_no_node_in_the_mesh() -> None:
    async with Mesh() as mesh:
        events = await collected(asking(mesh, Knows()), request("what is 42?"))
    assert kinds(events) == [Decided, Tokens, Done]
    assert text_of(events) == "forty two"
    done = done_of(events)
    assert (done.source, done.model, done.attempts, done.completion_tokens) == (
        "exact",
        "tools",
        0,
        2,
    )


async def test_a_dry_run_shows_the_answer_that_is_ready() -> None:
    async with Mesh() as mesh:
        route = await asking(mesh, Knows()).api.route(request("what is 42?"))
    assert route.ready is not None
    assert (route.ready.text, route.ready.source) == ("forty two", "exact")
    assert route.decision.stage == "exact"


async def test_the_second_time_the_same_question_is_answered_from_memory() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a")
        asking(mesh, memo(), Always())
        first = await collected(mesh, request("hello"))
        again = await collected(mesh, request("hello", number=2))
    assert text_of(first) == text_of(again) == words(10)
    assert (done_of(first).source, done_of(again).source) == ("", "memo")
    assert (done_of(again).node_name, done_of(again).model) == ("a", done_of(first).model)
    assert len(node.attempts) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": Sampling(max_tokens=1000, temperature=0.7)},
        {"tenant": "another"},
        {"cacheable": False},
        {"sampling": Sampling(max_tokens=999)},
    ],
    ids=["random", "tenant", "not cacheable", "other sampling"],
)
async def test_a_request_that_differs_is_asked_of_a_node(changes: dict[str, object]) -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a")
        asking(mesh, memo(), Always())
        await collected(mesh, request("hello"))
        events = await collected(mesh, request("hello", number=2, **changes))
    assert done_of(events).source == ""
    assert len(node.attempts) == 2


async def test_a_request_that_names_its_specialty_is_remembered_as_such() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a", specialties=(CHAT,))
        asking(mesh, memo(), Knows())
        named = await collected(mesh, request("what is 42?", specialty=CHAT))
        again = await collected(mesh, request("what is 42?", number=2, specialty=CHAT))
        unnamed = await collected(mesh, request("what is 42?", number=3))
    assert [done_of(events).source for events in (named, again, unnamed)] == ["", "memo", "exact"]
    assert len(node.attempts) == 1


async def test_the_tools_answer_for_their_own_specialty_where_it_is_asked_for_by_name() -> None:
    async with Mesh() as mesh:
        asking(mesh, memo(), Knows(), Always())
        events = await collected(mesh, request("what is 42?", specialty=MATH))
        route = await mesh.api.route(request("what is 42?", specialty=MATH))
        with pytest.raises(MeshError):  # "42" or not: chat is not theirs, and nobody is there
            await collected(mesh, request("what is 42?", number=2, specialty=CHAT))
    assert text_of(events) == "forty two"
    assert done_of(events).source == "exact"
    assert route.decision.stage == "exact"


async def test_a_specialty_asked_for_by_name_has_its_substitute_and_never_the_fallback() -> None:
    sums, units = Specialty("sums"), Specialty("units")
    async with Mesh(substitutes={"sums": "math", "units": "weights"}) as mesh:
        asking(mesh, Knows())
        await mesh.node("chatty", specialties=(CHAT,))
        await mesh.node("a", specialties=(MATH,))
        events = await collected(mesh, request("a story", specialty=sums))
        assert done_of(events).node_name == "a"
        with pytest.raises(
            UnknownSpecialty,
            match="no node serves 'units', nor 'weights', which may stand in for it; known",
        ):
            await collected(mesh, request("a story", number=2, specialty=units))
        with pytest.raises(UnknownSpecialty, match="no node serves 'poetry'; known"):
            await collected(mesh, request("a story", number=3, specialty=Specialty("poetry")))


async def test_what_goes_on_after_its_first_tokens_is_never_given_from_the_start() -> None:
    begun = Continuation(pieces=(Piece(id=0, text="tok0 "),))
    async with Mesh() as mesh:
        await mesh.node("a")
        asking(mesh, memo(), Knows(), Always())
        events = await collected(mesh, request("what is 42?", continuation=begun))
    assert done_of(events).source == ""
    first = next(event for event in events if isinstance(event, Tokens))
    assert first.first == 1


async def test_an_answer_that_breaks_or_is_left_is_not_remembered() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a")
        asking(mesh, memo(), Always())
        async with aclosing(mesh.answered(request("hello"))) as events:
            async for event in events:
                if isinstance(event, Tokens):
                    break
        whole = await collected(mesh, request("hello", number=2))
    assert done_of(whole).source == ""
    assert len(node.attempts) == 2


async def test_an_answer_that_another_model_finished_is_not_remembered() -> None:
    """Two models' work is neither's answer; the same one's, resumed elsewhere, is whole."""
    async with Mesh() as mesh:
        await mesh.node("a")
        stage = memo()
        asking(mesh, stage, Always())
        recording = stage.recording(Features.of(request("hello").messages))
        assert recording is not None
        events = await collected(mesh, request("hello", cacheable=False))
        for event in events:
            if isinstance(event, Done):
                other = next(e for e in events if isinstance(e, Assigned))
                recording.take(
                    Assigned(
                        node=other.node,
                        node_name="b",
                        model=ModelId("other"),
                        attempt=2,
                        tokenizer_hash="",
                    )
                )
            recording.take(event)
        assert not await recording.keep()


@dataclass(slots=True)
class Hindered:
    """Stage ``exact`` of this test: has no answer yet, and will have one."""

    name: str = "exact"

    def decide(self, features: Features) -> Verdict | Abstain:
        return Abstain("not ready", passing=True)


async def test_what_was_decided_while_a_stage_was_hindered_is_not_remembered() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a")
        asking(mesh, memo(), Hindered(), Always())
        await collected(mesh, request("hello"))
        again = await collected(mesh, request("hello", number=2))
    assert done_of(again).source == ""
    assert len(node.attempts) == 2
