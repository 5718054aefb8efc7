"""What this box has to load a model on: its GPUs as NVML shows them, and its CPU."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.cleaned import cleaned
from mesh.clock import SystemClock
from mesh.fleet.records import Gpu
from node.hardware.gpu import GpuProbe, NvmlProbe
from node.hardware.host import Host

_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """``name``: for people. ``free_bytes`` None: the CPU, which has what the box has available."""

    name: str
    free_bytes: int | None = None
    compute_capability: str | None = None


THE_CPU = Device(name="this box's CPU")


def devices(probe: GpuProbe | None = None) -> tuple[list[Device], str]:
    """Every GPU that works; the CPU where there is none. And the line on GPUs. Blocking, seconds
    where a driver has to wake."""
    gpus, line = (probe or NvmlProbe(SystemClock(), memory=Host().memory)).probe()
    usable = [_of(gpu) for gpu in gpus if not gpu.error and gpu.total_bytes]
    return usable or [THE_CPU], line


def _of(gpu: Gpu) -> Device:
    return Device(
        name=f"GPU {gpu.index}, {cleaned(gpu.name, _LONGEST_NAME)}",
        free_bytes=gpu.free_bytes,
        compute_capability=gpu.compute_capability,
    )
