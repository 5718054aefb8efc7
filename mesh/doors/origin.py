"""Whose a connection or a call is, as far as limits go. Pure.

By network address now; where a caller has proved who it is, its principal will stand here instead,
and nothing that counts by origin changes.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote

Origin = str


def of_address(host: str) -> Origin:
    """One IPv4 address is one origin, and so is one IPv6 network of 64 bits: a single box has that
    many addresses to choose from."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if not address.is_loopback:
            return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def of_grpc(peer: str) -> Origin:
    """From what gRPC calls a peer: ``ipv4:HOST:PORT``, ``ipv6:[HOST]:PORT``, or ``unix:…``."""
    family, _, rest = unquote(peer).partition(":")
    if family not in ("ipv4", "ipv6"):
        return family
    return of_address(rest.rpartition(":")[0].strip("[]"))
