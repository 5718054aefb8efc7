"""What the settings of every process have: who it is, where the registry is, how it listens."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.settings.addresses import DEFAULT_ETCD, check_bind
from mesh.settings.timing import PRESETS, Timing, check_preset


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """``bind``: where it listens. ``advertise``: host name or address that others shall dial, None
    for the bind host. ``insecure``: it may listen beyond loopback without authentication."""

    name: str
    bind: str
    state_dir: str = ""
    etcd: str = DEFAULT_ETCD
    prefix: str = "/mesh/v1"
    advertise: str | None = None
    insecure: bool = False
    preset: str = "local"
    otlp_endpoint: str | None = None
    log_level: str = "info"

    @property
    def timing(self) -> Timing:
        return PRESETS[self.preset]

    def check(self, where: str) -> None:
        """What types cannot say. Raises ``ConfigError``."""
        check_preset(self.preset, where)
        check_bind(self.bind, insecure=self.insecure, where=where)
