"""The client plane as any gRPC client sees it: real gRPC on loopback, nodes on the twins."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mesh.errors import ConfigError, NodeLost, Overloaded, PortInUse, RuleError
from mesh.protobuf.errors import MAX_DETAIL_CHARS, details_of, status_of, trailers_of
from mesh.protobuf.fleet import fleet_from_wire
from mesh.protobuf.metadata import ERROR_CODE, REQUEST_ID
from mesh.v1 import mesh_pb2 as pb
from mesh.v1 import mesh_pb2_grpc
from orchestrator.gateway.grpc import SERVICE, GrpcGateway
from tests.mesh.fakes import Mesh, orchestrator, until
from tests.mesh.scripted import endless, fail, hang, hold, words

MATH = "what is 1 + 1?"
IN_PARTS = pb.Message(role="user", parts=[pb.Part(text="what is "), pb.Part(text="this?")])
BAD_IMAGE = pb.Message(
    role="user",
    parts=[pb.Part(text="and this?"), pb.Part(image=pb.Image(media_type="image/tiff", data=b"x"))],
)


def ask(text: str = MATH, **given: Any) -> pb.GenerateRequest:
    fields: dict[str, Any] = {"specialty": "math"}
    return pb.GenerateRequest(messages=[pb.Message(role="user", content=text)], **(fields | given))


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[tuple[Mesh, Any, Any]]:
    """A mesh with one node, its orchestrator, and a channel to it."""
    async with Mesh() as mesh:
        await mesh.node("a", slots=2)
        async with (
            orchestrator(mesh, **settings) as whole,
            grpc.aio.insecure_channel(whole.endpoint) as channel,
        ):
            yield mesh, whole, channel


def stub_of(channel: Any) -> Any:
    make: Any = mesh_pb2_grpc.MeshStub
    return make(channel)


def trailers(error: Any) -> dict[str, str]:
    return dict(tuple(item) for item in error.trailing_metadata() or ())


async def refused(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    return caught.value


async def test_an_answer_is_a_decision_then_tokens_then_done() -> None:
    async with served() as (_, _, channel):
        events = [event async for event in stub_of(channel).Generate(ask(request_id="ab" * 16))]
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[:2] == ["decision", "assigned"]
    assert set(kinds[2:-1]) == {"tokens"}
    assert kinds[-1] == "done"
    assert events[0].decision.request_id == "ab" * 16
    assert events[0].decision.stage == "requested"
    tokens = [event.tokens for event in events if event.WhichOneof("event") == "tokens"]
    assert "".join(text for t in tokens for text in t.texts) == words(10)
    done = events[-1].done
    assert (done.completion_tokens, done.finish_reason, done.attempts) == (10, "stop", 1)
    assert done.ttft_ms > 0


@pytest.mark.parametrize(
    ("wire", "status", "code", "names"),
    [
        (pb.GenerateRequest(), "INVALID_ARGUMENT", "invalid_request", "no messages"),
        (ask(" "), "INVALID_ARGUMENT", "invalid_request", "empty"),
        (ask("x" * 210_000), "INVALID_ARGUMENT", "invalid_request", "limit is 200,000"),
        (ask(sampling=pb.Sampling(max_tokens=-1)), "INVALID_ARGUMENT", "invalid_request", "-1"),
        (
            pb.GenerateRequest(messages=[IN_PARTS, IN_PARTS, BAD_IMAGE]),
            "INVALID_ARGUMENT",
            "invalid_request",
            "messages[2].parts[1]: images of type 'image/tiff' are not taken",
        ),
        (
            pb.GenerateRequest(messages=[pb.Message(role="tool", content="4")]),
            "INVALID_ARGUMENT",
            "invalid_request",
            "messages[0].parts[0] is text",
        ),
        (ask(priority="asap"), "INVALID_ARGUMENT", "invalid_request", "priority"),
        (ask(specialty="poetry"), "NOT_FOUND", "unknown_specialty", "known specialties: math"),
        (ask(specialty="", model="gpt"), "NOT_FOUND", "unknown_model", "known models: toy"),
    ],
)
async def test_errors_carry_a_status_a_code_and_a_clear_line(
    wire: Any, status: str, code: str, names: str
) -> None:
    async with served(max_request_bytes=200_000) as (_, _, channel):
        error = await refused(stub_of(channel).Generate(wire))
    assert error.code().name == status
    assert trailers(error)[ERROR_CODE] == code
    assert len(trailers(error)[REQUEST_ID]) == 32
    assert names in error.details()


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff", b"\x0a\x05\x0a\x03\xc3\x28\x41", b"\x0a\xff\x01\x00"],
    ids=["garbage", "invalid UTF-8", "cut off"],
)
@pytest.mark.parametrize("method", ["Generate", "Route", "RouteBatch"])
async def test_bytes_that_are_no_message_are_the_clients_mistake(data: bytes, method: str) -> None:
    async with served() as (_, _, channel):
        make = channel.unary_unary if method == "Route" else channel.unary_stream
        call = make(f"/{SERVICE}/{method}")(data)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (call if method == "Route" else call.read())
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert trailers(error)[ERROR_CODE] == "invalid_request"
        # The connection and the orchestrator go on.
        events = [event async for event in stub_of(channel).Generate(ask())]
        assert events[-1].WhichOneof("event") == "done"


async def test_a_client_that_goes_away_frees_its_slot() -> None:
    async with served() as (mesh, whole, channel):
        node = mesh.nodes["a"]
        freed = asyncio.Event()
        node.scripts = [hang(2, freed)]
        call = stub_of(channel).Generate(ask())
        seen = [await call.read() for _ in range(3)]
        assert seen[-1].WhichOneof("event") == "tokens"
        await channel.close()
        async with asyncio.timeout(1.0):
            await freed.wait()
        await until(lambda: whole.fleet.free_slots(node.id, node.model) == 2)


async def test_a_client_that_does_not_read_stops_its_node_and_nobody_else() -> None:
    async with served() as (mesh, _, channel):
        node = mesh.nodes["a"]
        freed = asyncio.Event()
        node.scripts = [endless(freed)]
        call = stub_of(channel).Generate(ask(timeout_s=1.0))
        await call.read()
        await until(lambda: bool(node.sent))
        before = -1
        while before != node.sent[0]:
            before = node.sent[0]
            await asyncio.sleep(0.1)
        events = [event async for event in stub_of(channel).Generate(ask())]
        assert events[-1].WhichOneof("event") == "done"
        assert not freed.is_set()
        await until(freed.is_set, "the deadline frees the slot although nobody reads")


async def test_an_answer_that_does_not_come_is_cut_off_at_its_deadline() -> None:
    async with served() as (mesh, whole, channel):
        freed = asyncio.Event()
        mesh.nodes["a"].scripts = [hang(0, freed)]
        error = await refused(stub_of(channel).Generate(ask(timeout_s=0.3)))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert trailers(error)[ERROR_CODE] == "deadline_exceeded"
        await until(freed.is_set)
        assert whole.fleet.view.nodes[mesh.nodes["a"].id].in_flight == 0


async def test_a_grpc_deadline_counts_as_the_requests_own() -> None:
    async with served() as (mesh, _, channel):
        freed = asyncio.Event()
        mesh.nodes["a"].scripts = [hang(0, freed)]
        error = await refused(stub_of(channel).Generate(ask(), timeout=0.3))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(freed.is_set)


async def test_a_failure_after_tokens_is_typed_and_says_how_many() -> None:
    async with served(max_attempts=1) as (mesh, _, channel):
        mesh.nodes["a"].scripts = [fail(4)]
        error = await refused(stub_of(channel).Generate(ask()))
    assert error.code() is grpc.StatusCode.ABORTED
    assert trailers(error)[ERROR_CODE] == "engine_failed"
    assert "4 tokens were delivered" in error.details()


async def test_a_dry_run_explains_itself() -> None:
    async with served() as (_, _, channel):
        messages = [pb.Message(role="user", content=MATH)]
        answer = await stub_of(channel).Route(pb.RouteRequest(messages=messages, specialty="math"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub_of(channel).Route(pb.RouteRequest())
    assert answer.decision.specialty == "math"
    assert [(c.node_name, c.eligible) for c in answer.candidates] == [("a", True)]
    assert "slots free" in answer.candidates[0].reason
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_cascade_decides_what_is_not_asked_for_by_name() -> None:
    async with served() as (_, _, channel):
        call = stub_of(channel).Generate(ask("What is 17 + 25?", specialty=""))
        first = await call.read()
    assert first.decision.specialty == "math"
    assert first.decision.stage == "rules"
    assert first.decision.rules_version


async def test_the_fleet_lists_nodes_and_orchestrators() -> None:
    async with served() as (_, whole, channel):
        await until(lambda: bool(whole.fleet.view.orchestrators))
        fleet = fleet_from_wire(await stub_of(channel).Fleet(pb.FleetRequest()))
    assert fleet.registry_connected
    assert [(n.record.name, n.record.state, n.link_up) for n in fleet.nodes] == [
        ("a", "ready", True)
    ]
    assert [o.endpoint for o in fleet.orchestrators] == [whole.endpoint]
    assert fleet.orchestrators[0].rules_version


async def test_health_and_reflection_are_standard() -> None:
    async with served() as (_, _, channel):
        health: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
        for service in ("", SERVICE):
            reply = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[no-untyped-call]
        call = reflection.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        )
        listed = await call.read()
    assert SERVICE in {s.name for s in listed.list_services_response.service}


async def test_stopping_lets_open_streams_finish_and_takes_no_new_ones() -> None:
    gate = asyncio.Event()
    async with Mesh() as mesh:
        node = await mesh.node("a")
        node.scripts = [hold(gate)]
        async with (
            orchestrator(mesh) as whole,
            grpc.aio.insecure_channel(whole.endpoint) as channel,
        ):
            call = stub_of(channel).Generate(ask())
            await until(lambda: node.used == 1)
            whole.stop()
            await until(lambda: not mesh.store.snapshot("orchestrators/"), "the record is gone")
            await _turned_away(whole.endpoint)
            gate.set()
            events = [event async for event in call]
        assert events[-1].WhichOneof("event") == "done"


async def _turned_away(endpoint: str) -> None:
    """Returns once a new call is refused: the record goes a moment before the listener does."""
    async with asyncio.timeout(20):
        while True:
            async with grpc.aio.insecure_channel(endpoint) as late:
                try:
                    async for _ in stub_of(late).Generate(ask()):
                        pass
                except grpc.aio.AioRpcError as error:
                    code = error.code()
                    break
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_a_second_stop_does_not_wait_for_open_streams() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a")
        freed = asyncio.Event()
        node.scripts = [hang(1, freed)]
        async with (
            orchestrator(mesh) as whole,
            grpc.aio.insecure_channel(whole.endpoint) as channel,
        ):
            call = stub_of(channel).Generate(ask())
            await until(lambda: node.used == 1)
            whole.stop()
            whole.stop()
            await refused(call)
            await until(freed.is_set)


async def test_a_taken_port_is_named() -> None:
    async with served() as (_, whole, _):
        second = GrpcGateway(whole.api, bind=whole.endpoint, max_request_bytes=1000)
        with pytest.raises(PortInUse, match=f"{whole.endpoint} is in use"):
            second.bind()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        third = GrpcGateway(whole.api, bind=address, max_request_bytes=1000)
        with pytest.raises(PortInUse, match=address):
            third.bind()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:http", "203.0.113.7:0"])
async def test_an_address_that_cannot_be_listened_at_is_named(address: str) -> None:
    gateway = GrpcGateway(None, bind=address, max_request_bytes=1000)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=address):
        gateway.bind()


def test_every_error_has_a_status_and_safe_words() -> None:
    full = Overloaded("full", retry_after_s=1.5, request_id="ab" * 16)
    assert status_of(full) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(trailers_of(full)) == {
        "mesh-error-code": "overloaded",
        "mesh-request-id": "ab" * 16,
        "mesh-retry-after-s": "1.500",
    }
    lost = NodeLost("a\nb\ud800\x00" + "é" * 2000, node_id="né")
    assert status_of(lost) is grpc.StatusCode.ABORTED
    assert details_of(lost).startswith("a b� é")
    assert len(details_of(lost)) == MAX_DETAIL_CHARS
    assert dict(trailers_of(lost)) == {"mesh-error-code": "node_lost"}
    assert status_of(RuleError("x")) is grpc.StatusCode.FAILED_PRECONDITION
