"""The one maker of gRPC channels: to orchestrators, nodes and etcd, from whatever process.

Where a mesh is, nobody else's settings say: a web proxy that the environment names is for the web,
and no box of a mesh is behind it. Source: the gRPC core's channel arguments, ``grpc_types.h``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc

MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # a fleet listing of thousands of nodes, with room


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """How soon a peer is noticed that is gone without a word: its box lost power, or its cable.
    ``unbidden``: pings go on however long no data was sent between them."""

    every_ms: int = 10_000
    timeout_ms: int = 5_000
    unbidden: bool = False


def channel_options(
    *, receive_bytes: int = MAX_MESSAGE_BYTES, keepalive: Keepalive | None = None
) -> list[tuple[str, int]]:
    """For a channel that somebody else's library makes. ``receive_bytes``: of one message."""
    pings = keepalive or Keepalive()
    return [
        ("grpc.enable_http_proxy", 0),
        # Names of a mesh have no service configuration in DNS, and asking costs a look-up.
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.max_receive_message_length", receive_bytes),
        ("grpc.max_send_message_length", -1),  # what may be sent is the receiver's to say
        ("grpc.keepalive_time_ms", pings.every_ms),
        ("grpc.keepalive_timeout_ms", pings.timeout_ms),
        # Without it, the timeout above is 60 s in any case.
        ("grpc.http2.ping_timeout_ms", pings.timeout_ms),
        *([("grpc.http2.max_pings_without_data", 0)] if pings.unbidden else []),
        # What may be tried again, and where, is decided here and not by the library.
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # A connection and its back-off are one channel's own: a peer that comes back on the same
        # address is asked at once, and not when another channel's pause is over.
        ("grpc.use_local_subchannel_pool", 1),
    ]


def open_channel(
    endpoint: str,
    *,
    receive_bytes: int = MAX_MESSAGE_BYTES,
    keepalive: Keepalive | None = None,
) -> Any:
    """A channel to ``host:port``; it connects when it is used."""
    options = channel_options(receive_bytes=receive_bytes, keepalive=keepalive)
    return grpc.aio.insecure_channel(endpoint, options=options)
