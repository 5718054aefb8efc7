"""What every gRPC server of the mesh does alike: claims its port, reads requests, words errors."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from mesh.doors.calls import Calls
from mesh.doors.crowd import GREETING_S
from mesh.errors import (
    ConfigError,
    InternalError,
    InvalidRequest,
    MeshError,
    PortInUse,
    without_frames,
)
from mesh.protobuf.errors import details_of, status_of, trailers_of
from mesh.protobuf.metadata import TRACEPARENT, said
from mesh.types import RequestId

log = logging.getLogger(__name__)

IDLE_S = 300.0  # without a call: the connection is closed, and a client that comes back opens one

T = TypeVar("T")


class Malformed:
    """Stands for a request whose bytes are no valid message of its type."""


def open_server(
    bind: str,
    handlers: Sequence[grpc.GenericRpcHandler],
    *,
    limit_bytes: int,
    max_streams: int,
    ping_every_s: float = 5.0,
) -> tuple[grpc.aio.Server, str]:
    """A server that has claimed ``bind`` (``host:port``, port 0: a free one) and its address; call
    it inside the loop. ``limit_bytes``: of a request. ``max_streams``: calls at once, and half of
    them of one address (``Calls``). ``ping_every_s``: how often clients may ping. Raises
    ``PortInUse`` or ``ConfigError`` naming the address."""
    _check_free(bind)
    server = grpc.aio.server(
        options=[
            # A second process on the port must fail, not take every other connection.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", limit_bytes),
            # A client whose box lost power frees its slots after 15 s; one that closes, at once.
            ("grpc.keepalive_time_ms", 10_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            # Without it, gRPC 1.85 waits 60 s for an answer to a ping, whatever stands above.
            ("grpc.http2.ping_timeout_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", int(ping_every_s * 1000)),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.server_handshake_timeout_ms", int(GREETING_S * 1000)),
            ("grpc.max_connection_idle_ms", int(IDLE_S * 1000)),
            # Calls that come at once: else gRPC itself drops some of a thousand, whosever they are.
            ("grpc.server.max_pending_requests", 2 * max_streams),
            ("grpc.server.max_pending_requests_hard_limit", 4 * max_streams),
        ],
        interceptors=(Calls(max_streams, _refuse),),
    )
    server.add_generic_rpc_handlers(tuple(handlers))
    try:
        port = server.add_insecure_port(bind)
    except RuntimeError:
        raise _in_use(bind) from None
    return server, f"{bind.rpartition(':')[0]}:{port}"


async def guarded(
    context: Any, request_id: RequestId, what: str, answer: Callable[[], Awaitable[T]]
) -> T:
    """The border: every error leaves as a status with its code in the trailers. ``what``: whose
    defect it is when it is one ("the node"). A client that has left is nobody's defect."""
    left = False
    try:
        return await answer()
    except MeshError as error:
        told = _told(error, request_id)
    except Exception as error:
        # A write that gRPC could not do says so before the context knows that the call is over.
        left = _gone(context) or isinstance(error, grpc.aio.InternalError)
        if left:
            log.debug("request %s: its client has left: %s", request_id, type(error).__name__)
        else:
            log.exception("request %s met a defect", request_id)
        without_frames(error)
        defect = InternalError(f"a defect of {what}: {type(error).__name__}; see its log")
        told = _told(defect, request_id)
    # Only words from here on: an error that a frame keeps keeps that frame by its traceback, and
    # with both the whole request, until somebody collects circles.
    if left or _gone(context):
        raise asyncio.CancelledError
    await context.abort(*told)
    raise InternalError("gRPC went on after an abort")  # it raises; this is for the type checker


async def _refuse(context: Any, error: MeshError) -> None:
    if not _gone(context):
        await context.abort(*_told(error, RequestId("")))


def _told(error: MeshError, request_id: RequestId) -> tuple[grpc.StatusCode, str, Any]:
    error.request_id = error.request_id or request_id
    without_frames(error)
    return status_of(error), details_of(error), trailers_of(error)


def _gone(context: Any) -> bool:
    """Whether nobody hears an answer any more."""
    return bool(context.cancelled() or context.done())


def tolerant(kind: type[Message]) -> Callable[[bytes], Any]:
    """A deserialiser that does not raise: gRPC would answer INTERNAL to what is the client's own
    mistake, and invalid UTF-8 in a string is one."""

    def parse(data: bytes) -> Any:
        try:
            return kind.FromString(data)
        except DecodeError:
            return Malformed()

    return parse


def whole(wire: Any) -> Any:
    """Raises ``InvalidRequest`` for what ``tolerant`` could not read."""
    if isinstance(wire, Malformed):
        raise InvalidRequest("the request is not a valid message: broken protobuf or invalid UTF-8")
    return wire


def traceparent_of(context: Any) -> str:
    """The caller's W3C trace context, "" for none."""
    return said(context, TRACEPARENT) or ""


def _check_free(address: str) -> None:
    """Raises ``ConfigError`` or ``PortInUse``: when gRPC cannot bind, it does not say why, but
    writes lines of its own to stderr."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ConfigError(f"bind '{address}' is not HOST:PORT, for example 127.0.0.1:0")
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
    return PortInUse(f"{address} is in use by another process; stop it, or choose another address")
