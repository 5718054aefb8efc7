"""A node's settings."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import ConfigError
from mesh.fleet.records import TRANSPORTS
from mesh.settings.addresses import is_loopback
from mesh.settings.folder import ModelsFolder
from mesh.settings.gpu import GpuLimits, check_gpu_limits
from mesh.settings.model import ModelSettings
from mesh.settings.process import ProcessSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings(ProcessSettings):
    """``models``, and those of ``models_folder`` as they come and go: one of both at least.
    ``transport``: the data plane's, ``zeromq`` or ``grpc``. ``bind``: its address,
    ``tcp://host:port`` (port 0: a free one). ``direct_bind``: ``host:port`` of gRPC for clients
    with a ticket, "" for the host of ``bind`` and a free port, ``off`` for none.
    ``memory_limit_bytes``: of RAM that models may take together, None for 80 % of what is available
    at start. ``reserve_bytes``: of each GPU, and of the box's RAM, that stays free: when other
    programs take it, idle models are unloaded. ``crash_limit``: a model whose runner ended so often
    within five minutes is given up until it may work again. ``hang_s``: a runner that owes a sign
    for so many seconds counts as hung and is killed. ``gpu_limits``: on power and clocks of the
    box's GPUs; none: they are left alone. ``give_up``: a node none of whose models can be made to
    work ends, with exit code 2 and the reasons, before any of them ever has; False: it stays, says
    why, and tries again, as one with a folder does in any case."""

    models: tuple[ModelSettings, ...] = ()
    models_folder: ModelsFolder | None = None
    memory_limit_bytes: int | None = None
    reserve_bytes: int = 256 * 1024 * 1024
    crash_limit: int = 5
    hang_s: float = 60.0
    gpu_limits: tuple[GpuLimits, ...] = ()
    give_up: bool = False
    transport: str = "zeromq"
    bind: str = "tcp://127.0.0.1:0"
    direct_bind: str = ""

    def check(self, where: str) -> None:
        """What types cannot say. Raises ``ConfigError``."""
        ProcessSettings.check(self, where)
        _check_direct(self, where)
        if self.transport not in TRANSPORTS:
            raise ConfigError(
                f"{where}: transport '{self.transport}' is unknown; one of {', '.join(TRANSPORTS)}"
            )
        for key in ("memory_limit_bytes", "reserve_bytes"):
            size = getattr(self, key)
            if size is not None and size < 0:
                raise ConfigError(f"{where}: {key} must be 0 or more bytes, not {size}")
        if not 1 <= self.crash_limit <= 100:
            raise ConfigError(
                f"{where}: crash_limit must be 1 to 100 crashes, not {self.crash_limit}"
            )
        if not 1.0 <= self.hang_s <= 3600.0:
            raise ConfigError(f"{where}: hang_s must be 1 to 3600 seconds, not {self.hang_s}")
        check_gpu_limits(self.gpu_limits, where)
        for model in self.models:
            model.check(where)
        if self.models_folder is not None:
            self.models_folder.check(where)


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
