"""Settings for GPUs whose owner wants them held back: ``[[gpu_limits]]`` of a node."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mesh.errors import ConfigError

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLimits:
    """``gpu``: a UUID as ``nvidia-smi -L`` prints it, or ``all``. ``power_w``: watts at most;
    ``clock_mhz``: of the graphics clock, at most. None: left alone. Both hold from the node's start
    to its stop and need root (or CAP_SYS_ADMIN)."""

    gpu: str
    power_w: float | None = None
    clock_mhz: int | None = None


def check_gpu_limits(limits: Sequence[GpuLimits], where: str) -> None:
    """Raises ``ConfigError`` naming the key."""
    seen: set[str] = set()
    for limit in limits:
        if limit.gpu != ALL and not limit.gpu.startswith("GPU-"):
            raise ConfigError(
                f"{where}: gpu_limits.gpu '{limit.gpu}' is not the UUID of a card (GPU-..., see "
                f"`nvidia-smi -L`) and not '{ALL}'"
            )
        if limit.gpu in seen:
            raise ConfigError(f"{where}: gpu_limits names '{limit.gpu}' twice")
        seen.add(limit.gpu)
        if limit.power_w is None and limit.clock_mhz is None:
            raise ConfigError(
                f"{where}: gpu_limits for '{limit.gpu}' limits nothing; give power_w or clock_mhz"
            )
        if limit.power_w is not None and not (math.isfinite(limit.power_w) and limit.power_w > 0):
            raise ConfigError(f"{where}: gpu_limits.power_w must be watts, not {limit.power_w}")
        if limit.clock_mhz is not None and limit.clock_mhz <= 0:
            raise ConfigError(f"{where}: gpu_limits.clock_mhz must be MHz, not {limit.clock_mhz}")
    if ALL in seen and len(seen) > 1:
        raise ConfigError(
            f"{where}: gpu_limits names '{ALL}' and single GPUs; give one or the other"
        )
