"""Ports on this box: free ones, and who holds a taken one."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Collection

import psutil

from mesh.errors import ConfigError, PortInUse


def split(address: str) -> tuple[str, int]:
    """``host:port`` (IPv6 in brackets) as a pair. Raises ``ConfigError``."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"'{address}' is not HOST:PORT")
    return host.strip("[]"), int(port)


def join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def can_bind(host: str, port: int) -> bool:
    """Whether a server could listen there now. Raises ``ConfigError`` for an address that is not
    this box's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a connection of an earlier run in TIME_WAIT must not look like a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except socket.gaierror as error:
            raise ConfigError(f"cannot resolve host '{host}': {error.strerror}") from None
        except PermissionError:
            raise ConfigError(
                f"port {port} needs privileges that this user lacks; choose one from 1024 on"
            ) from None
        except OSError as error:
            if error.errno is not None and error.errno != errno.EADDRINUSE:
                raise ConfigError(f"cannot listen on {host}: {error.strerror}") from None
            return False
    return True


def free_port(
    host: str = "127.0.0.1", *, near: int | None = None, but: Collection[int] = ()
) -> int:
    """The first free port above ``near`` that is none of ``but``, or any free one."""
    if near is not None:
        for port in range(near + 1, min(near + 100, 65536)):
            if port not in but and can_bind(host, port):
                return port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def require_free(address: str, *, what: str, remedy: str) -> None:
    """Raises ``PortInUse`` naming port, holder (where the system tells) and remedy."""
    host, port = split(address)
    if not can_bind(host, port):
        raise PortInUse(f"port {port} for {what} is taken{_holder(port)}; {remedy}")


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.AccessDenied, OSError):
        return ""
    for connection in connections:
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            with contextlib.suppress(psutil.Error):
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
