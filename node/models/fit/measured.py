"""What loads really took, kept from one run of the node to the next, to correct estimates.

Two figures a load: bytes of VRAM (the difference that NVML shows) and of RAM
(``runner_ram_bytes``). The same load again (model file, device, context, slots, KV type, layers on
the GPU, engine version) is then estimated at what was measured. For another context or number of
slots of the same model and device the *difference* between measured and formula is carried over:
as it is, since most of it is a driver's or a process's fixed share; or, once two loads of different
size were measured, on the line through the two nearest, a slope being what caches and buffers take
beyond the formula. Never below weights and cache, which are certain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import psutil

from node.engines.estimate import CPU, Basis, Estimate, Parts
from node.engines.traits import EngineTraits, F
from node.models.kept import Content, KeptFile

FILE = "fit.json"
FORMAT = 1
MAX_ENTRIES = 256  # then the oldest goes; a node has tens of models with a few settings each
MAX_SLOPE = 0.5  # a steeper line between two readings is noise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    model: str
    engine: str
    device: str
    kv_type: str
    gpu_layers: int
    context_length: int
    slots: int

    @staticmethod
    def of(estimate: Estimate, model: str, engine: str) -> _Key:
        return _Key(
            model=model,
            engine=engine,
            device=estimate.device,
            kv_type=estimate.kv_type,
            gpu_layers=estimate.gpu_layers,
            context_length=estimate.context_length,
            slots=estimate.slots,
        )

    def like(self, other: _Key) -> bool:
        """The same but for context and slots."""
        return replace(self, context_length=other.context_length, slots=other.slots) == other


class _Reading(msgspec.Struct, frozen=True, kw_only=True):
    """``growing_*``: cache and buffers as the formula had them; ``beyond_*``: measured minus
    formula, None where nothing was measured."""

    key: _Key
    growing_vram: int
    growing_ram: int
    beyond_vram: int | None
    beyond_ram: int | None


class _File(Content, frozen=True):
    readings: list[_Reading]


class Corrections:
    """The readings of one node, in ``folder``/fit.json; at most ``MAX_ENTRIES``, the oldest goes.

    A file that cannot be read counts as empty, with one line in the log. Used from one thread.
    """

    def __init__(self, folder: Path) -> None:
        self._file = KeptFile(folder / FILE, _File, FORMAT, "measured model sizes")
        found = self._file.read()
        kept = found.readings[-MAX_ENTRIES:] if found is not None else []
        self._readings = {reading.key: reading for reading in kept}

    def record(
        self,
        estimate: Estimate,
        *,
        model: str,
        engine: str,
        vram_bytes: int | None = None,
        ram_bytes: int | None = None,
    ) -> None:
        """Keeps what the load that ``estimate`` was for took, and writes the file at once.

        ``model``: ``fingerprint``; ``engine``: ``EngineTraits.version``. None: not measured. A
        write that fails is logged; the reading holds in memory.
        """
        key = _Key.of(estimate, model, engine)
        self._readings.pop(key, None)
        self._readings[key] = _Reading(
            key=key,
            growing_vram=_growing(estimate.gpu),
            growing_ram=_growing(estimate.ram),
            beyond_vram=None if vram_bytes is None else vram_bytes - estimate.gpu.total_bytes,
            beyond_ram=None if ram_bytes is None else ram_bytes - estimate.ram.total_bytes,
        )
        while len(self._readings) > MAX_ENTRIES:
            del self._readings[next(iter(self._readings))]
        self._file.write(_File(FORMAT, list(self._readings.values())))

    def apply(self, estimate: Estimate, *, model: str, engine: str) -> Estimate:
        """``estimate`` with what was measured of this load, or of others of the same model."""
        key = _Key.of(estimate, model, engine)
        exact = self._readings.get(key)
        readings = (
            [exact]
            if exact is not None
            else [r for r in self._readings.values() if r.key.like(key)]
        )
        vram = _beyond(
            [(r.growing_vram, r.beyond_vram) for r in readings if r.beyond_vram is not None],
            estimate.gpu,
        )
        ram = _beyond(
            [(r.growing_ram, r.beyond_ram) for r in readings if r.beyond_ram is not None],
            estimate.ram,
        )
        if (ram if estimate.device == CPU else vram) is None:
            return estimate
        return replace(
            estimate,
            correction_vram_bytes=vram or 0,
            correction_ram_bytes=ram or 0,
            basis=Basis.SCALED if exact is None else Basis.MEASURED,
            # Doubts about the formula that a measurement has settled.
            notes=() if exact is not None else estimate.notes,
        )


def fingerprint(path: Path) -> str:
    """What identifies a model's file, or the weights in its folder, without reading them: name,
    size, time of change. Raises ``OSError``."""
    found = [path] if path.is_file() else sorted(path.glob("*.safetensors")) or [path]
    stats = [each.stat() for each in found]
    newest = max(stat.st_mtime_ns for stat in stats)
    return f"{path.name}:{sum(stat.st_size for stat in stats)}:{newest}"


def runner_ram_bytes(
    pid: int, traits: EngineTraits[F], file: Path, files: F, estimate: Estimate
) -> int | None:
    """RAM that the runner ``pid`` needs, as far as the system shows: its proportional set size,
    less what its engine could do without. None when the system does not show it. Reads ``/proc``
    (milliseconds): run it in a thread."""
    try:
        process = psutil.Process(pid)
        whole = int(process.memory_full_info().pss)
        mapped = sum(int(m.pss) for m in process.memory_maps() if m.path == str(file))
    except (psutil.Error, OSError, AttributeError):  # the last where a system has no such figure
        return None
    return whole - traits.spare_bytes(whole, mapped, files, estimate)


def _growing(parts: Parts) -> int:
    return parts.kv_bytes + parts.compute_bytes


def _beyond(readings: list[tuple[int, int]], parts: Parts) -> int | None:
    """The correction for ``parts``; ``readings``: (growing bytes, measured minus formula)."""
    if not readings:
        return None
    here = _growing(parts)
    nearest = sorted(readings, key=lambda each: abs(each[0] - here))
    (at, value), *others = nearest
    second = next((each for each in others if each[0] != at), None)
    slope = 0.0
    if second is not None:
        slope = (second[1] - value) / (second[0] - at)
        slope = max(-MAX_SLOPE, min(MAX_SLOPE, slope))
    certain = parts.weights_bytes + parts.kv_bytes
    return max(round(value + slope * (here - at)), certain - parts.total_bytes)
