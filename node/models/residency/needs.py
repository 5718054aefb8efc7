"""What one model would take, on which device, and why there: from settings, file and GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mesh.errors import ConfigError, ModelFileError
from mesh.fleet.records import Gpu
from mesh.settings.model import ModelSettings
from node.engines.base import ModelSpec
from node.engines.llama_cpp.speculation import speculation_of
from node.models.fit import Corrections, Estimate, Wants, engine_version, fingerprint, fit, need
from node.models.fit.estimate import DEFAULT_BATCH
from node.models.fit.folder import Load, fit_folder, need_folder
from node.models.fit.folder_engine import load_of
from node.models.prepared import Prepared
from node.models.residency.state import CPU, Device, Option, Takes
from node.models.safetensors_folder import FolderFacts

GPU_PREFIXES = ("GPU-", "MIG-")  # of UUIDs, in the option ``device``
CUDA = "cuda"  # the same option, as PyTorch writes it: ``cuda``, ``cuda:1``
GPU_ONLY = frozenset({"exllamav2"})
DEFAULT_KV = "f16"
ABOUT_THE_RUNNER = frozenset({"cpus"})  # options that never reach an engine
PACKAGES = {"llama_cpp": "llama-cpp-python"}  # that an engine's version is of
# Engines that take no memory to speak of, and what the record says of it.
ELSEWHERE = {"openai": "not estimated: the upstream has the model", "tools": "", "simulated": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """``note``: why it is where it is, for the record. ``estimates``: by device, for models whose
    file says what they take. ``fingerprint``: of that file, ``engine_version``: of what loads it.
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
    places, note, for_gpu = _places(settings, gpus, accelerator)
    if prepared.gguf is None and prepared.folder is None:
        return _unestimated(settings, places)
    known = _fingerprint(prepared)
    version = engine_version(settings.engine, PACKAGES.get(settings.engine, settings.engine))
    estimates: dict[str, Estimate] = {}
    options = []
    for gpu in places:
        device = CPU if gpu is None else gpu.uuid
        estimate = corrections.apply(
            _estimate(prepared, settings, gpu), model=known, engine=version
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
        engine_version=version,
        for_gpu=for_gpu,
    )


def _unestimated(settings: ModelSettings, places: Sequence[Gpu | None]) -> Needs:
    size = settings.memory_bytes or 0
    if size:
        # Where an engine puts what it loads is its own business but for what its options say.
        at = next((gpu.uuid for gpu in places if gpu is not None), CPU)
        at = CPU if settings.options.get("device") is None else at
        return Needs(options=(Option(device=at, takes=((at, size),)),))
    note = ELSEWHERE.get(settings.engine)
    if note is None:
        note = (
            f"not estimated: engine {settings.engine} cannot tell what it takes before it loads, "
            "and nothing is reserved for it; set memory_bytes"
        )
    return Needs(options=(Option(device=""),), note=note)


def _estimate(prepared: Prepared, settings: ModelSettings, gpu: Gpu | None) -> Estimate:
    spec, device = prepared.spec, CPU if gpu is None else gpu.uuid
    capability = None if gpu is None else gpu.compute_capability
    if prepared.folder is not None:
        return need_folder(
            prepared.folder,
            _folder_load(prepared.folder, settings.engine, spec, device, capability),
            context_length=spec.context_length,
            slots=spec.slots,
            device=device,
            compute_capability=capability,
        )
    if prepared.gguf is None:
        raise ConfigError(f"model '{spec.id}' says nothing of its size; set memory_bytes")
    wants = wants_of(prepared)
    return need(
        prepared.gguf,
        context_length=wants.context_length,
        slots=wants.slots,
        gpu_layers=0 if gpu is None else wants.gpu_layers,
        device=device,
        kv_type=wants.kv_type,
        batch=wants.batch,
        outputs_per_slot=wants.outputs_per_slot,
        adapters_bytes=wants.adapters_bytes,
        compute_capability=capability,
        embeds=wants.embeds,
    )


def _folder_load(
    facts: FolderFacts, engine: str, spec: ModelSpec, device: str, capability: str | None
) -> Load:
    own = {name: value for name, value in spec.options.items() if name not in ABOUT_THE_RUNNER}
    spec = replace(spec, options=own)
    return load_of(facts, engine, spec, device=device, compute_capability=capability)


def _fingerprint(prepared: Prepared) -> str:
    """Raises ``OSError``."""
    if prepared.folder is not None:
        return prepared.folder.mark
    return fingerprint(Path(prepared.file))


def sums(
    settings: ModelSettings,
    prepared: Prepared,
    needs: Needs,
    device: Device,
    gpu: Gpu | None,
    corrections: Corrections,
) -> str:
    """Why it does not fit an empty ``device``, with the sums and what would fit, in one line."""
    spec = prepared.spec
    capability = None if gpu is None else gpu.compute_capability

    def correct(load: Estimate) -> Estimate:
        return corrections.apply(load, model=needs.fingerprint, engine=needs.engine_version)

    if prepared.gguf is not None:
        return fit(
            prepared.gguf,
            device.total_bytes,
            wants_of(prepared),
            device=device.id,
            compute_capability=capability,
            correct=correct,
        ).reason
    facts = prepared.folder
    if facts is None:
        return f"it takes more than {device.id} has; set a smaller memory_bytes"
    return fit_folder(
        facts,
        _folder_load(facts, settings.engine, spec, device.id, capability),
        device.total_bytes,
        context_length=spec.context_length,
        slots=spec.slots,
        device=device.id,
        compute_capability=capability,
        correct=correct,
    ).reason


def wants_of(prepared: Prepared) -> Wants:
    """What the engine is going to be asked for. Options that mean nothing count as not there: the
    engine says what is wrong with them. Raises ``ConfigError`` for bad speculation."""
    spec = prepared.spec
    batch, kind = spec.options.get("batch"), spec.options.get("kv_type")
    guesses = speculation_of(spec)
    return Wants(
        context_length=spec.context_length,
        slots=spec.slots,
        gpu_layers=spec.gpu_layers,
        kv_type=kind if isinstance(kind, str) else DEFAULT_KV,
        batch=batch if isinstance(batch, int) and batch > 0 else DEFAULT_BATCH,
        outputs_per_slot=1 + (guesses.draft if guesses is not None else 0),
        adapters_bytes=_adapters_bytes(spec.options.get("lora")),
        embeds=prepared.embeds,
    )


def _adapters_bytes(option: object) -> int:
    """Of the LoRA files, which are in memory whole."""
    total = 0
    for entry in option if isinstance(option, list | tuple) else ():
        path = entry.get("path") if isinstance(entry, dict) else None
        if isinstance(path, str):
            with suppress(OSError, RuntimeError, ValueError):
                total += Path(path).expanduser().stat().st_size
    return total


def _places(
    settings: ModelSettings, gpus: Sequence[Gpu], accelerator: str
) -> tuple[list[Gpu | None], str, bool]:
    """GPUs in the order to try, None for the CPU; the note; and whether it is meant for a GPU.
    Raises ``ModelFileError``: what is meant for one is not loaded on the CPU in silence."""
    wanted = settings.options.get("device")
    if settings.gpu_layers == 0 or wanted == CPU:
        return [None], "", False
    usable: list[Gpu | None] = [gpu for gpu in gpus if gpu.error is None and _meant(gpu, wanted)]
    if usable:
        allowed = settings.allow_cpu and settings.engine not in GPU_ONLY
        return [*usable, *([None] if allowed else [])], "", True
    asked = ""
    if isinstance(wanted, str) and wanted.startswith(GPU_PREFIXES):
        asked = f"GPU {wanted} is not on this node"
    elif isinstance(wanted, str) and wanted.startswith(CUDA):
        asked = f"device = '{wanted}' asks for a GPU, which this node has not"
    elif settings.gpu_layers > 0:
        asked = f"gpu_layers = {settings.gpu_layers} asks for a GPU, which this node has not"
    elif gpus:
        asked = "no GPU of this node is usable"
    if asked and not settings.allow_cpu:
        raise ModelFileError(
            f"{asked} ({accelerator}); set gpu_layers = 0, or allow_cpu = true, to run it on the "
            "CPU"
        )
    return [None], f"on the CPU: {asked + ': ' if asked else ''}{accelerator}", bool(asked)


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
