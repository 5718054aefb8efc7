"""Requests that are too large: one line with both sizes, and nobody else is harmed."""

from __future__ import annotations

import grpc
import pytest

import mesh as squadron
from mesh import Route
from mesh.channel import MAX_MESSAGE_BYTES
from mesh.client import wire
from mesh.errors import InvalidRequest, ProtocolError
from mesh.v1 import mesh_pb2 as pb
from mesh.v1 import mesh_pb2_grpc
from tests.mesh.fakes import Mesh, orchestrator

MIB = 1024 * 1024
# The orchestrator's limit is 4 MiB, and gRPC's own refusal comes a MiB later.
WORDED, REFUSED_BY_GRPC, REFUSED_HERE = 4 * MIB + 1, 6 * MIB, MAX_MESSAGE_BYTES + 1


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (WORDED, r"the prompt is 4,194,305 bytes; the limit is 4,194,304 bytes"),
        (
            REFUSED_BY_GRPC,
            r"the request is 6,29\d,\d{3} bytes and 127\S+ takes at most 5,242,880; ",
        ),
        (REFUSED_HERE, r"the prompt is 67,108,865 bytes; the limit is 67,108,864 bytes"),
    ],
)
async def test_one_line_says_how_large_the_request_is_and_what_the_limit_is(
    size: int, said: str
) -> None:
    prompt = "x" * size
    async with Mesh() as mesh:
        await mesh.node("a")
        async with orchestrator(mesh) as whole, squadron.connect(whole.endpoint) as client:
            with pytest.raises(InvalidRequest, match=said) as raised:
                await client.generate(prompt).text()
            assert "\n" not in raised.value.message
            with pytest.raises(InvalidRequest, match=said):
                await client.route(prompt)
            many = [each async for each in client.route_many(["hi", prompt, "ho"])]
            assert isinstance(many[1], InvalidRequest)
            assert isinstance(many[0], Route)
            assert isinstance(many[2], Route)
            # The connection and the orchestrator serve the next one as ever.
            assert await client.generate("what is 1 + 1?").text()


async def test_another_client_gets_grpcs_status_for_it() -> None:
    prompt = pb.Message(role="user", content="x" * REFUSED_BY_GRPC)
    async with (
        Mesh() as mesh,
        orchestrator(mesh) as whole,
        grpc.aio.insecure_channel(whole.endpoint) as channel,
    ):
        stub = mesh_pb2_grpc.MeshStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Route(pb.RouteRequest(messages=[prompt]), timeout=10)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in (raised.value.details() or "")


async def test_an_answer_that_is_too_large_is_not_taken_for_the_request() -> None:
    async with Mesh() as mesh, orchestrator(mesh) as whole:
        await mesh.node("a")
        options = [("grpc.max_receive_message_length", 4)]
        async with grpc.aio.insecure_channel(whole.endpoint, options=options) as channel:
            stub = mesh_pb2_grpc.MeshStub(channel)  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.Fleet(pb.FleetRequest(), timeout=10)
    error = wire.translated(raised.value, whole.endpoint)
    assert isinstance(error, ProtocolError)
    assert "this client takes at most 4" in error.message
