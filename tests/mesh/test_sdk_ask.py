"""A whole answer as one value: its text, who made it, and whether it is whole."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

import mesh
from mesh.client.answer import whole_answer
from mesh.client.request import request_of
from mesh.client.stream import Generation
from mesh.errors import InvalidRequest, ProtocolError, UnknownModel
from mesh.stream import Decided, Done, StreamEvent
from mesh.types import FinishReason, Role
from tests.mesh.fakes import Mesh, orchestrator, until
from tests.mesh.scripted import CHAT, fail, hang, words
from tests.mesh.scripted import MATH as MATHS
from tests.whole_answers import DECISION, DONE, REQUEST, ended

MATH = "what is 1 + 1?"


async def test_an_answer_comes_whole() -> None:
    async with Mesh() as fleet:
        node = await fleet.node("a", slots=2)
        async with orchestrator(fleet) as whole, mesh.connect(whole.endpoint) as client:
            found = await client.ask(MATH, max_tokens=500)
            assert found.text == str(found) == words(10)
            assert f"{found}" == words(10)
            assert found.decision.specialty == "math"
            assert found.done.node_name == "a"
            assert found.request_id == node.attempts[0].request_id
            assert found.whole
            assert not found.cut
            with pytest.raises(dataclasses.FrozenInstanceError):
                found.text = ""  # type: ignore[misc]


async def test_an_answer_that_a_limit_ended_says_so() -> None:
    async with Mesh() as fleet:
        await fleet.node("a")
        async with orchestrator(fleet) as whole, mesh.connect(whole.endpoint) as client:
            found = await client.ask(MATH, max_tokens=3)
            assert found.text == words(3)
            assert not found.whole
            assert "limit of 3 tokens" in found.cut
            assert "max_tokens" in found.cut


@pytest.mark.parametrize("reason", FinishReason)
def test_only_what_came_to_its_own_end_is_whole(reason: FinishReason) -> None:
    found = ended(reason)
    assert found.whole == (
        reason in (FinishReason.STOP, FinishReason.STOP_STRING, FinishReason.TOOL_CALLS)
    )
    assert bool(found.cut) != found.whole
    assert "\n" not in found.cut


def test_one_token_is_one_token() -> None:
    assert "1 token;" in ended(FinishReason.LENGTH, 1).cut
    assert "1,234 tokens;" in ended(FinishReason.LENGTH).cut


async def test_what_ends_an_answer_is_raised() -> None:
    async with Mesh() as fleet:
        node = await fleet.node("a")
        node.scripts = [fail(after=2)]
        async with orchestrator(fleet) as whole, mesh.connect(whole.endpoint) as client:
            with pytest.raises(mesh.NotResumable):
                await client.ask(MATH, resume=False)
            with pytest.raises(UnknownModel):
                await client.ask(MATH, model="gpt")
            with pytest.raises(InvalidRequest):
                await client.ask("")


async def test_who_stops_waiting_for_it_frees_its_slot() -> None:
    async with Mesh() as fleet:
        node = await fleet.node("a")
        node.scripts = [hang(2)]
        async with orchestrator(fleet) as whole, mesh.connect(whole.endpoint) as client:
            asked = asyncio.ensure_future(client.ask(MATH))
            await until(lambda: node.used == 1, "it is at work")
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            await until(lambda: node.used == 0, "the slot is free")


async def test_a_conversation_is_asked_and_remembers() -> None:
    async with Mesh() as fleet:
        node = await fleet.node("a")
        async with orchestrator(fleet) as whole, mesh.connect(whole.endpoint) as client:
            talk = client.conversation(system="be brief", specialty="math")
            assert str(await talk.ask("one")) == words(10)
            assert [type(event) async for event in talk.events("two")][-1] is Done
            asked = [(m.role, m.text) for m in node.attempts[1].messages]
            assert asked == [
                (Role.SYSTEM, "be brief"),
                (Role.USER, "one"),
                (Role.ASSISTANT, words(10)),
                (Role.USER, "two"),
            ]
            assert len(talk.messages) == 5


async def test_the_synchronous_front_asks_alike() -> None:
    async with Mesh() as fleet:
        node = await fleet.node("a")
        async with orchestrator(fleet) as whole:

            def use() -> None:
                with mesh.connect_sync(whole.endpoint, timeout_s=20) as client:
                    found = client.ask(MATH)
                    assert (str(found), found.whole) == (words(10), True)
                    assert str(client.conversation(specialty="math").ask("one")) == words(10)
                    with pytest.raises(UnknownModel):
                        client.ask(MATH, model="gpt")
                    with pytest.raises(mesh.ConfigError, match="already"):
                        client.__enter__()
                    assert [n.record.name for n in client.nodes(timeout_s=5)] == ["a"]

            await asyncio.to_thread(use)
        assert node.used == 0


async def test_a_client_is_entered_once_at_a_time_and_closed_more_than_once() -> None:
    async with Mesh() as fleet:
        await fleet.node("a")
        async with orchestrator(fleet) as whole:
            client = mesh.connect(whole.endpoint)
            await client.aclose()
            async with client:
                with pytest.raises(mesh.ConfigError, match="already"):
                    await client.__aenter__()
                assert await client.ask(MATH)
            await client.aclose()
            with pytest.raises(mesh.ConfigError, match="is closed"):
                await client.ask(MATH)
            async with client:
                assert (await client.ask(MATH)).whole


async def test_what_the_readme_shows_runs() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("## From a program")[2].partition("```python\n")[2]
    program = shown.partition("```")[0]
    async with Mesh() as fleet:
        node = await fleet.node("a", specialties=(MATHS, CHAT))
        async with orchestrator(fleet) as whole:
            program = program.replace("127.0.0.1:7700", whole.endpoint)
            started = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, stdout=PIPE, stderr=PIPE
            )
            out, err = await started.communicate()
    assert (started.returncode, err) == (0, b"")
    assert out.decode().startswith(f"{words(10)} [math by a]\n")
    assert out.decode().count(words(10)) == 4
    assert [m.text for m in node.attempts[-1].messages][-1] == "And a twin prime?"
    assert len(node.attempts[-1].messages) == 4


class Said:
    """Events that are no whole answer's."""

    def __init__(self, *events: StreamEvent) -> None:
        self._events = iter(events)
        self.request = request_of("hi", {}, None)
        self.closed = False

    def __aiter__(self) -> Said:
        return self

    async def __anext__(self) -> StreamEvent:
        for event in self._events:
            return event
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True

    async def __aenter__(self) -> Said:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


async def test_what_has_no_first_or_last_word_is_no_answer() -> None:
    decided = Decided(request_id=REQUEST, decision=DECISION)
    for events in ((), (decided,), (DONE,)):
        said = Said(*events)
        with pytest.raises(ProtocolError, match="ask again"):
            await whole_answer(Generation(said))
        assert said.closed
    assert (await whole_answer(Generation(Said(decided, DONE)))).text == ""
