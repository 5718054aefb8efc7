"""What a gateway is to the orchestrator: an address where clients come in.

A gateway translates: a request becomes an ``Ask``, events become bytes, nothing else. Gateways are
found under the entry point group ``squadron.gateways``, each ``name = module:GATEWAY``, a
``GatewaySpec``; ``gateways`` of the settings lists which are opened, and ``[gateway.NAME]`` is what
that one's own settings type says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from mesh.errors import ConfigError
from mesh.plugins import loaded
from mesh.settings.load import NoSettings, Settings, load
from mesh.settings.orchestrator import OrchestratorSettings
from orchestrator.api import Api

GROUP = "squadron.gateways"


class Gateway(Protocol):
    def bind(self) -> str:
        """Claims the address and returns it as ``host:port``; called inside the loop, before
        ``run``. Raises ``PortInUse`` or ``ConfigError`` naming it."""
        ...

    async def run(self) -> None:
        """Serves until cancelled or stopped."""
        ...

    async def stop(self, drain_s: float | None) -> None:
        """Takes nothing new, lets what is open finish for ``drain_s`` seconds (None: not at all),
        and ends the rest. A call with None ends the wait of an earlier one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySpec:
    """``settings``: the type of its own table, a frozen dataclass; ``make`` is given one, read and
    checked."""

    make: Callable[[Api, OrchestratorSettings, Any], Gateway]
    settings: type[Settings] = NoSettings


def opened(api: Api, settings: OrchestratorSettings) -> dict[str, Gateway]:
    """The gateways that the settings name, in their order. Every table is checked, also of a
    gateway that is not opened. Raises ``ConfigError`` for one that is not installed, and for a
    table that is wrong or nobody's."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    for name in (*settings.gateways, *settings.gateway):
        if name not in found:
            listed = ", ".join(sorted(found))
            raise ConfigError(f"gateways: unknown gateway '{name}'; known: {listed}")
    specs = {name: _spec(found[name]) for name in (*settings.gateways, *settings.gateway)}
    own = {
        name: load(spec.settings, settings.gateway.get(name, {}), where=f"gateway.{name}")
        for name, spec in specs.items()
    }
    return {name: specs[name].make(api, settings, own[name]) for name in settings.gateways}


def _spec(point: EntryPoint) -> GatewaySpec:
    spec = loaded(point, "gateway")
    if not isinstance(spec, GatewaySpec):
        raise ConfigError(f"gateway '{point.name}' ({point.value}) is no GatewaySpec")
    return spec
