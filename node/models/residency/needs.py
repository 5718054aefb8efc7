"""What one model would take, on which device, and why there: from settings, file and GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mesh.errors import ModelFileError
from mesh.fleet.records import Gpu
from mesh.settings.model import ModelSettings
from node.engines.base import ModelSpec
from node.engines.estimate import CPU, Estimate
from node.engines.registry import traits_of
from node.engines.traits import EngineTraits, Target
from node.models.fit import Corrections, fingerprint, fit
from node.models.prepared import Prepared
from node.models.residency.state import Device, Option, Takes

GPU_PREFIXES = ("GPU-", "MIG-")  # of UUIDs, in the option ``device``
HEADROOM_BYTES = 2 * 1024**3
CUDA = "cuda"  # the same option, as PyTorch writes it: ``cuda``, ``cuda:1``
ABOUT_THE_RUNNER = frozenset({"cpus"})  # options that never reach an engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """``note``: why it is where it is, for the record. ``estimates``: by device, for models whose
    files say what they take. ``fingerprint``: of these, ``engine_version``: of what loads them.
    ``for_gpu``: that is where it is meant to be, whether or not it can."""

    options: tuple[Option, ...]
    note: str = ""
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    fingerprint: str = ""
    engine_version: str = ""
    for_gpu: bool = False

    def estimated(self, device: str) -> int:
        """Bytes on ``device``; before it is chosen, on the preferred one."""
        for option in self.options:
            if option.device == device or not device:
                return option.bytes
        return 0


def needs(
    settings: ModelSettings,
    prepared: Prepared,
    *,
    gpus: Sequence[Gpu],
    accelerator: str,
    corrections: Corrections,
) -> Needs:
    """The ways to load the model. What its file does not say is planned by ``memory_bytes``.
    ``accelerator``: the probe's words on GPUs.

    Raises ``ModelFileError`` for a GPU that is asked for and not there, and ``ConfigError`` for a
    context, slots or an option that the model cannot have; ``OSError`` for a file that is gone.
    """
    traits = traits_of(settings.engine)
    places, note, for_gpu = _places(settings, traits, gpus, accelerator)
    if prepared.files is None:
        return _unestimated(settings, traits, places)
    spec, known = _for_engine(prepared.spec), fingerprint(Path(prepared.file))
    estimates: dict[str, Estimate] = {}
    options = []
    for gpu in places:
        device = CPU if gpu is None else gpu.uuid
        estimate = corrections.apply(
            traits.estimate(spec, prepared.files, _target(device, gpu)),
            model=known,
            engine=traits.version,
        )
        estimates[device] = estimate
        size = estimate.device_bytes if settings.memory_bytes is None else settings.memory_bytes
        takes: Takes = ((device, size),)
        if gpu is not None:
            takes = (*takes, (CPU, estimate.ram_bytes))
        options.append(Option(device=device, takes=takes))
    return Needs(
        options=tuple(options),
        note=note,
        estimates=estimates,
        fingerprint=known,
        engine_version=traits.version,
        for_gpu=for_gpu,
    )


def ram_bytes(settings: ModelSettings, found: Needs | None, device: str) -> int | None:
    """What a load on ``device`` takes of the box's memory, as far as that is known."""
    estimate = found.estimates.get(device) if found is not None else None
    return settings.memory_bytes if estimate is None else estimate.ram_bytes


def most_bytes(taken: int | None) -> int | None:
    """What a runner may take of its own before it is killed: half as much again as was estimated,
    and enough for what an engine needs for a moment. None: nothing was estimated."""
    return None if taken is None else taken + max(HEADROOM_BYTES, taken // 2)


def _unestimated(
    settings: ModelSettings, traits: EngineTraits[Any], places: Sequence[Gpu | None]
) -> Needs:
    size = settings.memory_bytes or 0
    if size:
        # Where an engine puts what it loads is its own business but for what its options say.
        at = next((gpu.uuid for gpu in places if gpu is not None), CPU)
        at = CPU if settings.options.get("device") is None else at
        return Needs(options=(Option(device=at, takes=((at, size),)),))
    note = traits.memory_note
    if note is None:
        note = (
            f"not estimated: engine {settings.engine} cannot tell what it takes before it loads, "
            "and nothing is reserved for it; set memory_bytes"
        )
    return Needs(options=(Option(device=""),), note=note)


def _for_engine(spec: ModelSpec) -> ModelSpec:
    own = {name: value for name, value in spec.options.items() if name not in ABOUT_THE_RUNNER}
    return replace(spec, options=own)


def _target(device: str, gpu: Gpu | None) -> Target:
    capability = None if gpu is None else gpu.compute_capability
    return Target(device=device, compute_capability=capability)


def sums(
    settings: ModelSettings,
    prepared: Prepared,
    needs: Needs,
    device: Device,
    gpu: Gpu | None,
    corrections: Corrections,
) -> str:
    """Why it does not fit an empty ``device``, with the sums and what would fit, in one line."""

    def correct(load: Estimate) -> Estimate:
        return corrections.apply(load, model=needs.fingerprint, engine=needs.engine_version)

    if prepared.files is None:
        return f"it takes more than {device.id} has; set a smaller memory_bytes"
    return fit(
        traits_of(settings.engine),
        _for_engine(prepared.spec),
        prepared.files,
        device.total_bytes,
        _target(device.id, gpu),
        correct=correct,
    ).reason


def _places(
    settings: ModelSettings, traits: EngineTraits[Any], gpus: Sequence[Gpu], accelerator: str
) -> tuple[list[Gpu | None], str, bool]:
    """GPUs in the order to try, None for the CPU; the note; and whether it is meant for a GPU.
    Raises ``ModelFileError``: what is meant for one is not loaded on the CPU in silence."""
    wanted = settings.options.get("device")
    if settings.gpu_layers == 0 or wanted == CPU:
        return [None], "", False
    usable: list[Gpu | None] = [gpu for gpu in gpus if gpu.error is None and _meant(gpu, wanted)]
    gap = traits.gpu_gap() if usable else ""
    if usable and not gap:
        allowed = settings.allow_cpu and not traits.needs_gpu
        return [*usable, *([None] if allowed else [])], "", True
    asked = "" if usable and wanted is None and settings.gpu_layers < 1 else "it is meant for a GPU"
    if not usable:
        asked = _missing(settings, wanted, gpus)
    accelerator = gap or accelerator
    if asked and not settings.allow_cpu:
        raise ModelFileError(
            f"{asked} ({accelerator}); set gpu_layers = 0, or allow_cpu = true, to run it on the "
            "CPU"
        )
    return [None], f"on the CPU: {asked + ': ' if asked else ''}{accelerator}", bool(asked)


def _missing(settings: ModelSettings, wanted: object, gpus: Sequence[Gpu]) -> str:
    """What a model asks for that this node has not, "" where it asks for nothing."""
    if isinstance(wanted, str) and wanted.startswith(GPU_PREFIXES):
        return f"GPU {wanted} is not on this node"
    if isinstance(wanted, str) and wanted.startswith(CUDA):
        return f"device = '{wanted}' asks for a GPU, which this node has not"
    if settings.gpu_layers > 0:
        return f"gpu_layers = {settings.gpu_layers} asks for a GPU, which this node has not"
    return "no GPU of this node is usable" if gpus else ""


def _meant(gpu: Gpu, wanted: object) -> bool:
    """Whether the option ``device`` may mean this one: its UUID, or as PyTorch counts them."""
    if not isinstance(wanted, str):
        return True
    if wanted.startswith(GPU_PREFIXES):
        return gpu.uuid == wanted
    _, colon, number = wanted.partition(":")
    if wanted.startswith(CUDA) and colon and number.isdigit():
        return gpu.index == int(number)
    return True
