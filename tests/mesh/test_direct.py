"""Tickets end to end: real gRPC on loopback, whole node agents and an orchestrator on the twins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

import mesh as squadron
from mesh.errors import Cancelled, EngineFailed, InvalidRequest
from mesh.protobuf.direct import direct_to_wire
from mesh.protobuf.metadata import ERROR_CODE
from mesh.security.tickets import CLOCK_SKEW_S, Signer
from mesh.stream import Assigned, Decided, Done
from mesh.types import ModelId, NodeId, OrchestratorId
from mesh.v1 import mesh_pb2 as pb
from mesh.v1 import mesh_pb2_grpc
from orchestrator.service import Orchestrator
from tests.direct_rig import OPENED, RealNode, real_node, trusted, usable, whole_answer, words_from
from tests.mesh.fakes import Mesh, orchestrator, request, text_of, until
from tests.mesh.scripted import word, words
from tests.node_fakes import done

MATH = "what is 1 + 1?"


@asynccontextmanager
async def direct(folder: Path, **given: Any) -> AsyncIterator[tuple[Mesh, RealNode, Orchestrator]]:
    """A whole node, and an orchestrator that sees it."""
    async with (
        Mesh() as mesh,
        real_node(mesh, folder, **given) as node,
        orchestrator(mesh) as whole,
    ):
        await until(lambda: _ready(whole, node), "the orchestrator would use the node")
        await until(lambda: bool(node.keyring.keys()), "the node knows the orchestrator's key")
        yield mesh, node, whole


def _ready(whole: Orchestrator, node: RealNode) -> bool:
    seen = whole.fleet.view.nodes.get(node.id)
    return usable(seen)


def served(whole: Orchestrator) -> list[Any]:
    """Counts the orchestrator's calls by method."""
    calls: list[Any] = []
    api = whole.api
    route = api.route

    def counted(*args: Any, **given: Any) -> Any:
        calls.append("route")
        return route(*args, **given)

    api.route = counted  # type: ignore[method-assign]
    generate = api.generate

    def counted_too(*args: Any, **given: Any) -> Any:
        calls.append("generate")
        return generate(*args, **given)

    api.generate = counted_too  # type: ignore[method-assign]
    return calls


async def test_an_answer_comes_straight_from_the_node(tmp_path: Path) -> None:
    async with direct(tmp_path, script=whole_answer()) as (_, node, whole):
        calls = served(whole)
        async with squadron.connect(whole.endpoint, direct=True) as client:
            events = [event async for event in client.events(MATH)]
        assert calls == ["route"]
        assert node.runner.used_slots == 0
        assert node.gate.streams == 0
    assert isinstance(events[0], Decided)
    assert events[0].decision.specialty == "math"
    assert isinstance(events[1], Assigned)
    assert (events[1].node, events[1].node_name) == (node.id, "front")
    assert events[1].tokenizer_hash == "tok"
    assert text_of(events) == words(10)
    assert isinstance(events[-1], Done)
    assert (events[-1].completion_tokens, events[-1].resumed) == (10, False)
    assert len(events[-1].trace_id) == 32


async def test_later_prompts_of_a_conversation_ask_no_orchestrator(tmp_path: Path) -> None:
    async with direct(tmp_path, script=whole_answer(3)) as (_, node, whole):
        calls = served(whole)
        async with squadron.connect(whole.endpoint) as client:
            talk = client.conversation(system="be brief", direct=True)
            for number in range(3):
                assert await talk.generate(f"1 + {number}").text() == words(3)
            assert calls == ["route"]
            assert [m.role for m in talk.messages] == ["system", *["user", "assistant"] * 3]
            last = node.runner.opened[-1][1].messages
            assert [m.text for m in last] == [
                "be brief",
                "1 + 0",
                words(3),
                "1 + 1",
                words(3),
                "1 + 2",
            ]
            assert await client.conversation(direct=True).generate(MATH).text() == words(3)
            assert calls == ["route"] * 2, "another conversation has a ticket of its own"
            for _ in range(2):
                await client.generate(MATH, specialty="math", direct=True).text()
            assert calls == ["route"] * 3, "a named specialty keeps its ticket, too"
            for _ in range(2):
                await client.generate(MATH, direct=True).text()
            assert calls == ["route"] * 5, "what may be decided otherwise is asked each time"


async def test_an_answer_goes_on_with_the_orchestrator_gone_while_the_ticket_holds(
    tmp_path: Path,
) -> None:
    async with Mesh() as mesh, real_node(mesh, tmp_path, script=whole_answer()) as node:
        async with orchestrator(mesh) as whole:
            await until(lambda: _ready(whole, node) and bool(node.keyring.keys()))
            client = squadron.connect(whole.endpoint, direct=True)
            await client.__aenter__()
            assert await client.generate(MATH, specialty="math").text() == words(10)
        try:
            assert await client.generate(MATH, specialty="math").text() == words(10)
        finally:
            await client.aclose()


@pytest.mark.parametrize("after", [0, 4])
async def test_a_node_that_breaks_is_made_good_through_the_orchestrator(
    tmp_path: Path, after: int
) -> None:
    script = (OPENED, *((words_from(0, after),) if after else ()), EngineFailed("it broke"))
    async with direct(tmp_path, script=script) as (mesh, _node, whole):
        calls = served(whole)
        async with squadron.connect(whole.endpoint, direct=True) as client:
            events = client.events(MATH)
            seen = [await anext(events)]
            # Only now, so that the ticket is for the node that breaks.
            other = await mesh.node("b")
            await until(lambda: other.id in whole.fleet.view.nodes)
            await until(lambda: whole.fleet.view.nodes[other.id].heartbeat is not None)
            seen += [event async for event in events]
        assert calls[0] == "route"
        assert "generate" in calls
    assert text_of(seen) == words(10)
    assert sum(isinstance(event, Decided) for event in seen) == 1
    assert [len(a.delivered) for a in other.attempts] == [after]
    final = seen[-1]
    assert isinstance(final, Done)
    assert final.resumed == bool(after)
    assert final.completion_tokens == 10


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"expires_at": -CLOCK_SKEW_S - 2.0}, "expired"),
        ({"node": NodeId("node-other")}, "is for node 'node-other'"),
        ({"instance": "before"}, "restarted"),
        ({"issuer": OrchestratorId("orch-nobody")}, "no orchestrator that this node knows"),
        ({"max_tokens": 10}, "allows answers of 10 tokens"),
        ({"model": ModelId("other")}, "not 'toy'"),
    ],
)
async def test_a_ticket_that_does_not_hold_is_permission_denied(
    tmp_path: Path, changes: dict[str, Any], names: str
) -> None:
    async with Mesh() as mesh, real_node(mesh, tmp_path, script=whole_answer()) as node:
        signer = Signer.generate()
        trusted(node, signer)
        if "expires_at" in changes:
            ends = mesh.clock.wall() + changes["expires_at"]
            changes = {"issued_at": ends - 60, "expires_at": ends}
        error = await refused(node, signer.sign(node.ticket(**changes)))
        assert node.runner.opened == []
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert trailers(error)[ERROR_CODE] == "bad_ticket"
    assert names in error.details()


async def test_a_tampered_ticket_and_none_at_all_are_permission_denied(tmp_path: Path) -> None:
    async with Mesh() as mesh, real_node(mesh, tmp_path, script=whole_answer()) as node:
        signer = Signer.generate()
        trusted(node, signer)
        good = signer.sign(node.ticket())
        for token in ("", good[:-6] + "AAAAAA", good.replace(".", "x"), "nonsense"):
            error = await refused(node, token)
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
            assert trailers(error)[ERROR_CODE] == "bad_ticket"


async def test_a_ticket_in_use_to_its_limit_is_refused_and_then_good_again(tmp_path: Path) -> None:
    async with (
        Mesh() as mesh,
        real_node(mesh, tmp_path, slots=4, script=(OPENED, words_from(0, 1))) as node,
    ):
        signer = Signer.generate()
        trusted(node, signer)
        token = signer.sign(node.ticket(max_streams=2))
        async with grpc.aio.insecure_channel(node.record().direct_endpoint) as channel:
            calls = [ask(channel, token) for _ in range(2)]
            for call in calls:
                await call.read()
            error = await refused(node, token)
            assert trailers(error)[ERROR_CODE] == "bad_ticket"
            assert "in use by 2 streams" in error.details()
            calls[0].cancel()
            await until(lambda: node.gate.streams == 1)
            third = ask(channel, token)
            assert (await third.read()).WhichOneof("event") == "assigned"
            for call in (*calls, third):
                call.cancel()
            await until(lambda: node.gate.streams == 0 and node.runner.used_slots == 0)


async def test_a_stream_beats_while_the_runner_says_nothing(tmp_path: Path) -> None:
    async with (
        Mesh() as mesh,
        real_node(mesh, tmp_path, slots=4, script=(OPENED, words_from(0, 1))) as node,
    ):
        signer = Signer.generate()
        trusted(node, signer)
        token = signer.sign(node.ticket(max_streams=2))
        async with grpc.aio.insecure_channel(node.record().direct_endpoint) as channel:
            call = ask(channel, token)
            async with asyncio.timeout(10):
                seen = [await call.read() for _ in range(4)]
            assert [(each.WhichOneof("event"), each.heartbeat_ms) for each in seen] == [
                ("assigned", 250),
                ("tokens", 0),
                (None, 250),
                (None, 250),
            ]
            call.cancel()


async def test_bad_requests_are_the_clients_mistake_and_not_asked_again(tmp_path: Path) -> None:
    async with direct(tmp_path, script=whole_answer()) as (_, node, whole):
        calls = served(whole)
        async with squadron.connect(whole.endpoint, direct=True) as client:
            with pytest.raises(InvalidRequest, match="empty"):
                client.generate(" ")
        signer = Signer.generate()
        trusted(node, signer)
        token = signer.sign(node.ticket())
        for bad in (pb.GenerateRequest(), pb.GenerateRequest(timeout_s=-1)):
            error = await refused(node, token, bad)
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert calls == []
        assert node.gate.streams == 0


async def test_leaving_a_direct_answer_frees_its_slot_at_once(tmp_path: Path) -> None:
    async with (
        direct(tmp_path, script=(OPENED, words_from(0, 1))) as (_, node, whole),
        squadron.connect(whole.endpoint, direct=True) as client,
    ):
        for how in ("close", "cancel", "break"):
            generation = client.generate(MATH)
            await anext(generation)
            assert node.runner.used_slots == 1
            if how == "close":
                await generation.aclose()
            elif how == "break":
                del generation
            else:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await anext(generation)
            await until(lambda: node.runner.used_slots == 0)
            assert node.gate.streams == 0


async def test_closing_from_another_task_ends_the_wait_for_the_next_event(tmp_path: Path) -> None:
    async with (
        direct(tmp_path, script=(OPENED, words_from(0, 1))) as (_, node, whole),
        squadron.connect(whole.endpoint, direct=True) as client,
    ):
        generation = client.generate(MATH)
        await anext(generation)

        async def wait() -> None:
            with pytest.raises(Cancelled):
                await anext(generation)

        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(wait())
            await asyncio.sleep(0)
            await generation.aclose()
            await waiting
        await until(lambda: node.runner.used_slots == 0)


async def test_a_client_that_does_not_read_stops_its_own_runner(tmp_path: Path) -> None:
    """Credit is granted as gRPC takes what was written, so its window is the bound."""
    big = "x" * 4096
    batch = words_from(0, 1)
    flood = tuple(
        type(batch)(sequence=1, first=i, pieces=(type(word(0))(id=i, text=big),))
        for i in range(400)
    )
    async with (
        Mesh() as mesh,
        real_node(mesh, tmp_path, script=(OPENED, *flood, done())) as node,
    ):
        signer = Signer.generate()
        trusted(node, signer)
        options = [("grpc.http2.lookahead_bytes", 65_536), ("grpc.http2.bdp_probe", 0)]
        endpoint = node.record().direct_endpoint
        async with grpc.aio.insecure_channel(endpoint, options=options) as channel:
            call = ask(channel, signer.sign(node.ticket()))
            await call.read()
            sequence = node.runner.opened[0][0]
            before = -1
            while before != sequence.granted:  # until nothing moves any more
                before = sequence.granted
                await asyncio.sleep(0.2)
            assert before < 100, f"{before} pieces of 4 KiB were taken without a reader"
            texts = 0
            while (message := await call.read()) is not grpc.aio.EOF:
                texts += len(message.tokens.ids)
            assert texts == 400


async def test_a_node_that_drains_hands_direct_clients_to_a_peer(tmp_path: Path) -> None:
    async with (
        direct(tmp_path, script=whole_answer()) as (mesh, node, whole),
        squadron.connect(whole.endpoint, direct=True) as client,
    ):
        assert await client.generate(MATH, specialty="math").text() == words(10)
        peer = await mesh.node("b")
        node.agent._server.in_flight.draining = True
        events = [event async for event in client.events(MATH, specialty="math")]
    assert text_of(events) == words(10)
    assigned = next(event for event in events if isinstance(event, Assigned))
    assert (assigned.node, assigned.node_name, assigned.tokenizer_hash) == (peer.id, "b", "tok")
    assert peer.attempts[0].hops == (node.id,)


async def test_a_dead_node_is_noticed_at_once_and_its_ticket_is_dropped(tmp_path: Path) -> None:
    async with (
        Mesh() as mesh,
        orchestrator(mesh) as whole,
        squadron.connect(whole.endpoint, direct=True) as client,
    ):
        async with real_node(mesh, tmp_path, script=whole_answer()) as node:
            await until(lambda: _ready(whole, node) and bool(node.keyring.keys()))
            assert await client.generate(MATH, specialty="math").text() == words(10)
        other = await mesh.node("b")
        await until(lambda: other.id in whole.fleet.view.nodes)
        await until(lambda: whole.fleet.view.nodes[other.id].heartbeat is not None)
        calls = served(whole)
        begun = asyncio.get_running_loop().time()
        assert await client.generate(MATH, specialty="math").text() == words(10)
        assert asyncio.get_running_loop().time() - begun < 1.0
        assert calls == ["generate"], "no ticket of a scripted node: it serves nobody directly"
        assert await client.generate(MATH, specialty="math").text() == words(10)
        assert calls == ["generate", "route", "generate"]


async def test_a_refused_ticket_costs_the_client_nothing_but_the_way_round(tmp_path: Path) -> None:
    async with (
        direct(tmp_path, script=whole_answer()) as (_, node, whole),
        squadron.connect(whole.endpoint, direct=True) as client,
    ):
        calls = served(whole)
        node.gate._keys = dict
        events = [event async for event in client.events(MATH, specialty="math")]
        assert text_of(events) == words(10)
        assert calls == ["route", "generate"]
        done = events[-1]
        assert isinstance(done, Done)
        assert not done.resumed, "nothing had been delivered"


async def test_answers_beyond_the_tickets_streams_ask_for_another(tmp_path: Path) -> None:
    async with (
        direct(tmp_path, slots=8, script=(OPENED, words_from(0, 1))) as (_, node, whole),
        squadron.connect(whole.endpoint, direct=True) as client,
    ):
        calls = served(whole)
        answers = [client.generate(MATH, specialty="math") for _ in range(6)]
        for answer in answers:
            await anext(answer)
        assert calls == ["route"] * 2, "four streams a ticket"
        assert node.gate.streams == 6
        for answer in answers:
            await answer.aclose()


def ask(channel: Any, token: str, wire: Any = None) -> Any:
    make: Any = mesh_pb2_grpc.DirectStub
    message = direct_to_wire(token, request(model=ModelId("toy")))
    if wire is not None:
        message.request.CopyFrom(wire)
    return make(channel).Generate(message, timeout=10)


async def refused(node: RealNode, token: str, wire: Any = None) -> Any:
    async with grpc.aio.insecure_channel(node.record().direct_endpoint) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in ask(channel, token, wire):
                pass
    return caught.value


def trailers(error: Any) -> dict[str, str]:
    return dict(tuple(item) for item in error.trailing_metadata() or ())
