"""Settings: read once, frozen, checked. An error names the key and says what would be right.

``mesh node`` and ``mesh orchestrator`` build these from a TOML file and flags; the processes get
them as one JSON argument. Nothing else reads the environment for settings.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from mesh.errors import ConfigError
from mesh.fleet.records import TRANSPORTS
from mesh.settings.gpu import GpuLimits, check_gpu_limits
from mesh.settings.router import RouterSettings, check_router
from mesh.types import SPECIALTY_PATTERN

DEFAULT_ENDPOINT = "127.0.0.1:7700"  # orchestrator's gRPC
DEFAULT_ETCD = "127.0.0.1:7779"  # `mesh up`'s own etcd, off 2379 so that it never meets another


def state_dir() -> Path:
    """Where identity, logs and etcd's data live: ``$MESH_STATE_DIR``, else XDG's."""
    if explicit := os.environ.get("MESH_STATE_DIR"):
        return Path(explicit).expanduser().resolve()
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "squadron"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """``source``: a GGUF path, ``hf:OWNER/REPO/FILE``, or what the engine names as its model.
    ``context_length`` None: what the file says, capped at 8192. ``threads`` None: physical cores.
    ``gpu_layers``: -1 all there is, 0 none; a positive number asks for a GPU and fails without one.
    ``allow_cpu``: what is meant for a GPU may run on the CPU where it does not fit or none is
    usable. ``pinned``: never unloaded. ``ttl_s``: unloaded after so many seconds without use; None:
    only when others need the memory. ``memory_bytes``: what it takes on its device, for engines
    that cannot tell before they load; None: what the file says, else nothing is planned for it."""

    source: str
    specialties: tuple[str, ...]
    id: str | None = None
    engine: str = "llama_cpp"
    context_length: int | None = None
    slots: int = 4
    threads: int | None = None
    gpu_layers: int = -1
    allow_cpu: bool = False
    pinned: bool = False
    ttl_s: float | None = None
    memory_bytes: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """``transport``: the data plane's, ``zeromq`` or ``grpc``. ``bind``: its address,
    ``tcp://host:port`` (port 0: a free one). ``advertise``: host
    name or address that peers shall dial, None for the bind host. ``direct_bind``: ``host:port`` of
    gRPC for clients with a ticket, "" for the host of ``bind`` and a free port, ``off`` for
    none. ``memory_limit_bytes``: of RAM that models may take together, None for 80 % of what is
    available at start. ``reserve_bytes``: of each GPU, and of the box's RAM, that stays free: when
    other programs take it, idle models are unloaded. ``crash_limit``: a model whose runner ended so
    often within five minutes is given up until it may work again. ``hang_s``: a runner that owes a
    sign for so many seconds counts as hung and is killed. ``gpu_limits``: on power and clocks of
    the box's GPUs; none: they are left alone."""

    name: str
    models: tuple[ModelSettings, ...] = ()
    memory_limit_bytes: int | None = None
    reserve_bytes: int = 256 * 1024 * 1024
    crash_limit: int = 5
    hang_s: float = 60.0
    gpu_limits: tuple[GpuLimits, ...] = ()
    state_dir: str = ""
    etcd: str = DEFAULT_ETCD
    prefix: str = "/mesh/v1"
    transport: str = "zeromq"
    bind: str = "tcp://127.0.0.1:0"
    direct_bind: str = ""
    advertise: str | None = None
    insecure: bool = False
    preset: str = "local"
    otlp_endpoint: str | None = None
    log_level: str = "info"

    @property
    def timing(self) -> Timing:
        return PRESETS[self.preset]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorSettings:
    """``bind``: gRPC address ``host:port``. ``queue_limit``: requests waiting for a slot, per
    priority. ``default_timeout_s``: budget of a request that names none. ``hedge_after_ms``: a
    second attempt on another node when the first token is not there after so long; 0: the 95th
    percentile of the model's own times; None: never. ``hedge_share``: such extra attempts per
    request, at most. ``ticket_lifetime_s``,
    ``ticket_streams``: how long a ticket to stream straight from a node holds, in seconds, and how
    many streams at once it allows; ``ticket_max_tokens``: per answer. ``router``: see there."""

    name: str
    state_dir: str = ""
    etcd: str = DEFAULT_ETCD
    prefix: str = "/mesh/v1"
    bind: str = DEFAULT_ENDPOINT
    advertise: str | None = None
    insecure: bool = False
    rules: str | None = None
    fallback: str = "chat"
    queue_limit: int = 256
    max_request_bytes: int = 4 * 1024 * 1024
    default_timeout_s: float = 120.0
    max_attempts: int = 3
    hedge_after_ms: float | None = None
    hedge_share: float = 0.05
    ticket_lifetime_s: float = 60.0
    ticket_streams: int = 4
    ticket_max_tokens: int = 32_768
    router: RouterSettings = field(default_factory=RouterSettings)
    preset: str = "local"
    otlp_endpoint: str | None = None
    log_level: str = "info"

    @property
    def timing(self) -> Timing:
        return PRESETS[self.preset]


S = TypeVar("S", NodeSettings, OrchestratorSettings)


def load(kind: type[S], source: dict[str, Any], *, where: str = "settings") -> S:
    """Builds and checks settings from plain data. Raises ``ConfigError`` naming the key."""
    _check_keys(kind, source, where, "")
    try:
        settings = msgspec.convert(source, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
    check(settings, where)
    return settings


def _check_keys(kind: Any, source: dict[str, Any], where: str, table: str) -> None:
    """Tables within tables too: a misspelt key that is read as nothing is a setting ignored."""
    known = get_type_hints(kind)
    for key, value in source.items():
        if key not in known:
            listed = ", ".join(sorted(known))
            raise ConfigError(f"{where}: unknown key '{table}{key}'; known: {listed}")
        inner, several = known[key], False
        if get_origin(inner) is tuple:
            inner, several = get_args(inner)[0], True
        if not is_dataclass(inner):
            continue
        for entry in value if several and isinstance(value, list) else [value]:
            if isinstance(entry, dict):
                _check_keys(inner, entry, where, f"{table}{key}.")


def load_toml(path: Path) -> dict[str, Any]:
    """The file as plain data. Raises ``ConfigError`` with file and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None


def check(settings: NodeSettings | OrchestratorSettings, where: str = "settings") -> None:
    """What types cannot say. Raises ``ConfigError``."""
    if settings.preset not in PRESETS:
        raise ConfigError(
            f"{where}: preset '{settings.preset}' is unknown; one of {', '.join(PRESETS)}"
        )
    host = settings.bind.rpartition("://")[2].rpartition(":")[0].strip("[]")
    if not settings.insecure and not is_loopback(host):
        raise ConfigError(
            f"{where}: bind '{settings.bind}' is reachable from other machines and this version "
            "has no authentication yet; bind to 127.0.0.1, or say --insecure on a network you trust"
        )
    if isinstance(settings, NodeSettings):
        _check_direct(settings, where)
        if settings.transport not in TRANSPORTS:
            raise ConfigError(
                f"{where}: transport '{settings.transport}' is unknown; one of "
                f"{', '.join(TRANSPORTS)}"
            )
        for key in ("memory_limit_bytes", "reserve_bytes"):
            size = getattr(settings, key)
            if size is not None and size < 0:
                raise ConfigError(f"{where}: {key} must be 0 or more bytes, not {size}")
        if not 1 <= settings.crash_limit <= 100:
            raise ConfigError(
                f"{where}: crash_limit must be 1 to 100 crashes, not {settings.crash_limit}"
            )
        if not 1.0 <= settings.hang_s <= 3600.0:
            raise ConfigError(f"{where}: hang_s must be 1 to 3600 seconds, not {settings.hang_s}")
        check_gpu_limits(settings.gpu_limits, where)
        for model in settings.models:
            _check_model(model, where)
        return
    if not SPECIALTY_PATTERN.fullmatch(settings.fallback):
        raise ConfigError(f"{where}: fallback '{settings.fallback}' is not a specialty name")
    check_router(settings.router, where)
    if settings.hedge_after_ms is not None and not 0.0 <= settings.hedge_after_ms <= 600_000.0:
        raise ConfigError(
            f"{where}: hedge_after_ms must be 0 (the 95th percentile) to 600000 milliseconds, "
            f"not {settings.hedge_after_ms}"
        )
    if not 0.0 <= settings.hedge_share <= 1.0:
        raise ConfigError(f"{where}: hedge_share must be 0 to 1, not {settings.hedge_share}")
    if not 1.0 <= settings.ticket_lifetime_s <= 600.0:
        raise ConfigError(
            f"{where}: ticket_lifetime_s must be 1 to 600 seconds, not {settings.ticket_lifetime_s}"
        )
    if not 1 <= settings.ticket_streams <= 64:
        raise ConfigError(f"{where}: ticket_streams must be 1 to 64, not {settings.ticket_streams}")
    if settings.ticket_max_tokens < 1:
        raise ConfigError(f"{where}: ticket_max_tokens must be at least 1")


def _check_direct(settings: NodeSettings, where: str) -> None:
    """A ticket proves who may ask; it does not encrypt what is said, so the rule is the same."""
    if settings.direct_bind in ("", "off"):
        return
    host, _, port = settings.direct_bind.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ConfigError(
            f"{where}: direct_bind '{settings.direct_bind}' is not HOST:PORT, for example "
            "127.0.0.1:0, and not 'off'"
        )
    if not settings.insecure and not is_loopback(host.strip("[]")):
        raise ConfigError(
            f"{where}: direct_bind '{settings.direct_bind}' is reachable from other machines and "
            "is not encrypted; bind to 127.0.0.1, or say --insecure on a network you trust"
        )


def _check_model(model: ModelSettings, where: str) -> None:
    if not model.specialties:
        raise ConfigError(f"{where}: model '{model.source}' has no specialty; give at least one")
    for specialty in model.specialties:
        if not SPECIALTY_PATTERN.fullmatch(specialty):
            raise ConfigError(
                f"{where}: specialty '{specialty}' is not a name: lower-case letters, digits, "
                "'-' and '_', starting with a letter, at most 32"
            )
    if not 1 <= model.slots <= 64:
        raise ConfigError(f"{where}: slots must be 1 to 64, not {model.slots}")
    if model.ttl_s is not None and not 1.0 <= model.ttl_s <= 31_536_000.0:
        raise ConfigError(
            f"{where}: ttl_s must be 1 second to a year, not {model.ttl_s}; leave it out to keep "
            "the model loaded"
        )
    if model.memory_bytes is not None and model.memory_bytes < 0:
        raise ConfigError(f"{where}: memory_bytes must be 0 or more, not {model.memory_bytes}")
    if model.context_length is not None and model.context_length < 32:
        raise ConfigError(f"{where}: context_length must be at least 32 tokens")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
