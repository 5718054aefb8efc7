"""A conversation stays on its node, moves when it must, and says the same wherever it goes on; and
what one model cannot answer, the next substitute does."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from mesh.errors import CannotAnswer, NodeLost
from mesh.fleet.records import NodeState
from mesh.types import Message, ModelId, Request, Role, Specialty
from tests.mesh.fakes import Mesh, caught, done_of, request, text_of, until
from tests.mesh.scripted import CHAT, ScriptedNode, fail, hold, refuse, words

CALCULATOR = Specialty("calculator")
SUBSTITUTES = {"calculator": "math"}
TOOLS = ModelId("tools")


def user(text: str) -> Message:
    return Message.of(Role.USER, text)


async def turn(
    mesh: Mesh, history: tuple[Message, ...], text: str, **given: Any
) -> tuple[tuple[Message, ...], str, str]:
    """One turn after ``history``: the conversation after it, its answer and its node."""
    asked = (*history, user(text))
    events = await mesh.collect(request(messages=asked), **given)
    said = text_of(events)
    return (
        (*asked, Message.of(Role.ASSISTANT, said)),
        said,
        done_of(events).node_name,
    )


async def test_every_turn_goes_to_the_node_that_has_the_ones_before() -> None:
    async with Mesh() as mesh:
        for name in "abcd":
            await mesh.node(name)
        counts: Counter[str] = Counter()
        for number in range(8):
            history, _, first = await turn(mesh, (), f"question {number}")
            counts[first] += 1
            for _ in range(3):
                history, _, node = await turn(mesh, history, "and then?")
                assert node == first
    assert len(counts) > 1, "and conversations do not all go to one node"


async def test_it_stays_although_another_node_is_emptier() -> None:
    async with Mesh() as mesh:
        small = await mesh.node("small", slots=2)
        history, _, first = await turn(mesh, (), "begin")
        assert first == small.name
        await mesh.node("large", slots=8)
        _, _, fresh = await turn(mesh, (), "another one")
        assert fresh == "large"
        _, _, second = await turn(mesh, history, "go on")
        assert second == "small"


async def test_it_does_not_wait_for_its_node_when_that_is_full() -> None:
    async with Mesh() as mesh:
        home = await mesh.node("home", slots=1)
        history, _, _ = await turn(mesh, (), "begin")
        await mesh.node("other", slots=1)
        gate = asyncio.Event()
        home.scripts = [hold(gate)]
        async with asyncio.TaskGroup() as group:
            # By its home, whose only slot this takes.
            busy = group.create_task(turn(mesh, history, "in parallel"))
            await until(lambda: home.used == 1)
            await until(lambda: mesh.fleet.free_slots(home.id, home.model) == 0)
            _, said, node = await turn(mesh, history, "go on")
            gate.set()
        assert (node, said) == ("other", words(10))
        assert busy.result()[2] == "home"


@pytest.mark.parametrize("how", ["drains", "dies", "stops"])
async def test_a_conversation_that_moves_has_its_context_along_and_says_the_same(how: str) -> None:
    async with Mesh() as mesh:
        await mesh.node("a")
        history, _, first = await turn(mesh, (), "begin")
        second = await mesh.node("b")
        stayed, said_there, node = await turn(mesh, history, "go on")
        assert node == first == "a"
        match how:
            case "drains":
                mesh.nodes["a"].state = NodeState.DRAINING
                mesh.nodes["a"].beat()
                await until(lambda: _drains(mesh, mesh.nodes["a"]))
            case "dies":
                await mesh.stop("a")
                await until(lambda: not mesh.fleet.view.nodes[mesh.nodes["a"].id].link_up)
            case _:
                mesh.nodes["a"].scripts = [fail(3)]
        moved, said_here, node = await turn(mesh, history, "go on")
        assert node == "b"
        assert (said_here, moved) == (said_there, stayed)
        assert second.attempts[0].messages == (*history, user("go on"))
        # It is at home there now.
        assert (await turn(mesh, moved, "and on"))[2] == "b"


async def test_it_moves_when_the_specialty_changes_and_finds_its_way_back() -> None:
    async with Mesh() as mesh:
        for name in ("m1", "m2", "m3"):
            await mesh.node(name)
        for name in ("c1", "c2"):
            await mesh.node(name, specialties=(CHAT,))
        history, _, math = await turn(mesh, (), "a sum")
        history, _, chat = await turn(mesh, history, "hello", decided=CHAT)
        assert mesh.nodes[chat].attempts[-1].messages == history[:-1]
        history, _, again = await turn(mesh, history, "the sum again")
        assert (math[0], chat[0], again) == ("m", "c", math)


async def test_a_model_asked_for_by_name_finds_its_own_node_again() -> None:
    async with Mesh() as mesh:
        for name in ("s1", "s2", "s3"):
            await mesh.node(name, model=ModelId("small"))
        await mesh.node("b", model=ModelId("big"))
        history: tuple[Message, ...] = ()
        seen = []
        for model in ("small", "big", "small"):
            asked = (*history, user("go on"))
            events = await mesh.collect(request(messages=asked, model=ModelId(model)))
            history = (*asked, Message.of(Role.ASSISTANT, text_of(events)))
            seen.append(done_of(events).node_name)
    assert seen[1] == "b"
    assert seen[0] == seen[2]


async def test_orchestrators_that_never_saw_a_conversation_agree_where_it_goes() -> None:
    async with Mesh() as one:
        for name in "abcdef":
            await one.node(name)
        async with Mesh(beside=one) as other:
            await until(lambda: all(other.usable(node) for node in one.nodes.values()))
            for number in range(12):
                history, _, first = await turn(one, (), f"question {number}")
                assert (await turn(other, history, "go on"))[2] == first
                await until(lambda: _idle(one) and _idle(other))


async def test_tenants_do_not_share_what_is_known_of_conversations() -> None:
    async with Mesh() as mesh:
        await mesh.node("a")
        history, _, _ = await turn(mesh, (), "begin")
        known = mesh.dispatch.affinity
        asked = (*history, user("go on"))
        assert known.homes("", asked)
        assert not known.homes("somebody", asked)


async def test_what_the_tools_cannot_answer_the_substitute_does() -> None:
    async with Mesh() as mesh:
        tools = await mesh.node("t1", specialties=(CALCULATOR,), model=TOOLS)
        twin = await mesh.node("t2", specialties=(CALCULATOR,), model=TOOLS)
        math = await mesh.node("m")
        third = await mesh.node("t3", specialties=(CALCULATOR,), model=TOOLS, slots=1)
        for node in (tools, twin):
            node.scripts = [refuse("cannot_answer", "not plain arithmetic")]
        events = await mesh.collect(
            request("how to solve it?"), decided=CALCULATOR, substitutes=SUBSTITUTES
        )
        assert (text_of(events), done_of(events).node) == (words(10), math.id)
        assert len(tools.attempts) == len(twin.attempts) == 1
        assert not third.attempts, "all of them would say the same"
        assert mesh.fleet.view.nodes[tools.id].set_aside_until is None
        # The next request is theirs again.
        tools.scripts, twin.scripts = [], []
        events = await mesh.collect(request("1+1"), decided=CALCULATOR, substitutes=SUBSTITUTES)
        assert done_of(events).model == TOOLS


async def test_a_failure_that_means_the_same_moves_on_without_blame() -> None:
    async with Mesh() as mesh:
        tools = await mesh.node("t", specialties=(CALCULATOR,), model=TOOLS)
        math = await mesh.node("m")
        tools.scripts = [fail(0, code="cannot_answer", message="not plain arithmetic")]
        events = await mesh.collect(request(), decided=CALCULATOR, substitutes=SUBSTITUTES)
        assert (text_of(events), done_of(events).node) == (words(10), math.id)
        assert mesh.fleet.view.nodes[tools.id].set_aside_until is None


async def test_a_chain_of_substitutes_is_followed_to_its_end() -> None:
    async with Mesh() as mesh:
        tools = await mesh.node("t", specialties=(CALCULATOR,), model=TOOLS)
        math = await mesh.node("m", model=ModelId("small"))
        chat = await mesh.node("c", specialties=(CHAT,), model=ModelId("chat"))
        tools.scripts = [refuse("cannot_answer")]
        math.scripts = [refuse("cannot_answer")]
        events = await mesh.collect(
            request(), decided=CALCULATOR, substitutes=SUBSTITUTES, fallback=CHAT
        )
        assert done_of(events).node == chat.id


@pytest.mark.parametrize(
    "asked",
    [{"model": TOOLS}, {"specialty": CALCULATOR}, {}],
    ids=["model by name", "specialty by name", "nobody else"],
)
async def test_when_nobody_else_may_answer_the_error_says_why(asked: dict[str, Any]) -> None:
    async with Mesh() as mesh:
        tools = await mesh.node("t", specialties=(CALCULATOR,), model=TOOLS)
        if asked:
            await mesh.node("c", specialties=(CHAT,), model=ModelId("chat"))
        substitutes = SUBSTITUTES if "model" in asked else None
        tools.scripts = [refuse("cannot_answer", "not plain arithmetic")]
        error = await caught(
            mesh.collect(
                request(**asked),
                decided=CALCULATOR,
                substitutes=substitutes,
                fallback=CHAT if asked else None,
            )
        )
        assert isinstance(error, CannotAnswer)
        assert error.message == "not plain arithmetic"
        assert len(tools.attempts) == 1


async def test_a_substitute_that_is_away_is_waited_for() -> None:
    async with Mesh() as mesh:
        tools = await mesh.node("t", specialties=(CALCULATOR,), model=TOOLS)
        math = await mesh.node("m", slots=1)
        tools.scripts = [refuse("cannot_answer")]
        gate = asyncio.Event()
        math.scripts = [hold(gate)]
        async with asyncio.TaskGroup() as group:
            busy = group.create_task(mesh.collect(request(number=1)))
            await until(lambda: math.used == 1)
            waits = group.create_task(
                mesh.collect(request(number=2), decided=CALCULATOR, substitutes=SUBSTITUTES)
            )
            await until(lambda: sum(mesh.admission.depth.values()) == 1)
            gate.set()
        assert done_of(busy.result()).node == done_of(waits.result()).node == math.id


async def test_a_dry_run_says_that_a_conversation_stays() -> None:
    async with Mesh() as mesh:
        await mesh.node("a")
        history, _, _ = await turn(mesh, (), "begin")
        await mesh.node("b", slots=8)
        asked: Request = request(messages=(*history, user("go on")))
        route = await mesh.api.route(asked)
        assert [row.node_name for row in route.candidates] == ["a", "b"]
        assert route.candidates[0].reason.startswith("holds this conversation; ")
        bare = await mesh.api.route(request("new"), candidates=False)
        assert bare.candidates == ()


async def test_an_answer_that_never_ended_leaves_no_trace() -> None:
    async with Mesh(max_attempts=1) as mesh:
        node = await mesh.node("a")
        node.scripts = [fail(2)]
        assert not isinstance(await caught(mesh.collect(request())), NodeLost | None)
        assert len(mesh.dispatch.affinity) == 0


def _drains(mesh: Mesh, node: ScriptedNode) -> bool:
    beat = mesh.fleet.view.nodes[node.id].heartbeat
    return beat is not None and beat.state is NodeState.DRAINING


def _idle(mesh: Mesh) -> bool:
    return all(
        view.in_flight == 0
        and (view.heartbeat is None or not any(m.used_slots for m in view.heartbeat.models))
        for view in mesh.fleet.view.nodes.values()
    )
