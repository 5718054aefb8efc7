"""An orchestrator's settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mesh.errors import ConfigError
from mesh.settings.addresses import DEFAULT_ENDPOINT
from mesh.settings.process import ProcessSettings
from mesh.settings.router import RouterSettings
from mesh.settings.specialty import SpecialtySettings, check_specialties
from mesh.types import SPECIALTY_PATTERN
from mesh.validation import MAX_TIMEOUT_S

MAX_HELD_BYTES = 320 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorSettings(ProcessSettings):
    """``bind``: gRPC address ``host:port``. ``queue_limit``: requests waiting for a slot, per
    priority; ``request_limit``: requests inside the process at all, likewise, and more are refused
    before the router looks at them. ``max_request_bytes``: of one request's messages;
    ``max_held_bytes``: of what all requests in the process hold together, each with six to ten
    times its size on the wire; beyond it they wait half a minute and are then refused.
    ``default_timeout_s``: budget of a request that names none.
    ``hedge_after_ms``: a second attempt on another node when the first token is not there after so
    long; 0: the 95th percentile of the model's own times; None: never. ``hedge_share``: such extra
    attempts per request, at most. ``ticket_lifetime_s``, ``ticket_streams``: how long a ticket to
    stream straight from a node holds, in seconds, and how many streams at once it allows;
    ``ticket_max_tokens``: per answer. ``router``: see there; ``specialties``: how each
    answers whom that says nothing else to. ``gateways``: where clients come in;
    the first one's address is what the record names. ``gateway``: a table for each that has
    settings of its own."""

    bind: str = DEFAULT_ENDPOINT
    rules: str | None = None
    fallback: str = "chat"
    queue_limit: int = 256
    request_limit: int = 2048
    max_request_bytes: int = 4 * 1024 * 1024
    max_held_bytes: int = MAX_HELD_BYTES
    default_timeout_s: float = 120.0
    max_attempts: int = 3
    hedge_after_ms: float | None = None
    hedge_share: float = 0.05
    ticket_lifetime_s: float = 60.0
    ticket_streams: int = 4
    ticket_max_tokens: int = 32_768
    router: RouterSettings = field(default_factory=RouterSettings)
    specialties: dict[str, SpecialtySettings] = field(default_factory=dict)
    gateways: tuple[str, ...] = ("grpc",)
    gateway: dict[str, dict[str, Any]] = field(default_factory=dict)

    def check(self, where: str) -> None:
        """What types cannot say. Raises ``ConfigError``."""
        ProcessSettings.check(self, where)
        if not SPECIALTY_PATTERN.fullmatch(self.fallback):
            raise ConfigError(f"{where}: fallback '{self.fallback}' is not a specialty name")
        self.router.check(where)
        check_specialties(self.specialties, where)
        if not 1 <= self.request_limit <= 1_000_000:
            raise ConfigError(
                f"{where}: request_limit must be 1 to 1000000 requests, not {self.request_limit}"
            )
        if self.max_held_bytes < 4 * 1024 * 1024:
            raise ConfigError(
                f"{where}: max_held_bytes must be at least {4 * 1024 * 1024}, "
                f"not {self.max_held_bytes}"
            )
        if not 0.0 < self.default_timeout_s <= MAX_TIMEOUT_S:
            raise ConfigError(
                f"{where}: default_timeout_s must be more than 0 and at most {MAX_TIMEOUT_S} "
                f"seconds, not {self.default_timeout_s}"
            )
        if not self.gateways or len(set(self.gateways)) < len(self.gateways):
            raise ConfigError(f"{where}: gateways must name at least one gateway, and each once")
        if self.hedge_after_ms is not None and not 0.0 <= self.hedge_after_ms <= 600_000.0:
            raise ConfigError(
                f"{where}: hedge_after_ms must be 0 (the 95th percentile) to 600000 milliseconds, "
                f"not {self.hedge_after_ms}"
            )
        if not 0.0 <= self.hedge_share <= 1.0:
            raise ConfigError(f"{where}: hedge_share must be 0 to 1, not {self.hedge_share}")
        if not 1.0 <= self.ticket_lifetime_s <= 600.0:
            raise ConfigError(
                f"{where}: ticket_lifetime_s must be 1 to 600 seconds, not {self.ticket_lifetime_s}"
            )
        if not 1 <= self.ticket_streams <= 64:
            raise ConfigError(f"{where}: ticket_streams must be 1 to 64, not {self.ticket_streams}")
        if self.ticket_max_tokens < 1:
            raise ConfigError(f"{where}: ticket_max_tokens must be at least 1")
