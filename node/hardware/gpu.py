"""GPUs as NVML shows them, through the ``pynvml`` module of ``nvidia-ml-py``.

What the driver refuses to tell is None. What goes wrong is said in plain words, in ``Gpu.error`` or
in the accelerator line, and never raised: a box whose driver is broken still serves on its CPU.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from mesh.cleaned import cleaned
from mesh.clock import Clock
from mesh.fleet.records import Gpu
from node import threads
from node.hardware.care import throttling
from node.hardware.care.dtypes import fast_dtypes
from node.hardware.plausible import plausible

NO_DRIVER = "no NVIDIA driver on this box: models run on the CPU"

_NAMELESS = "unknown NVIDIA GPU"  # a card that failed before it gave its UUID

# Re-initialising wakes every card of the box (seconds each without persistence mode).
REINIT_EVERY_S = 30.0

_INIT_FAILURES = {
    "NVML_ERROR_LIBRARY_NOT_FOUND": NO_DRIVER,
    "NVML_ERROR_DRIVER_NOT_LOADED": (
        "the NVIDIA kernel driver is not loaded: models run on the CPU; load it with "
        "`modprobe nvidia` or reboot"
    ),
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": (
        "the NVIDIA kernel driver and its library have different versions (updated while running): "
        "reboot, or reload the nvidia kernel modules; until then models run on the CPU"
    ),
    "NVML_ERROR_NO_PERMISSION": (
        "this user may not open the NVIDIA devices: models run on the CPU; add it to the group "
        "that owns /dev/nvidia*, or give the container its GPUs"
    ),
}

# With these the card itself is gone; any other error is one reading that this card does not have.
_LOST = (
    "NVML_ERROR_UNINITIALIZED",
    "NVML_ERROR_DRIVER_NOT_LOADED",
    "NVML_ERROR_GPU_IS_LOST",
    "NVML_ERROR_RESET_REQUIRED",
    "NVML_ERROR_GPU_NOT_FOUND",
)


# Drivers and bindings before release 535 have it under its former name only.
_CLOCK_REASONS = (
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetCurrentClocksThrottleReasons",
)


class GpuProbe(Protocol):
    """Looks once. Blocking; may take seconds; never raises for what a driver does."""

    def probe(self) -> tuple[tuple[Gpu, ...], str]:
        """All usable devices and the plain-words line on them."""
        ...


class NvmlProbe:
    """NVML, initialised once and again after errors. Called from one thread at a time.

    A card that was seen and is gone stays listed with ``error`` set, so that people see which. A
    card in MIG mode is not listed; its instances are.
    """

    def __init__(self, clock: Clock, nvml: Any = None) -> None:
        self._clock = clock
        self._nvml = nvml
        self._initialised = False
        self._init_at = float("-inf")
        self._broken = False
        self._known: dict[str, Gpu] = {}
        self._throttled: dict[str, dict[str, float]] = {}  # by card: reason -> last seen

    def probe(self) -> tuple[tuple[Gpu, ...], str]:
        if self._nvml is None:
            try:
                self._nvml = importlib.import_module("pynvml")
            except ImportError:
                return (), "the Python package nvidia-ml-py is not installed: models run on the CPU"
        if self._broken and self._clock.now() - self._init_at >= REINIT_EVERY_S:
            self._shut_down()
        if not self._initialised and (line := self._init()):
            return self._all_lost(line), line
        try:
            count = int(self._nvml.nvmlDeviceGetCount())
        except self._nvml.NVMLError as error:
            self._broken = True
            line = f"the NVIDIA driver failed ({error}): models run on the CPU"
            return self._all_lost(line), line
        return self._read_all(count)

    def _init(self) -> str:
        """ "" when NVML is up, else why not."""
        self._init_at = self._clock.now()
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            for name, words in _INIT_FAILURES.items():
                if error.value == getattr(self._nvml, name):
                    return words
            return f"the NVIDIA driver failed ({error}): models run on the CPU"
        self._initialised, self._broken = True, False
        return ""

    def _shut_down(self) -> None:
        self._initialised = False
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError:
            return  # it was down already, which is what we want

    def _read_all(self, count: int) -> tuple[tuple[Gpu, ...], str]:
        found: dict[str, Gpu] = {}
        partitioned: dict[str, int] = {}  # cards in MIG mode: uuid -> number of instances
        for index in range(count):
            try:
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                uuid = text_of(self._nvml.nvmlDeviceGetUUID(handle))
                if self._mig_enabled(handle):
                    instances = self._instances(handle, uuid, index)
                    partitioned[uuid] = len(instances)
                    found |= {gpu.uuid: gpu for gpu in instances}
                else:
                    found[uuid] = self._device(handle, uuid, index)
            except self._nvml.NVMLError as error:
                self._broken = True
                for gpu in self._lost(index, f"GPU {index} does not answer: {error}"):
                    found[gpu.uuid] = gpu
        cards = partitioned.keys() | found.keys()
        for uuid, gpu in self._known.items():
            # Instances come and go, and a card can change into MIG mode: that is no loss.
            if uuid not in cards and gpu.parent_uuid not in cards:
                self._broken = True
                found[uuid] = replace(gpu, error=f"GPU {gpu.index} has vanished from the driver")
        self._known = {uuid: gpu for uuid, gpu in found.items() if gpu.name != _NAMELESS}
        self._throttled = {u: seen for u, seen in self._throttled.items() if u in self._known}
        gpus = tuple(sorted(found.values(), key=lambda gpu: (gpu.index, gpu.uuid)))
        return gpus, _line(gpus, partitioned)

    def _lost(self, index: int, words: str) -> list[Gpu]:
        known = [gpu for gpu in self._known.values() if gpu.index == index]
        if known:
            return [replace(gpu, error=words) for gpu in known]
        return [_nameless(index, words)]

    def _all_lost(self, words: str) -> tuple[Gpu, ...]:
        self._known = {uuid: replace(gpu, error=words) for uuid, gpu in self._known.items()}
        return tuple(self._known.values())

    def _mig_enabled(self, handle: Any) -> bool:
        mode = self._reading(lambda: self._nvml.nvmlDeviceGetMigMode(handle))
        return mode is not None and mode[0] == self._nvml.NVML_DEVICE_MIG_ENABLE

    def _instances(self, parent: Any, parent_uuid: str, index: int) -> list[Gpu]:
        count = self._reading(lambda: self._nvml.nvmlDeviceGetMaxMigDeviceCount(parent)) or 0
        gpus = []
        for place in range(count):
            handle = self._reading(
                partial(self._nvml.nvmlDeviceGetMigDeviceHandleByIndex, parent, place)
            )
            if handle is None:  # places of instances that were not created
                continue
            gpu = self._device(handle, text_of(self._nvml.nvmlDeviceGetUUID(handle)), index)
            # The instance is the parent's silicon; NVML answers this one only for the parent.
            capability = gpu.compute_capability or self._capability(parent)
            if not gpu.throttled:
                words, left = self._slowed(parent, gpu.uuid)
                gpu = replace(gpu, throttled=words, throttled_to=left)
            gpus.append(
                replace(
                    gpu,
                    parent_uuid=parent_uuid,
                    compute_capability=capability,
                    dtypes=fast_dtypes(capability),
                )
            )
        return gpus

    def _device(self, handle: Any, uuid: str, index: int) -> Gpu:
        nvml = self._nvml
        name = self._reading(lambda: text_of(nvml.nvmlDeviceGetName(handle)))
        memory = self._reading(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        temperature = self._reading(
            lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        )
        milliwatts = self._reading(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        rates = self._reading(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        capability = self._capability(handle)
        throttled, left = self._slowed(handle, uuid)
        card = Gpu(
            uuid=uuid,
            name=name or "NVIDIA GPU",
            index=index,
            total_bytes=0 if memory is None else int(memory.total),
            used_bytes=0 if memory is None else int(memory.used),
            free_bytes=0 if memory is None else int(memory.free),
            temperature_c=None if temperature is None else float(temperature),
            power_w=None if milliwatts is None else milliwatts / 1000,
            utilisation=None if rates is None else rates.gpu / 100,
            compute_capability=capability,
            error="the driver gives no memory figures for this GPU" if memory is None else None,
            throttled=throttled,
            throttled_to=left,
            dtypes=fast_dtypes(capability),
        )
        return plausible(card)

    def _slowed(self, handle: Any, uuid: str) -> tuple[str, float]:
        """Why the card is slow now, or was within ``throttling.HOLD_S``, and the share of its speed
        that is left."""
        mask = None
        for name in _CLOCK_REASONS:
            call = getattr(self._nvml, name, None)
            if call is not None and (mask := self._reading(partial(call, handle))) is not None:
                break
        found = () if mask is None else throttling.reasons(int(mask))
        seen = throttling.held(self._throttled.get(uuid, {}), found, self._clock.now())
        self._throttled[uuid] = seen
        return throttling.in_order(seen), throttling.left(seen)

    def _capability(self, handle: Any) -> str | None:
        pair = self._reading(lambda: self._nvml.nvmlDeviceGetCudaComputeCapability(handle))
        return None if pair is None else f"{pair[0]}.{pair[1]}"

    def _reading(self, call: Callable[[], Any]) -> Any:
        """None when the driver does not give it; raises ``NVMLError`` when the card is lost."""
        try:
            return call()
        except self._nvml.NVMLError as error:
            if any(error.value == getattr(self._nvml, name, None) for name in _LOST):
                raise
            return None


@dataclass(frozen=True, slots=True)
class GpuReading:
    """``line``: plain words for ``NodeRecord.accelerator``."""

    gpus: tuple[Gpu, ...]
    line: str


class GpuReader:
    """A probe under a deadline (seconds): a driver that hangs is reported, not waited for.

    A late answer is taken when it comes; a second call is never started beside a hung one.
    """

    def __init__(self, probe: GpuProbe, *, deadline_s: float = 5.0) -> None:
        self._probe = probe
        self._deadline_s = deadline_s
        self._pending: Future[tuple[tuple[Gpu, ...], str]] | None = None
        self._last: tuple[Gpu, ...] = ()

    async def read(self) -> GpuReading:
        if self._pending is None:
            self._pending = threads.start(self._probe.probe, name="gpu-probe")
        try:
            async with asyncio.timeout(self._deadline_s):
                gpus, line = await asyncio.wrap_future(self._pending)
        except TimeoutError:
            line = (
                f"the NVIDIA driver hangs (no answer within {self._deadline_s:g} s): see `dmesg`, "
                "or reboot"
            )
            return GpuReading(tuple(replace(gpu, error=line) for gpu in self._last), line)
        self._pending = None
        self._last = gpus
        return GpuReading(gpus, line)


def text_of(value: str | bytes) -> str:
    """NVML's bindings give either, by their age; what is in it, the driver says."""
    return cleaned(value)


def _nameless(index: int, words: str) -> Gpu:
    return Gpu(
        uuid=f"unknown-{index}",
        name=_NAMELESS,
        index=index,
        total_bytes=0,
        used_bytes=0,
        free_bytes=0,
        error=words,
    )


def _line(gpus: tuple[Gpu, ...], partitioned: dict[str, int]) -> str:
    usable = [gpu for gpu in gpus if gpu.error is None]
    empty = sum(1 for instances in partitioned.values() if not instances)
    notes = [gpu.error for gpu in gpus if gpu.error]
    if empty:
        notes.append(
            f"{empty} GPU(s) in MIG mode without instances: `nvidia-smi mig -cgi` makes them"
        )
    if usable:
        names = ", ".join(f"{gpu.name} {gpu.total_bytes / 2**30:.1f} GiB" for gpu in usable)
        noun = "GPU" if len(usable) == 1 else "GPUs"
        return "; ".join([f"{len(usable)} {noun}: {names}", *notes])
    if notes:
        return "; ".join([*notes, "models run on the CPU"])
    return "the NVIDIA driver finds no GPU: models run on the CPU"
