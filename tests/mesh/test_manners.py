"""How answers are drawn that nobody said more of: alike from the first attempt to the last."""

from __future__ import annotations

import pytest

from mesh.errors import CannotAnswer
from mesh.manners import DEFAULT_SAMPLING
from mesh.settings.specialty import SpecialtySettings
from mesh.stream import Decided
from mesh.types import (
    Continuation,
    Decision,
    FinishReason,
    Message,
    Role,
    SaidSampling,
    Sampling,
    Specialty,
)
from tests.mesh.fakes import Mesh, done_of, request, text_of
from tests.mesh.scripted import answer, fail, refuse, word, words

COLD = {"math": SpecialtySettings(temperature=0.0, top_k=7, system="Be exact.")}
UNSAID = SaidSampling()
OWN = Message.of(Role.SYSTEM, "Be a pirate.")
SYSTEM = Message.of(Role.SYSTEM, "Be exact.")


async def test_a_node_gets_everything_settled_by_the_decided_specialty() -> None:
    async with Mesh(specialties=COLD) as mesh:
        node = await mesh.node("a")
        asked = request(sampling=SaidSampling(top_k=3))
        events = [event async for event in mesh.answered(asked)]
    assert text_of(events) == words(10)
    (attempt,) = node.attempts
    assert isinstance(attempt.sampling, Sampling)
    assert (attempt.sampling.temperature, attempt.sampling.top_k) == (0.0, 3)
    assert attempt.sampling.max_tokens is None
    assert attempt.messages == (SYSTEM, *asked.messages)


async def test_without_settings_the_meshs_default_is_drawn_by() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a")
        async for _ in mesh.answered(request(sampling=UNSAID)):
            pass
    assert node.attempts[0].sampling == DEFAULT_SAMPLING


async def test_a_clients_own_system_text_wins() -> None:
    async with Mesh(specialties=COLD) as mesh:
        node = await mesh.node("a")
        asked = request(messages=(OWN, Message.of(Role.USER, "1 + 1")))
        async for _ in mesh.answered(asked):
            pass
        route = await mesh.api.route(asked)
    assert node.attempts[0].messages == asked.messages
    assert route.decision.manner is not None
    assert route.decision.manner.system == ""


async def test_a_resumed_attempt_is_drawn_as_the_first_was() -> None:
    async with Mesh(specialties=COLD) as mesh:
        nodes = [await mesh.node(name) for name in ("a", "b")]
        nodes[0].scripts = nodes[1].scripts = [fail(4)]  # whichever is asked first
        events = [event async for event in mesh.answered(request(sampling=UNSAID))]
    assert text_of(events) == words(10)
    first, second = (attempt for node in nodes for attempt in node.attempts)
    assert first.sampling == second.sampling
    assert first.messages == second.messages


async def test_another_orchestrator_goes_on_by_what_the_first_one_settled() -> None:
    """As the client's ``Begun`` asks for the rest: with the sampling and the system text of the
    first decision, whatever the second orchestrator's settings are."""
    other = {"math": SpecialtySettings(temperature=2.0, system="Sing.")}
    async with Mesh(specialties=other) as mesh:
        node = await mesh.node("a")
        begun = Continuation(
            pieces=(word(0),), specialty=Specialty("math"), attempts=1, system="Be exact."
        )
        sampling = Sampling(temperature=0.0, top_k=7)
        asked = request(sampling=sampling, continuation=begun)
        async for _ in mesh.answered(asked):
            pass
    assert node.attempts[0].sampling == sampling
    assert node.attempts[0].messages == (SYSTEM, *asked.messages)


async def test_the_client_is_told_the_manner_with_the_decision() -> None:
    async with Mesh(specialties=COLD) as mesh:
        await mesh.node("a")
        events = [event async for event in mesh.answered(request(sampling=UNSAID))]
    assert isinstance(events[0], Decided)
    assert events[0].decision.manner == COLD["math"].manner


async def test_a_model_that_knows_no_system_text_answers_without_one() -> None:
    async with Mesh(specialties=COLD) as mesh:
        node = await mesh.node("a")
        node.scripts = [refuse("cannot_answer", "System role not supported"), answer(10)]
        asked = request(sampling=UNSAID)
        events = [event async for event in mesh.answered(asked)]
        node.scripts = [refuse("cannot_answer")] * 3
        own = request(messages=(OWN, *asked.messages))
        with pytest.raises(CannotAnswer):
            async for _ in mesh.answered(own):
                pass
    assert text_of(events) == words(10)
    assert node.attempts[1].messages == asked.messages


async def test_the_added_text_counts_in_what_a_node_needs() -> None:
    long = {"math": SpecialtySettings(system="x" * 5000)}
    async with Mesh(specialties=long) as mesh:
        await mesh.node("a")
        asked = request(sampling=UNSAID)
        decision = Decision(
            specialty=Specialty("math"),
            stage="rules",
            rule=None,
            confidence=1.0,
            manner=long["math"].manner,
        )
        work = mesh.dispatch.work_of(asked, decision, (), 0.0)
    assert work.prompt_bytes >= 5000


async def test_without_a_limit_a_node_may_not_go_past_its_context() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a", context_length=8)
        node.scripts = [answer(20)]
        events = [event async for event in mesh.answered(request("1+1", sampling=UNSAID))]
    assert text_of(events) == words(8)
    assert done_of(events).reason is FinishReason.CONTEXT
