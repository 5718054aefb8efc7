"""GPUs as NVML shows them, through the ``pynvml`` module of ``nvidia-ml-py``.

What the driver refuses to tell is None, and so is what cannot be (``readings``). What goes wrong
is said in plain words, in ``Gpu.error`` or in the accelerator line, and never raised: a box whose
driver is broken still serves on its CPU.

A card without memory of its own (GB10, Jetson) uses the box's: it has a budget of that, which
leaves the system some.
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
from mesh.fleet.records import Gpu, Memory
from node import threads
from node.hardware import readings
from node.hardware.care import throttling
from node.hardware.care.dtypes import fast_dtypes

NO_DRIVER = "no NVIDIA driver on this box: models run on the CPU"

LEFT_ALONE = "GPUs are left alone, since gpu_layers is 0: models run on the CPU"

# Of the box's memory, what a card that shares it leaves to the system: the larger of these.
SYSTEM_BYTES, SYSTEM_SHARE = 2 * 1024**3, 0.1

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


class NoProbe:
    """Asks no driver for anything."""

    def probe(self) -> tuple[tuple[Gpu, ...], str]:
        return (), LEFT_ALONE


class NvmlProbe:
    """NVML, initialised once and again after errors. Called from one thread at a time.

    A card that was seen and is gone stays listed with ``error`` set, so that people see which. A
    card in MIG mode is not listed; its instances are. ``memory``: the box's, for cards that have
    none of their own.
    """

    def __init__(
        self, clock: Clock, nvml: Any = None, *, memory: Callable[[], Memory] | None = None
    ) -> None:
        self._clock = clock
        self._memory = memory
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
            except Exception as error:  # noqa: BLE001 - a broken package is a missing one
                return (), _failed(f"the Python package nvidia-ml-py is broken: {error}")
        if self._broken and self._clock.now() - self._init_at >= REINIT_EVERY_S:
            self._shut_down()
        if not self._initialised and (line := self._init()):
            return self._all_lost(line), line
        try:
            count = self._nvml.nvmlDeviceGetCount()
        except Exception as error:  # noqa: BLE001 - see ``readings.guarded``
            self._broken = True
            line = _failed(error)
            return self._all_lost(line), line
        if (cards := readings.whole(count, 0, readings.MAX_CARDS)) is None:
            line = _failed(f"it says that there are {count!r} GPUs")
            return self._all_lost(line), line
        return self._read_all(cards)

    def _init(self) -> str:
        """ "" when NVML is up, else why not."""
        self._init_at = self._clock.now()
        try:
            self._nvml.nvmlInit()
        except Exception as error:  # noqa: BLE001 - see ``readings.guarded``
            for name, words in _INIT_FAILURES.items():
                if self._is(error, name):
                    return words
            return _failed(error)
        self._initialised, self._broken = True, False
        return ""

    def _shut_down(self) -> None:
        self._initialised = False
        readings.guarded(self._nvml.nvmlShutdown)  # down already is what we want

    def _read_all(self, count: int) -> tuple[tuple[Gpu, ...], str]:
        found: dict[str, Gpu] = {}
        partitioned: dict[str, int] = {}  # cards in MIG mode: uuid -> number of instances
        for index in range(count):
            try:
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                uuid = self._uuid(handle, f"unknown-{index}")
                if self._mig_enabled(handle):
                    instances = self._instances(handle, uuid, index)
                    partitioned[uuid] = len(instances)
                    found |= {gpu.uuid: gpu for gpu in instances}
                else:
                    found[uuid] = self._device(handle, uuid, index)
            except Exception as error:  # noqa: BLE001 - see ``readings.guarded``
                self._broken = True
                for gpu in self._lost(index, f"GPU {index} does not answer: {cleaned(str(error))}"):
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
        return bool(
            self._reading(
                lambda: (
                    self._nvml.nvmlDeviceGetMigMode(handle)[0] == self._nvml.NVML_DEVICE_MIG_ENABLE
                )
            )
        )

    def _uuid(self, handle: Any, otherwise: str) -> str:
        found = self._reading(lambda: self._nvml.nvmlDeviceGetUUID(handle))
        return readings.words(found) or otherwise

    def _instances(self, parent: Any, parent_uuid: str, index: int) -> list[Gpu]:
        count = self._reading(lambda: self._nvml.nvmlDeviceGetMaxMigDeviceCount(parent))
        gpus = []
        for place in range(readings.whole(count, 0, readings.MAX_CARDS) or 0):
            handle = self._reading(
                partial(self._nvml.nvmlDeviceGetMigDeviceHandleByIndex, parent, place)
            )
            if handle is None:  # places of instances that were not created
                continue
            gpu = self._device(handle, self._uuid(handle, f"{parent_uuid}/{place}"), index)
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
        name = self._reading(lambda: nvml.nvmlDeviceGetName(handle))
        temperature = self._reading(
            lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        )
        milliwatts = self._reading(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        busy = self._reading(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        watts = readings.number(milliwatts, 0, 1000 * readings.MAX_WATTS)
        percent = readings.number(busy, 0, 100)
        capability = self._capability(handle)
        throttled, left = self._slowed(handle, uuid)
        memory, unified, error = self._room(handle)
        total, used, free = memory
        if uuid.startswith("unknown-"):
            error = "the driver gives no UUID for this GPU"
        return Gpu(
            uuid=uuid,
            name=readings.words(name) or "NVIDIA GPU",
            index=index,
            total_bytes=total,
            used_bytes=used,
            free_bytes=free,
            temperature_c=readings.number(temperature, *readings.CELSIUS),
            power_w=None if watts is None else watts / 1000,
            utilisation=None if percent is None else percent / 100,
            compute_capability=capability,
            error=error,
            throttled=throttled,
            throttled_to=left,
            dtypes=fast_dtypes(capability),
            unified=unified,
        )

    def _room(self, handle: Any) -> tuple[tuple[int, int, int], bool, str | None]:
        """Bytes of memory (total, used, free), whether they are the box's, and why there are
        none."""
        shared = False
        try:
            info = self._nvml.nvmlDeviceGetMemoryInfo(handle)
            shared = getattr(info, "total", None) == 0
        except Exception as error:
            if self._gone(error):
                raise
            info, shared = None, self._is(error, "NVML_ERROR_NOT_SUPPORTED")
        if (found := readings.memory(info)) is not None:
            return found, False, None
        if shared and self._memory is not None:
            return _budget(self._memory()), True, None
        return (0, 0, 0), False, "the driver gives no memory figures for this GPU"

    def _slowed(self, handle: Any, uuid: str) -> tuple[str, float]:
        """Why the card is slow now, or was within ``throttling.HOLD_S``, and the share of its speed
        that is left."""
        mask = None
        for name in _CLOCK_REASONS:
            call = getattr(self._nvml, name, None)
            if call is not None and (mask := self._reading(partial(call, handle))) is not None:
                break
        mask = readings.whole(mask, 0, 2**63)
        found = () if mask is None else throttling.reasons(mask)
        seen = throttling.held(self._throttled.get(uuid, {}), found, self._clock.now())
        self._throttled[uuid] = seen
        return throttling.in_order(seen), throttling.left(seen)

    def _capability(self, handle: Any) -> str | None:
        pair = self._reading(lambda: self._nvml.nvmlDeviceGetCudaComputeCapability(handle))
        return readings.capability(pair)

    def _reading(self, call: Callable[[], Any]) -> Any:
        """None when the driver does not give it; raises when the card is lost."""
        return readings.guarded(call, self._gone)

    def _gone(self, error: Exception) -> bool:
        return any(self._is(error, name) for name in _LOST)

    def _is(self, error: Exception, name: str) -> bool:
        code = getattr(error, "value", None)
        return isinstance(error, self._nvml.NVMLError) and code == getattr(self._nvml, name, None)


def _budget(box: Memory) -> tuple[int, int, int]:
    """What a card may have of the box's memory (total, used, free)."""
    system = min(box.total_bytes, max(SYSTEM_BYTES, int(SYSTEM_SHARE * box.total_bytes)))
    total = box.total_bytes - system
    free = min(total, max(0, box.available_bytes - system))
    return total, total - free, free


def _failed(why: object) -> str:
    return f"the NVIDIA driver failed ({cleaned(str(why))}): models run on the CPU"


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
            return self._without(
                f"the NVIDIA driver hangs (no answer within {self._deadline_s:g} s): see `dmesg`, "
                "or reboot"
            )
        except Exception as error:  # noqa: BLE001 - a probe's defect costs the box its GPUs only
            self._pending = None
            return self._without(_failed(error))
        self._pending = None
        self._last = gpus
        return GpuReading(gpus, line)

    def _without(self, line: str) -> GpuReading:
        return GpuReading(tuple(replace(gpu, error=line) for gpu in self._last), line)


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
        names = ", ".join(
            f"{gpu.name} {gpu.total_bytes / 2**30:.1f} GiB{' of the box' if gpu.unified else ''}"
            for gpu in usable
        )
        noun = "GPU" if len(usable) == 1 else "GPUs"
        return "; ".join([f"{len(usable)} {noun}: {names}", *notes])
    if notes:
        return "; ".join([*notes, "models run on the CPU"])
    return "the NVIDIA driver finds no GPU: models run on the CPU"
