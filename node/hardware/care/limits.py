"""Clock and power limits of the box's GPUs: left alone, unless settings ask in so many words.

What is changed is written down in the node's state folder first. A node that was killed therefore
finds at its next start what to put back.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from mesh.errors import ConfigError
from mesh.files import SHOWN, read_whole, write_whole
from mesh.settings.gpu import ALL, GpuLimits
from node.hardware.readings import words

log = logging.getLogger(__name__)

FILE = "gpu-limits.json"
MAX_BYTES = 64 * 1024


class _Changed(msgspec.Struct, frozen=True, kw_only=True):
    """``power_mw``: what the limit was before it was changed, None where it was not. ``clocks``:
    whether they were locked; NVML cannot say what they were, so they are reset."""

    uuid: str
    power_mw: int | None = None
    clocks: bool = False


@contextmanager
def limited(limits: Sequence[GpuLimits], folder: Path, nvml: Any = None) -> Iterator[None]:
    """The limits hold until the block ends. What an earlier run left behind is put back first.

    Does not touch NVML when there is nothing to do. Raises ``ConfigError``: no driver, no such GPU,
    a limit that the card cannot have, no permission; nothing stays changed then.
    """
    path = folder / FILE
    left = _read(path)
    if not limits and not left:
        yield
        return
    found = _initialised(nvml, required=bool(limits))
    if found is None:
        yield
        return
    try:
        # What cannot be put back now is tried again at the end.
        changed = _put_back(found, left, path)
        try:
            for uuid, limit in _wanted(found, limits):
                _apply(found, uuid, limit, changed, path)
            yield
        finally:
            _put_back(found, changed, path)
    finally:
        with suppress(found.NVMLError):
            found.nvmlShutdown()


def _initialised(nvml: Any, *, required: bool) -> Any:
    """NVML, or None where it is not needed for certain. Raises ``ConfigError``."""
    try:
        nvml = nvml if nvml is not None else importlib.import_module("pynvml")
        nvml.nvmlInit()
    except ImportError:
        why = "the Python package nvidia-ml-py is not installed"
    except nvml.NVMLError as error:
        why = f"the NVIDIA driver does not answer ({error})"
    else:
        return nvml
    if required:
        raise ConfigError(f"gpu_limits: {why}; repair that, or take gpu_limits out")
    log.warning("GPU limits that an earlier run set are not put back: %s", why)
    return None


def _wanted(nvml: Any, limits: Sequence[GpuLimits]) -> list[tuple[str, GpuLimits]]:
    """(UUID, limits) of each card. Raises ``ConfigError``."""
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        there = [words(nvml.nvmlDeviceGetUUID(handle)) or "" for handle in handles]
    except nvml.NVMLError as error:
        raise ConfigError(f"gpu_limits: the box's GPUs cannot be listed ({error})") from None
    wanted = []
    for limit in limits:
        if limit.gpu != ALL and limit.gpu not in there:
            listed = ", ".join(there) or "none"
            raise ConfigError(f"gpu_limits: no GPU {limit.gpu} on this box; there are: {listed}")
        wanted += [(uuid, limit) for uuid in there if limit.gpu in (ALL, uuid)]
    return wanted


def _apply(nvml: Any, uuid: str, limit: GpuLimits, changed: list[_Changed], path: Path) -> None:
    """Raises ``ConfigError``."""
    what = "the GPU"
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        if limit.power_w is not None:
            what, milliwatts = "the power limit", round(1000 * limit.power_w)
            lowest, highest = nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)
            if not lowest <= milliwatts <= highest:
                raise ConfigError(
                    f"gpu_limits: GPU {uuid} takes a power limit of {lowest / 1000:g} to "
                    f"{highest / 1000:g} W, not {limit.power_w:g}"
                )
            before = int(nvml.nvmlDeviceGetPowerManagementLimit(handle))
            _note(_Changed(uuid=uuid, power_mw=before), changed, path)
            _set(partial(nvml.nvmlDeviceSetPowerManagementLimit, handle, milliwatts), nvml, changed)
            log.info("GPU %s: power limit %g W (was %g)", uuid, limit.power_w, before / 1000)
        if limit.clock_mhz is not None:
            what = "the graphics clock"
            _note(_Changed(uuid=uuid, clocks=True), changed, path)
            _set(
                partial(nvml.nvmlDeviceSetGpuLockedClocks, handle, 0, limit.clock_mhz),
                nvml,
                changed,
            )
            log.info("GPU %s: graphics clock at most %d MHz", uuid, limit.clock_mhz)
    except nvml.NVMLError as error:
        if error.value == nvml.NVML_ERROR_NO_PERMISSION:
            raise ConfigError(
                f"gpu_limits: this user may not set {what} of GPU {uuid}; start the node as root "
                "(or with CAP_SYS_ADMIN), or take gpu_limits out"
            ) from None
        raise ConfigError(f"gpu_limits: cannot set {what} of GPU {uuid}: {error}") from None


def _set(call: Callable[[], object], nvml: Any, changed: list[_Changed]) -> None:
    """What the card refused is no change. Raises ``NVMLError``."""
    try:
        call()
    except nvml.NVMLError:
        changed.pop()
        raise


def _note(change: _Changed, changed: list[_Changed], path: Path) -> None:
    """Before the change, so that it is known whatever happens. Raises ``ConfigError``."""
    changed.append(change)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, msgspec.json.encode(changed), mode=SHOWN)
    except OSError as error:
        changed.pop()
        raise ConfigError(f"gpu_limits: cannot write {path}: {error.strerror}") from None


def _put_back(nvml: Any, changed: Sequence[_Changed], path: Path) -> list[_Changed]:
    """Returns what cannot be put back now; it stays written down, for the next start."""
    left: list[_Changed] = []
    for change in reversed(changed):  # the first note of a card is the one from before it all
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(change.uuid)
            if change.power_mw is not None:
                nvml.nvmlDeviceSetPowerManagementLimit(handle, change.power_mw)
            if change.clocks:
                nvml.nvmlDeviceResetGpuLockedClocks(handle)
        except nvml.NVMLError as error:
            log.warning("limits of GPU %s are not put back: %s", change.uuid, error)
            left.insert(0, change)
            continue
        log.info("GPU %s: its limits are as before", change.uuid)
    with suppress(OSError):
        if left:
            write_whole(path, msgspec.json.encode(left), mode=SHOWN)
        else:
            path.unlink(missing_ok=True)
    return left


def _read(path: Path) -> list[_Changed]:
    try:
        return msgspec.json.decode(read_whole(path, MAX_BYTES), type=list[_Changed])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("%s cannot be read (%s): no GPU limit is put back", path, error)
        return []
