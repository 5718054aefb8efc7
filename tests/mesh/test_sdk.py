"""The SDK against a whole orchestrator over real gRPC, nodes on the twins."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import mesh as squadron
from mesh import Assigned, Decided, Done, Message, Role, Tokens
from mesh.errors import (
    ConfigError,
    DeadlineExceeded,
    EngineFailed,
    InvalidRequest,
    UnknownModel,
    UnknownSpecialty,
    Unreachable,
)
from tests.conversations import CALL, SEEN, TOOLS
from tests.mesh.fakes import Mesh, orchestrator, text_of, until
from tests.mesh.scripted import answer, fail, hang, words

MATH = "What is 17 + 25?"


def nobody() -> str:
    """An endpoint that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[tuple[Mesh, Any]]:
    async with Mesh() as mesh:
        await mesh.node("a", slots=2)
        async with orchestrator(mesh, **settings) as whole:
            yield mesh, whole


async def test_an_answer_comes_chunk_by_chunk() -> None:
    async with served() as (mesh, whole), squadron.connect(whole.endpoint) as client:
        generation = client.generate(MATH)
        chunks = [chunk async for chunk in generation]
        assert "".join(chunk.text for chunk in chunks) == words(10)
        assert [i for chunk in chunks for i in chunk.ids] == list(range(1000, 1010))
        assert chunks[0].index == 0
        assert generation.decision is not None
        assert generation.decision.specialty == "math"
        assert generation.assigned is not None
        assert generation.assigned.node_name == "a"
        assert generation.done is not None
        assert len(generation.done.trace_id) == 32
        assert await generation.text() == "", "nothing is left"
        assert mesh.nodes["a"].attempts[0].request_id == generation.request_id


async def test_text_and_messages_and_options() -> None:
    async with served() as (mesh, whole), squadron.connect([whole.endpoint]) as client:
        prompt = [
            {"role": "system", "content": "be brief"},
            Message.of(Role.USER, "and now?"),
        ]
        generation = client.generate(
            prompt, specialty="math", max_tokens=7, temperature=0.5, seed=3, stop="\n", top_k=4
        )
        assert await generation.text() == words(7), "its node knows no limit"
        attempt = mesh.nodes["a"].attempts[0]
    assert [m.role for m in attempt.messages] == [Role.SYSTEM, Role.USER]
    sampling = attempt.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.seed) == (7, 0.5, 3)
    assert (sampling.stop, sampling.top_k) == (("\n",), 4)


async def test_images_calls_and_results_reach_the_node_as_they_were_given() -> None:
    async with served() as (mesh, whole), squadron.connect([whole.endpoint]) as client:
        assert await client.generate((*SEEN, *TOOLS), specialty="math").text() == words(10)
        assert mesh.nodes["a"].attempts[0].messages == (*SEEN, *TOOLS)
        with pytest.raises(InvalidRequest, match=r"messages\[0\]\.parts\[0\] is a tool call"):
            client.generate([Message(role=Role.USER, parts=(CALL,))])


async def test_raw_events_for_those_who_want_them() -> None:
    async with served() as (_, whole), squadron.connect(whole.endpoint) as client:
        events = [event async for event in client.events(MATH)]
    assert isinstance(events[0], Decided)
    assert isinstance(events[1], Assigned)
    assert isinstance(events[-1], Done)
    assert text_of(events) == words(10)


async def test_route_and_fleet() -> None:
    async with served() as (_, whole), squadron.connect(whole.endpoint) as client:
        route = await client.route(MATH)
        assert route.decision.specialty == "math"
        assert route.candidates[0].node_name == "a"
        assert (await client.route("x", specialty="math")).decision.stage == "requested"
        nodes = await client.nodes()
        assert [node.record.name for node in nodes] == ["a"]
        assert (await client.fleet()).registry_connected
        with pytest.raises(InvalidRequest, match="empty"):
            await client.route("")


async def test_errors_come_back_as_the_types_that_were_raised() -> None:
    async with served(max_attempts=1) as (mesh, whole), squadron.connect(whole.endpoint) as client:
        with pytest.raises(UnknownSpecialty, match="known specialties: math") as caught:
            await client.generate(MATH, specialty="poetry").text()
        assert caught.value.request_id is not None
        assert len(caught.value.request_id) == 32
        with pytest.raises(UnknownModel, match="known models: toy"):
            await client.generate(MATH, model="gpt").text()
        mesh.nodes["a"].scripts = [fail(2)]
        generation = client.generate(MATH)
        with pytest.raises(EngineFailed, match="2 tokens were delivered"):
            await generation.text()
        assert [chunk async for chunk in generation] == [], "an ended answer stays ended"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": float("nan")}, "temperature"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"priority": "asap"}, "priority"),
        ({"specialty": "No Name"}, "specialty"),
    ],
)
async def test_a_bad_call_is_refused_where_it_is_made(options: Any, names: str) -> None:
    async with served() as (_, whole), squadron.connect(whole.endpoint) as client:
        with pytest.raises(InvalidRequest, match=names):
            client.generate(MATH, **options)
        with pytest.raises(InvalidRequest, match="unknown role"):
            client.generate([{"role": "wizard", "content": "x"}])
        with pytest.raises(InvalidRequest, match="must be a Message"):
            client.generate([{"content": None}])  # type: ignore[dict-item]


async def test_deadlines_are_kept() -> None:
    async with served() as (mesh, whole):
        freed = asyncio.Event()
        mesh.nodes["a"].scripts = [hang(1, freed), hang(1)]
        async with squadron.connect(whole.endpoint, timeout_s=0.3) as client:
            with pytest.raises(DeadlineExceeded, match="1 token was delivered"):
                await client.generate(MATH).text()
            await until(freed.is_set)
            with pytest.raises(DeadlineExceeded):
                await client.generate(MATH, timeout_s=0.1).text()


async def test_closing_an_answer_frees_the_slot() -> None:
    async with served() as (mesh, whole), squadron.connect(whole.endpoint) as client:
        freed = asyncio.Event()
        mesh.nodes["a"].scripts = [hang(2, freed)]
        async with client.generate(MATH) as generation:
            assert (await anext(generation)).index == 0
        await until(freed.is_set, "the node's slot is free")


async def test_cancelling_the_reader_frees_the_slot() -> None:
    async with served() as (mesh, whole), squadron.connect(whole.endpoint) as client:
        freed = asyncio.Event()
        mesh.nodes["a"].scripts = [hang(0, freed)]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(client.generate(MATH).text())
            await until(lambda: mesh.nodes["a"].used == 1)
            task.cancel()
        await until(freed.is_set, "the node's slot is free")


async def test_nobody_there_is_one_clear_line_and_no_long_wait() -> None:
    endpoint = nobody()
    async with asyncio.timeout(3):
        with pytest.raises(Unreachable, match=rf"{endpoint}; is `mesh up` running\?"):
            async with squadron.connect(endpoint):
                pass
    with pytest.raises(ConfigError, match="not HOST:PORT"):
        squadron.connect("localhost")
    with pytest.raises(ConfigError, match="at least one"):
        squadron.connect([])
    with pytest.raises(ConfigError, match="not connected"):
        squadron.connect(endpoint).generate(MATH)


async def test_the_next_orchestrator_is_asked_when_one_is_unreachable() -> None:
    async with Mesh() as mesh:
        await mesh.node("a")
        async with orchestrator(mesh, name="second") as second:
            async with squadron.connect([nobody(), second.endpoint]) as client:
                assert client.endpoint == second.endpoint
            async with (
                orchestrator(mesh, name="first") as first,
                squadron.connect([first.endpoint, second.endpoint]) as client,
            ):
                assert await client.generate(MATH).text() == words(10)
                assert client.endpoint == first.endpoint
                first.stop()
                first.stop()
                await until(lambda: "first" not in _names(mesh), "the first one is gone")
                assert await client.generate(MATH).text() == words(10)
                assert client.endpoint == second.endpoint
                assert len(await client.nodes()) == 1


async def test_an_orchestrator_lost_in_mid_answer_is_a_clear_error() -> None:
    async with served() as (mesh, whole), squadron.connect(whole.endpoint) as client:
        mesh.nodes["a"].scripts = [hang(3)]
        generation = client.generate(MATH)
        seen = ""
        while "w2" not in seen:
            seen += (await anext(generation)).text
        whole.stop()
        whole.stop()
        with pytest.raises(Unreachable, match="lost after 3 tokens"):
            await generation.text()


async def test_a_slow_reader_gets_everything() -> None:
    async with served() as (mesh, whole), squadron.connect(whole.endpoint) as client:
        mesh.nodes["a"].scripts = [answer(2000)]
        events = []
        async for event in client.events(MATH):
            events.append(event)
            if isinstance(event, Tokens) and event.first < 20:
                await asyncio.sleep(0.005)
    assert text_of(events) == words(2000)


async def test_the_synchronous_front_is_the_same_client() -> None:
    async with served() as (mesh, whole):

        def use() -> None:
            with squadron.connect_sync(whole.endpoint) as client:
                generation = client.generate(MATH)
                assert "".join(chunk.text for chunk in generation) == words(10)
                assert generation.done is not None
                assert generation.decision is not None
                assert client.generate(MATH).text() == words(10)
                assert client.route(MATH).decision.specialty == "math"
                assert [node.record.name for node in client.nodes()] == ["a"]
                mesh.nodes["a"].scripts = [hang(1)]
                with client.generate(MATH) as cut:
                    next(cut)
                with pytest.raises(UnknownModel):
                    client.generate(MATH, model="gpt").text()
            with pytest.raises(ConfigError, match="is closed"):
                client.nodes()
            with pytest.raises(Unreachable), squadron.connect_sync(nobody()):
                pass

        await asyncio.to_thread(use)
        await until(lambda: mesh.nodes["a"].used == 0, "the cut answer's slot is free")
    assert not [t for t in threading.enumerate() if t.name == "mesh-client"]


def _names(mesh: Mesh) -> str:
    return b"".join(mesh.store.snapshot("orchestrators/").values()).decode()
