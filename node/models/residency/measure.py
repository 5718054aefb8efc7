"""What a resident model really takes, as the system and the driver show it. Blocks: in a thread."""

from __future__ import annotations

import importlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from node.engines.estimate import Estimate
from node.engines.traits import EngineTraits
from node.models.fit import runner_ram_bytes
from node.models.prepared import Prepared


def ram_bytes(
    pid: int, traits: EngineTraits[Any], prepared: Prepared, estimate: Estimate | None
) -> int | None:
    """Of the runner ``pid``; None when the system does not show it. Of a model whose files were
    looked at: what it needs (``node.models.fit.runner_ram_bytes``); else the process's proportional
    set size."""
    if prepared.files is not None and estimate is not None:
        return runner_ram_bytes(pid, traits, Path(prepared.file), prepared.files, estimate)
    try:
        return int(psutil.Process(pid).memory_full_info().pss)
    except (psutil.Error, OSError, AttributeError):
        return None


def vram_bytes(pid: int, uuid: str, nvml: Any = None) -> int | None:
    """Of the process ``pid`` on the GPU ``uuid``, as NVML lists it; None where it does not (WSL,
    containers with a process namespace of their own, no driver)."""
    if nvml is None:
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
            if process.pid == pid and process.usedGpuMemory is not None:
                return int(process.usedGpuMemory)
    except nvml.NVMLError:
        return None
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()
    return None
