"""How patient a process is with its network: one preset a kind of network."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds. One preset a kind of network; see ``PRESETS`` for the reasons."""

    lease_ttl_s: float
    heartbeat_s: float
    peer_timeout_s: float
    connect_timeout_s: float


PRESETS: dict[str, Timing] = {
    # One box: nothing is lost but to a crash, so silence is short.
    "local": Timing(lease_ttl_s=4, heartbeat_s=0.25, peer_timeout_s=1.5, connect_timeout_s=2),
    # A home network with Wi-Fi: a beacon lost now and then must not cut a link.
    "lan": Timing(lease_ttl_s=5, heartbeat_s=0.5, peer_timeout_s=3, connect_timeout_s=3),
    # Over the internet or a VPN: round trips of 100 ms and stalls of seconds are normal.
    "wan": Timing(lease_ttl_s=10, heartbeat_s=1, peer_timeout_s=8, connect_timeout_s=8),
}


def check_preset(preset: str, where: str) -> None:
    """Raises ``ConfigError`` for one that is not in ``PRESETS``."""
    if preset not in PRESETS:
        raise ConfigError(f"{where}: preset '{preset}' is unknown; one of {', '.join(PRESETS)}")
