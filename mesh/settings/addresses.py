"""Where processes listen unless told otherwise, and what may be reachable from other machines."""

from __future__ import annotations

import ipaddress

from mesh.errors import ConfigError

DEFAULT_ENDPOINT = "127.0.0.1:7700"  # orchestrator's gRPC
DEFAULT_ETCD = "127.0.0.1:7779"  # `mesh up`'s own etcd, off 2379 so that it never meets another


def check_bind(bind: str, *, insecure: bool, where: str) -> None:
    """``bind``: ``host:port`` or ``tcp://host:port``. Raises ``ConfigError``."""
    host = bind.rpartition("://")[2].rpartition(":")[0].strip("[]")
    if not insecure and not is_loopback(host):
        raise ConfigError(
            f"{where}: bind '{bind}' is reachable from other machines and this version "
            "has no authentication yet; bind to 127.0.0.1, or say --insecure on a network you trust"
        )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
