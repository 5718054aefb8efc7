"""What one model would take, on which device, and why there: from settings, file and GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mesh.config import ModelSettings
from mesh.errors import ModelFileError
from mesh.records import Gpu
from node.catalogue import GgufFacts
from node.engines.base import ModelSpec
from node.fit import Corrections, Estimate, Wants, engine_version, fingerprint, fit, need
from node.residency.state import CPU, Device, Option, Takes

GPU_PREFIXES = ("GPU-", "MIG-")  # of UUIDs, in the option ``device``
DEFAULT_KV = "f16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """``note``: why it is where it is, for the record. ``estimates``: by device, for models whose
    file says what they take. ``fingerprint``: of that file."""

    options: tuple[Option, ...]
    note: str = ""
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    fingerprint: str = ""

    def estimated(self, device: str) -> int:
        """Bytes on ``device``; before it is chosen, on the preferred one."""
        for option in self.options:
            if option.device == device or not device:
                return option.bytes
        return 0


def needs(
    settings: ModelSettings,
    spec: ModelSpec,
    facts: GgufFacts | None,
    *,
    gpus: Sequence[Gpu],
    accelerator: str,
    corrections: Corrections,
) -> Needs:
    """The ways to load the model. ``facts``: None for engines whose source is no GGUF file; they
    are planned by ``memory_bytes``. ``accelerator``: the probe's words on GPUs.

    Raises ``ModelFileError`` for a GPU that is asked for and not there, and ``ConfigError`` for a
    context or slots that the model cannot have.
    """
    places, note = _places(settings, gpus, accelerator)
    if facts is None:
        size = settings.memory_bytes or 0
        if not size:
            return Needs(options=(Option(device=""),))
        # Where an engine puts what it loads is its own business but for what its options say.
        at = next((gpu.uuid for gpu in places if gpu is not None), CPU)
        wanted = settings.options.get("device")
        at = CPU if wanted in (None, CPU) else at
        return Needs(options=(Option(device=at, takes=((at, size),)),))
    known = fingerprint(Path(spec.source))
    engine = engine_version(settings.engine)
    estimates: dict[str, Estimate] = {}
    options = []
    for gpu in places:
        device = CPU if gpu is None else gpu.uuid
        estimate = corrections.apply(
            need(
                facts,
                context_length=spec.context_length,
                slots=spec.slots,
                gpu_layers=0 if gpu is None else spec.gpu_layers,
                device=device,
                kv_type=_kv_type(settings),
                compute_capability=None if gpu is None else gpu.compute_capability,
            ),
            model=known,
            engine=engine,
        )
        estimates[device] = estimate
        size = estimate.device_bytes if settings.memory_bytes is None else settings.memory_bytes
        takes: Takes = ((device, size),)
        if gpu is not None:
            takes = (*takes, (CPU, estimate.ram_bytes))
        options.append(Option(device=device, takes=takes))
    return Needs(options=tuple(options), note=note, estimates=estimates, fingerprint=known)


def sums(
    settings: ModelSettings, spec: ModelSpec, facts: GgufFacts, option: Option, device: Device
) -> str:
    """Why it does not fit an empty ``device``, with the sums and what would fit, in one line."""
    verdict = fit(
        facts,
        device.total_bytes,
        Wants(
            context_length=spec.context_length,
            slots=spec.slots,
            gpu_layers=spec.gpu_layers,
            kv_type=_kv_type(settings),
        ),
        device=option.device,
    )
    return verdict.reason


def _places(
    settings: ModelSettings, gpus: Sequence[Gpu], accelerator: str
) -> tuple[list[Gpu | None], str]:
    """GPUs in the order to try, None for the CPU, and the note. Raises ``ModelFileError``: a model
    that is meant for a GPU is not loaded on the CPU in silence."""
    if settings.gpu_layers == 0:
        return [None], ""
    wanted = settings.options.get("device")
    named = isinstance(wanted, str) and wanted.startswith(GPU_PREFIXES)
    usable: list[Gpu | None] = [
        gpu for gpu in gpus if gpu.error is None and (not named or gpu.uuid == wanted)
    ]
    if usable:
        return ([*usable, None], "") if settings.allow_cpu else (usable, "")
    asked = ""
    if named:
        asked = f"GPU {wanted} is not on this node"
    elif settings.gpu_layers > 0:
        asked = f"gpu_layers = {settings.gpu_layers} asks for a GPU, which this node has not"
    elif gpus:
        asked = "no GPU of this node is usable"
    if asked and not settings.allow_cpu:
        raise ModelFileError(
            f"{asked} ({accelerator}); set gpu_layers = 0, or allow_cpu = true, to run it on the "
            "CPU"
        )
    return [None], f"on the CPU: {asked + ': ' if asked else ''}{accelerator}"


def _kv_type(settings: ModelSettings) -> str:
    kind = settings.options.get("kv_type", DEFAULT_KV)
    return kind if isinstance(kind, str) else DEFAULT_KV
