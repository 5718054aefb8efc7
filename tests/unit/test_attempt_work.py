"""What a request needs of a node, as dispatch puts it, and where its conversation is."""

from __future__ import annotations

from typing import Any

from mesh.fleet.work import Home, Work
from mesh.types import Decision, Message, ModelId, Priority, Request, Role, Specialty
from orchestrator.picture.affinity import origin_of
from tests.attempt_rig import MATH, TOY, FakeNode, Rig, request, rig

ASKED = (Message.of(Role.USER, "first?"),)
NEXT = (*ASKED, Message.of(Role.ASSISTANT, "w0 w1"), Message.of(Role.USER, "and then?"))
CHAT = Specialty("chat")


def work_of(here: Rig, asked: Request, specialty: Specialty = MATH, **given: Any) -> Work:
    fields: dict[str, Any] = {"substitutes": (), "arrived": 5.0}
    decision = Decision(specialty=specialty, stage="rules", rule=None, confidence=1.0)
    return here.dispatch.work_of(asked, decision, **(fields | given))


async def answered(here: Rig, node: FakeNode, messages: tuple[Message, ...] = ASKED) -> None:
    here.ask(messages=messages)
    await here.settle()
    node.stream.accept()
    node.stream.tokens(2)
    node.stream.finish()
    await here.settle()


async def test_it_has_all_that_placement_looks_at() -> None:
    async with rig(FakeNode("a")) as here:
        asked = request(
            messages=(Message.of(Role.SYSTEM, "ä"), Message.of(Role.USER, "abc")),
            priority=Priority.BATCH,
            tenant="one",
        )
        work = work_of(here, asked, substitutes=(CHAT,))
        assert work == Work(
            specialty=MATH,
            substitutes=(CHAT,),
            named=False,
            model=None,
            prompt_bytes=5,
            priority=Priority.BATCH,
            arrived=5.0,
            affinity=origin_of("one", asked.messages),
        )
        named = work_of(here, request(specialty=MATH, model=TOY))
        assert (named.named, named.model) == (True, TOY)


async def home(here: Rig, specialty: Specialty = MATH, **given: Any) -> Home | None:
    return work_of(here, request(messages=NEXT, **given), specialty).home


async def test_the_next_turn_goes_where_the_last_one_was_answered() -> None:
    async with rig(FakeNode("a", slots=0), b := FakeNode("b")) as here:
        assert await home(here) is None
        await answered(here, b)
        assert await home(here) == (b.id, b.model)
        assert await home(here, tenant="another") is None
        assert work_of(here, request(messages=ASKED)).home is None, "a first turn is nowhere"


async def test_a_conversation_is_where_what_is_asked_for_now_is() -> None:
    other = ModelId("other")
    a, b = FakeNode("a"), FakeNode("b", model=other, specialties=(CHAT,))
    async with rig(a, b) as here:
        await answered(here, a)
        assert await home(here, CHAT) is None
        assert await home(here, CHAT, model=a.model) == (a.id, a.model), "asked for by name"
        assert await home(here, model=other) is None
        here.dispatch.affinity.keep("", ASKED, "w0 w1", (b.id, other))
        assert await home(here, CHAT) == (b.id, other), "the newest that serves it"
        here.fleet.nodes.remove(b)
        assert await home(here, CHAT) is None


async def test_a_model_that_its_node_no_longer_has_is_no_home() -> None:
    async with rig(a := FakeNode("a")) as here:
        await answered(here, a)
        a.model = ModelId("another")
        assert await home(here) is None


async def test_an_answer_that_did_not_end_leaves_no_home() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask(messages=ASKED)
        await here.settle()
        a.stream.accept()
        a.stream.tokens(2)
        await here.settle()
        await asked.cancel()
        assert await home(here) is None


async def test_where_a_model_cannot_answer_is_no_home_any_more() -> None:
    async with rig(a := FakeNode("a"), FakeNode("b", model=ModelId("other"))) as here:
        await answered(here, a)
        here.ask(messages=NEXT)
        await here.settle()
        assert here.fleet.taken[-1].home == (a.id, a.model)
        a.stream.refuse("cannot_answer")
        await here.settle()
        assert here.fleet.taken[-1].home is None
