"""Addresses of the data plane: where to listen, what to dial, and what to tell others to dial."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket as net

from mesh.errors import ConfigError, Unreachable

_ENDPOINT = re.compile(
    r"(?:tcp|grpc)://(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})"
)


def split(endpoint: str) -> tuple[str, int]:
    """Host without brackets, and port. Raises ``ConfigError``."""
    match = _ENDPOINT.fullmatch(endpoint)
    if match is None or int(match["port"]) > 65_535:
        raise ConfigError(f"'{endpoint}' is no data-plane address; write tcp://host:port")
    return match["host"].strip("[]"), int(match["port"])


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def resolve(endpoint: str, timeout_s: float) -> tuple[str, int]:
    """The endpoint's numeric address and port, looked up here, in a thread: a transport would do it
    where a slow name server holds up every link. Raises ``Unreachable``."""
    try:
        host, port = split(endpoint)
    except ConfigError as error:
        raise Unreachable(error.message) from None
    if not _is_literal(host):
        try:
            async with asyncio.timeout(timeout_s):
                found = await asyncio.get_running_loop().getaddrinfo(
                    host, port, type=net.SOCK_STREAM
                )
        except (OSError, UnicodeError, TimeoutError) as error:
            raise Unreachable(f"the name '{host}' cannot be resolved: {error}") from None
        host = str(found[0][4][0])
    return host, port


def own_address(host: str) -> str:
    """The numeric address to listen at. Raises ``ConfigError``."""
    if _is_literal(host):
        return host
    try:
        found = net.getaddrinfo(host, None, type=net.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot listen at '{host}': the name is not known ({error})") from None
    return str(min(found, key=lambda info: info[0] != net.AF_INET)[4][0])


def advertised(scheme: str, host: str, address: str, port: int, advertise: str | None) -> str:
    """The endpoint that peers shall dial. ``host`` was asked for, ``address`` is listened at."""
    dialed = advertise or host
    if not advertise and ipaddress.ip_address(address).is_unspecified:
        dialed = _first_address(address)
    return f"{scheme}://{bracketed(dialed)}:{port}"


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _first_address(unspecified: str) -> str:
    """This machine's address on its default route, as peers can dial it when it listens on all;
    loopback when it has none. Connecting a datagram socket sends nothing."""
    family, elsewhere, loopback = (
        (net.AF_INET6, "2001:db8::1", "::1")
        if ":" in unspecified
        else (net.AF_INET, "192.0.2.1", "127.0.0.1")
    )
    with net.socket(family, net.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))
        except OSError:
            return loopback
        return str(probe.getsockname()[0])
