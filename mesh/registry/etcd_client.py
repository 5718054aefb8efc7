"""``aetcd`` at arm's length: endpoints, channel options, its errors in our words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import aetcd
from aetcd import rpc

from mesh.channel import Keepalive, channel_options
from mesh.errors import ConfigError, RegistryUnavailable

MAX_MESSAGE_BYTES = 32 * 1024 * 1024  # a snapshot of some thousand records in one answer
CLOSE_TIMEOUT_S = 1.0

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0  # between two tries to reach etcd

# etcd answers pings more frequent than 5 s by closing the connection (its
# --grpc-keepalive-min-time), so this is only the backstop for half-open connections; what notices
# silence first is the lease's refresh and the watch's own probe.
KEEPALIVE = Keepalive(timeout_ms=3_000, unbidden=True)

# What says that there was no answer; any other code is an answer.
_NO_ANSWER = frozenset(
    {
        rpc.StatusCode.UNAVAILABLE,
        rpc.StatusCode.DEADLINE_EXCEEDED,
        rpc.StatusCode.CANCELLED,
        rpc.StatusCode.UNKNOWN,
    }
)


class RegistryRejected(RegistryUnavailable):
    """The registry answered, and the answer was no: out of space, lease not found, no leader."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_endpoints(text: str) -> tuple[Endpoint, ...]:
    """``h1:p1,h2:p2``, each with an optional ``http://``. Raises ``ConfigError``."""
    found: list[Endpoint] = []
    for part in text.split(","):
        host, _, port = part.strip().removeprefix("http://").rstrip("/").rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536 or "/" in host:
            raise ConfigError(
                f"etcd: '{part.strip()}' is not an address; give host:port, or several with "
                "commas between them (this version speaks to etcd without TLS)"
            )
        found.append(Endpoint(host, int(port)))
    return tuple(found)


@contextmanager
def translated(endpoint: Endpoint) -> Iterator[None]:
    """Errors of ``aetcd`` and gRPC leave as ``RegistryUnavailable`` or ``RegistryRejected``."""
    try:
        yield
    except aetcd.ClientError as error:
        # aetcd maps a few codes to classes of its own and keeps the original as the cause
        raise _unavailable(endpoint, error.__cause__ or error) from error
    except rpc.RpcError as error:
        raise _unavailable(endpoint, error) from error
    except (TimeoutError, asyncio.InvalidStateError) as error:
        raise RegistryUnavailable(f"etcd at {endpoint} does not answer") from error


def _unavailable(endpoint: Endpoint, error: BaseException) -> RegistryUnavailable:
    if not isinstance(error, rpc.AioRpcError):
        return RegistryUnavailable(f"etcd at {endpoint}: {error}")
    details = error.details() or str(error.code())
    if error.code() is rpc.StatusCode.DEADLINE_EXCEEDED:
        return RegistryUnavailable(f"etcd at {endpoint} does not answer")
    if error.code() in _NO_ANSWER:
        # gRPC's sentence is long and names the address again; its end says what happened.
        reason = details.rpartition("to remote host: ")[2]
        return RegistryUnavailable(f"etcd at {endpoint}: {reason}")
    return RegistryRejected(f"etcd at {endpoint} says no: {details}")


@asynccontextmanager
async def connected(endpoint: Endpoint, timeout_s: float) -> AsyncIterator[aetcd.Client]:
    """A client whose calls each have ``timeout_s`` seconds. Nothing is sent until the first call.

    One client serves one connection attempt and is thrown away with it: ``aetcd`` keeps state that
    an error leaves behind broken.
    """
    client = aetcd.Client(
        endpoint.host,
        endpoint.port,
        timeout=timeout_s,
        options=dict(channel_options(receive_bytes=MAX_MESSAGE_BYTES, keepalive=KEEPALIVE)),
    )
    await client.connect()
    try:
        yield client
    finally:
        # Closing is local; if it hangs all the same, the channel goes with its last reference.
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await client.close()
