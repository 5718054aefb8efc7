"""What ``connect`` is told: endpoints and options, checked before anything is dialled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from mesh.client.contacts import MOST_CONTACTS
from mesh.client.options import FLAG, NUMBER, TEXTS, Kind, checked, checked_options, shown
from mesh.errors import ConfigError
from mesh.settings.addresses import DEFAULT_ENDPOINT
from mesh.validation import MAX_TIMEOUT_S

_ENDPOINT = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/,\[\]]+):([0-9]{1,5})")
_SCHEME = re.compile(r"([a-z]+)://", re.IGNORECASE)


class ConnectOptions(TypedDict, total=False):
    """``timeout_s``: budget of each request that names none, in seconds; None: the orchestrator's.
    ``connect_timeout_s``: seconds for each endpoint, 5 when it is not given. ``discover``: learn of
    the fleet's other orchestrators, to go on with one of them when this one is lost. ``direct``:
    stream straight from nodes, as the option of that name of a request says."""

    timeout_s: float | None
    connect_timeout_s: float
    discover: bool
    direct: bool


KINDS: dict[str, Kind] = {
    "timeout_s": NUMBER,
    "connect_timeout_s": NUMBER,
    "discover": FLAG,
    "direct": FLAG,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting:
    """As ``ConnectOptions``, all of them. ``endpoints``: at least one."""

    endpoints: tuple[str, ...]
    timeout_s: float | None = None
    connect_timeout_s: float = 5.0
    discover: bool = False
    direct: bool = False


def connecting(endpoint: str | Sequence[str], options: Mapping[str, Any]) -> Connecting:
    """Raises ``ConfigError`` that names what is wrong."""
    said = checked_options(options, KINDS, ("timeout_s",), ConfigError)
    for name in ("timeout_s", "connect_timeout_s"):
        seconds = said.get(name)
        if seconds is not None and not 0 < seconds <= MAX_TIMEOUT_S:
            raise ConfigError(
                f"{name} must be more than 0 and at most {MAX_TIMEOUT_S:,} seconds, not {seconds}"
            )
    given = checked("endpoint", endpoint, TEXTS, error=ConfigError)
    endpoints = (given,) if isinstance(given, str) else tuple(given)
    if not endpoints:
        raise ConfigError(f"connect needs at least one endpoint, for example {DEFAULT_ENDPOINT}")
    if len(endpoints) > MOST_CONTACTS:
        raise ConfigError(
            f"{len(endpoints):,} endpoints are too many; a client keeps at most {MOST_CONTACTS}"
        )
    for each in endpoints:
        _check_endpoint(each)
    return Connecting(endpoints=endpoints, **said)


def _check_endpoint(endpoint: str) -> None:
    if scheme := _SCHEME.match(endpoint):
        raise ConfigError(
            f"endpoint {shown(endpoint)!r} is HOST:PORT without '{shown(scheme[0])}', for example "
            f"{DEFAULT_ENDPOINT}"
        )
    found = _ENDPOINT.fullmatch(endpoint)
    if found is None or not endpoint.isprintable() or not 0 < int(found[1]) < 65536:
        raise ConfigError(
            f"endpoint {shown(endpoint)!r} is not HOST:PORT, for example {DEFAULT_ENDPOINT}"
        )
