"""Dry runs in bulk: in order, each with its own result, over real gRPC and through the SDK."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

import mesh as squadron
from mesh import Message, Role, Route
from mesh.client import routes
from mesh.errors import InvalidRequest, MeshError, Unreachable
from mesh.protobuf.metadata import ERROR_CODE
from mesh.protobuf.route import MAX_BATCH
from mesh.settings.router import RouterSettings
from mesh.v1 import mesh_pb2 as pb
from mesh.v1 import mesh_pb2_grpc
from tests.mesh.fakes import Mesh, orchestrator

SUM = "what is 1 + 1?"


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[tuple[Mesh, Any]]:
    async with Mesh() as mesh:
        await mesh.node("a", slots=2)
        async with orchestrator(mesh, **settings) as whole:
            yield mesh, whole


def asked(text: str, **given: Any) -> pb.RouteRequest:
    return pb.RouteRequest(messages=[pb.Message(role="user", content=text)], **given)


async def called(endpoint: str, request: pb.RouteBatchRequest) -> list[Any]:
    async with grpc.aio.insecure_channel(endpoint) as channel:
        make: Any = mesh_pb2_grpc.MeshStub
        return [answer async for answer in make(channel).RouteBatch(request)]


async def test_each_prompt_gets_its_route_or_its_error_in_order() -> None:
    prompts = [
        asked(SUM),
        asked(" "),
        asked("hello"),
        pb.RouteRequest(messages=[pb.Message(role="root", content="x")]),
        asked("x", specialty="No Name"),
        asked("x", specialty="math"),
    ]
    async with served() as (mesh, whole):
        answers = await called(whole.endpoint, pb.RouteBatchRequest(prompts=prompts))
        assert not mesh.nodes["a"].attempts, "a dry run asks no node"
    assert [answer.index for answer in answers] == list(range(6))
    assert [answer.WhichOneof("result") for answer in answers] == [
        *("route", "failure", "route", "failure", "failure", "route")
    ]
    assert answers[0].route.decision.specialty == "math"
    assert answers[0].route.decision.verdicts
    assert (answers[1].failure.code, "empty" in answers[1].failure.message) == (
        "invalid_request",
        True,
    )
    assert answers[2].route.decision.stage == "fallback"
    assert "root" in answers[3].failure.message
    assert answers[5].route.decision.stage == "requested"
    assert not any(answer.route.candidates for answer in answers), "only when they are wanted"


async def test_candidates_come_when_they_are_wanted() -> None:
    batch = pb.RouteBatchRequest(prompts=[asked(SUM)], with_candidates=True)
    async with served() as (_, whole):
        (answer,) = await called(whole.endpoint, batch)
    assert [row.node_name for row in answer.route.candidates] == ["a"]


async def test_too_many_prompts_are_refused_with_the_limit() -> None:
    batch = pb.RouteBatchRequest(prompts=[asked("x")] * (MAX_BATCH + 1))
    async with served() as (_, whole):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await called(whole.endpoint, batch)
        assert await called(whole.endpoint, pb.RouteBatchRequest()) == []
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "1,001 prompts are too many for one call; send at most 1,000" in error.details()
    trailers = dict(tuple(item) for item in error.trailing_metadata() or ())
    assert trailers[ERROR_CODE] == "invalid_request"


def results(found: list[Route | MeshError]) -> list[str]:
    return [r.decision.specialty if isinstance(r, Route) else f"{r.code}" for r in found]


async def test_the_sdk_routes_many_prompts_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MOST_PROMPTS", 3)
    prompts: list[Any] = [
        SUM,
        "hello",
        "",
        [{"role": "user", "content": SUM}, {"role": "assistant", "content": "2"}, SUM],
        [Message.of(Role.SYSTEM, "be brief"), Message.of(Role.USER, SUM)],
        [{"role": "root", "content": "x"}],
        "2 + 2",
        "\ud800",
        "hello again",
    ]
    prompts[3][2] = {"role": "user", "content": "3 + 3"}
    async with served() as (_, whole), squadron.connect(whole.endpoint) as client:
        found = [each async for each in client.route_many(prompts)]
        assert results(found) == [
            *("math", "chat", "invalid_request", "math", "math", "invalid_request"),
            *("math", "invalid_request", "chat"),
        ]
        assert isinstance(found[2], InvalidRequest)
        assert [each async for each in client.route_many([])] == []
        (only,) = [each async for each in client.route_many([SUM], candidates=True)]
        assert isinstance(only, Route)
        assert only.candidates
        (named,) = [each async for each in client.route_many(["x"], specialty="art")]
        assert isinstance(named, Route)
        assert named.decision.stage == "requested"


async def test_what_is_too_large_for_one_call_travels_in_several() -> None:
    big = "x" * (routes.MOST_BYTES // 3)
    async with (
        served(max_request_bytes=2 * routes.MOST_BYTES) as (_, whole),
        squadron.connect(whole.endpoint) as client,
    ):
        found = [each async for each in client.route_many([big] * 10)]
        assert results(found) == ["chat"] * 10
        # The orchestrator's own limit is that of each prompt.
        huge = "x" * (2 * routes.MOST_BYTES + 1)
        found = [each async for each in client.route_many([SUM, huge, SUM])]
    assert results(found) == ["math", "invalid_request", "math"]


async def test_an_orchestrator_that_is_gone_is_replaced_and_none_is_said() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{probe.getsockname()[1]}"
    async with served() as (_, whole):
        client = squadron.connect([gone, whole.endpoint])
        async with client:
            assert client.endpoint == whole.endpoint
            client._contacts._known.reverse()  # the one that is gone is asked first
            found = [each async for each in client.route_many([SUM, "hello"])]
            assert results(found) == ["math", "chat"]
            assert client.endpoint == whole.endpoint
            del client._contacts._known[0]
            with pytest.raises(Unreachable):
                [each async for each in client.route_many([SUM])]


async def test_the_synchronous_client_does_the_same() -> None:
    import asyncio

    def ask(endpoint: str) -> list[str]:
        with squadron.connect_sync(endpoint) as client:
            return results(list(client.route_many([SUM, "", "hello"])))

    async with served() as (_, whole):
        found = await asyncio.to_thread(ask, whole.endpoint)
    assert found == ["math", "invalid_request", "chat"]


async def test_an_answer_that_the_router_has_is_shown_and_needs_no_ticket() -> None:
    stages = RouterSettings(stages=("exact", "rules"))
    async with (
        served(router=stages) as (mesh, whole),
        squadron.connect(whole.endpoint) as client,
        grpc.aio.insecure_channel(whole.endpoint) as channel,
    ):
        one = await client.route("12 * 7")
        (many,) = [each async for each in client.route_many(["12 * 7"])]
        make: Any = mesh_pb2_grpc.MeshStub
        ticket = await make(channel).Route(asked("12 * 7", want_ticket=True))
        assert not mesh.nodes["a"].attempts
    assert one.ready is not None
    assert (one.ready.source, one.ready.text.strip()) == ("exact", "84")
    assert isinstance(many, Route)
    assert many.ready == one.ready
    assert ticket.no_ticket == "the orchestrator has this answer already (exact)"
