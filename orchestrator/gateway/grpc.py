"""The client plane over gRPC: ``proto/mesh/v1`` with standard health and reflection."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from mesh import protobuf, protobuf_fleet
from mesh.clock import Clock
from mesh.config import DEFAULT_ENDPOINT
from mesh.errors import (
    ConfigError,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    MeshError,
    PortInUse,
)
from mesh.types import RequestId
from mesh.v1 import mesh_pb2 as pb
from orchestrator.answers import Answers
from orchestrator.gateway.status import details_of, status_of, trailers_of

log = logging.getLogger(__name__)

T = TypeVar("T")

SERVICE = pb.DESCRIPTOR.services_by_name["Mesh"].full_name
MAX_STREAMS = 4096  # RPCs at once; more are refused by gRPC itself with RESOURCE_EXHAUSTED
# Room for protobuf's own bytes and for a clear refusal of what is somewhat too large.
SIZE_SLACK_BYTES = 1024 * 1024
# Beyond the request's own deadline, which dispatch words better: for a client that does not read.
WRITE_SLACK_S = 1.0


class _Malformed:
    """Stands for a request whose bytes are no valid message of its type."""


class GrpcGateway:
    """``bind``: ``host:port``, port 0 picks a free one. ``max_request_bytes``: of a request's
    messages; larger ones are refused with a clear line, and much larger ones by gRPC."""

    def __init__(
        self, answers: Answers, clock: Clock, *, bind: str, max_request_bytes: int
    ) -> None:
        self._answers = answers
        self._clock = clock
        self._bind = bind
        self._limit = max_request_bytes + SIZE_SLACK_BYTES
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None

    def bind(self) -> str:
        """Claims the address and returns it as ``host:port``; call it inside the loop. Raises
        ``PortInUse`` or ``ConfigError`` naming it."""
        _check_free(self._bind)
        server = grpc.aio.server(options=_options(self._limit), maximum_concurrent_rpcs=MAX_STREAMS)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, self._handlers()),)
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server
        )
        try:
            port = server.add_insecure_port(self._bind)
        except RuntimeError:
            raise _in_use(self._bind) from None
        self._server = server
        return f"{self._bind.rpartition(':')[0]}:{port}"

    async def run(self) -> None:
        """Serves until cancelled or stopped."""
        if self._server is None:
            raise InternalError("the gateway runs before it is bound")
        try:
            await self._server.start()
            await self._announce(health_pb2.HealthCheckResponse.SERVING)
            await self._server.wait_for_termination()
        finally:
            await asyncio.shield(self._server.stop(None))

    async def stop(self, drain_s: float | None) -> None:
        """Takes nothing new, lets open streams finish for ``drain_s`` seconds (None: not at all),
        and ends the rest. A call with None ends the wait of an earlier one."""
        if self._server is None:
            return
        await self._announce(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.stop(drain_s)

    async def _announce(self, status: int) -> None:
        for service in ("", SERVICE):
            await self._health.set(service, status)

    def _handlers(self) -> dict[str, Any]:
        return {
            "Generate": grpc.unary_stream_rpc_method_handler(
                self._generate,
                request_deserializer=_tolerant(pb.GenerateRequest),
                response_serializer=pb.GenerateEvent.SerializeToString,
            ),
            "Route": grpc.unary_unary_rpc_method_handler(
                self._route,
                request_deserializer=_tolerant(pb.RouteRequest),
                response_serializer=pb.RouteResponse.SerializeToString,
            ),
            "Fleet": grpc.unary_unary_rpc_method_handler(
                self._fleet,
                request_deserializer=_tolerant(pb.FleetRequest),
                response_serializer=pb.FleetResponse.SerializeToString,
            ),
        }

    async def _generate(self, wire: Any, context: Any) -> None:
        request_id = _fresh_id()
        await _guarded(context, request_id, lambda: self._stream(wire, context, request_id))

    async def _stream(self, wire: Any, context: Any, fresh_id: RequestId) -> None:
        request = protobuf.request_from_wire(_whole(wire), fresh_id=fresh_id)
        request = self._answers.budget(request, context.time_remaining())
        events = self._answers.generate(request, traceparent=_traceparent(context))
        timeout_s = max(0.0, request.timeout_s or 0.0) + WRITE_SLACK_S
        try:
            # When the client is gone, gRPC cancels this task; closing the events then frees the
            # node's slot. Each write waits for the wire, and with it credit.
            async with asyncio.timeout(timeout_s), aclosing(events):
                async for event in events:
                    await context.write(protobuf.event_to_wire(event))
        except TimeoutError:
            raise DeadlineExceeded(
                f"the client did not read its answer within {timeout_s:.1f} s",
                request_id=request.id,
            ) from None

    async def _route(self, wire: Any, context: Any) -> pb.RouteResponse:
        request_id = _fresh_id()

        async def answer() -> pb.RouteResponse:
            request = protobuf.route_request_from_wire(_whole(wire), fresh_id=request_id)
            return protobuf.route_to_wire(self._answers.route(request), request_id)

        return await _guarded(context, request_id, answer)

    async def _fleet(self, wire: Any, context: Any) -> pb.FleetResponse:
        async def answer() -> pb.FleetResponse:
            _whole(wire)
            return protobuf_fleet.fleet_to_wire(
                self._answers.view,
                registry_connected=self._answers.registry_connected,
                now=self._clock.now(),
                wall=self._clock.wall(),
            )

        return await _guarded(context, _fresh_id(), answer)


async def _guarded(context: Any, request_id: RequestId, answer: Callable[[], Awaitable[T]]) -> T:
    """The border: every error leaves as a status with its code in the trailers."""
    try:
        return await answer()
    except MeshError as error:
        failure = error
    except Exception as error:
        log.exception("request %s met a defect", request_id)
        failure = InternalError(
            f"a defect of the orchestrator: {type(error).__name__}; see its log"
        )
    failure.request_id = failure.request_id or request_id
    await context.abort(status_of(failure), details_of(failure), trailers_of(failure))
    raise failure  # abort has raised already; this is for the type checker


def _tolerant(kind: type[Message]) -> Callable[[bytes], Any]:
    """A deserialiser that does not raise: gRPC would answer INTERNAL to what is the client's own
    mistake, and invalid UTF-8 in a string is one."""

    def parse(data: bytes) -> Any:
        try:
            return kind.FromString(data)
        except DecodeError:
            return _Malformed()

    return parse


def _whole(wire: Any) -> Any:
    if isinstance(wire, _Malformed):
        raise InvalidRequest("the request is not a valid message: broken protobuf or invalid UTF-8")
    return wire


def _traceparent(context: Any) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == protobuf.TRACEPARENT:
            return str(value)
    return ""


def _fresh_id() -> RequestId:
    return RequestId(uuid.uuid4().hex)


def _options(limit: int) -> list[tuple[str, int]]:
    return [
        # A second orchestrator on the port must fail, not take every other connection.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", limit),
        # A client whose box lost power frees its slots after 15 s; one that closes does at once.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Clients may ping as often, also between calls.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 0),
    ]


def _check_free(address: str) -> None:
    """Raises ``ConfigError`` or ``PortInUse``. gRPC would take a missing port for one of its own
    choice; and when it cannot bind, it does not say why, but writes lines of its own to stderr."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ConfigError(f"bind '{address}' is not HOST:PORT, for example {DEFAULT_ENDPOINT}")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As gRPC does: a port in TIME_WAIT is free, one with a listener is not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _in_use(address) from None
        raise ConfigError(f"cannot listen on {address}: {error.strerror or error}") from None


def _in_use(address: str) -> PortInUse:
    return PortInUse(f"{address} is in use by another process; stop it, or choose another --bind")
