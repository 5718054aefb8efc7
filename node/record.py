"""What a node says of itself: its state, its heartbeat, and when to write. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mesh.cleaned import cleaned
from mesh.fleet.records import Cpu, Gpu, Memory, ModelRecord, ModelState, NodeRecord, NodeState

WORDS_CHARS = 1_000
MIB = 1024 * 1024
VRAM_STEP_BYTES = 64 * MIB
VRAM_STEP_SHARE = 0.01
VRAM_EVERY_S = 1.0  # writes for VRAM alone, at most
SLOW_EVERY_S = 10.0  # writes for memory, load and sensors alone, at most
NO_MODEL_REASON = "waits for models: it has none"
DRAINING_REASON = "draining: finishes what it has, takes nothing new"


@dataclass(frozen=True, slots=True)
class Status:
    """``reason``: why the node takes no work, "" when it does."""

    state: NodeState
    reason: str = ""


def status(
    models: Sequence[ModelRecord], *, draining: bool, waits: str = NO_MODEL_REASON
) -> Status:
    """A node is as good as its best model: one that works makes it ready. ``waits``: what for,
    where it has none."""
    if draining:
        return Status(NodeState.DRAINING, DRAINING_REASON)
    if not models:
        return Status(NodeState.STARTING, waits)
    states = {model.state for model in models}
    if states & {ModelState.RESIDENT, ModelState.COLD}:
        return Status(NodeState.READY)
    if ModelState.LOADING in states:
        loading = ", ".join(
            f"{m.id} ({m.error})" if m.error else m.id
            for m in models
            if m.state is ModelState.LOADING
        )
        return Status(NodeState.STARTING, f"loading {loading}")
    causes = "; ".join(f"{m.id}: {m.error or 'failed'}" for m in models)
    return Status(NodeState.FAILED, f"no model works: {causes}")


def bounded(record: NodeRecord) -> NodeRecord:
    """The record with texts as long as others read them: an engine's last words may be pages."""
    return replace(
        record,
        reason=cleaned(record.reason, WORDS_CHARS),
        accelerator=cleaned(record.accelerator, WORDS_CHARS),
        models=tuple(
            replace(
                model,
                error=None if model.error is None else cleaned(model.error, WORDS_CHARS),
                last_error=cleaned(model.last_error, WORDS_CHARS),
                note=cleaned(model.note, WORDS_CHARS),
            )
            for model in record.models
        ),
    )


def due(new: NodeRecord, written: NodeRecord | None, age_s: float) -> bool:
    """Whether ``new`` is worth a registry write, ``age_s`` seconds after the last one.

    State, models and errors: at once. VRAM: when it moved, at most once a second. Memory, load and
    sensors: when they moved, at most every ten seconds. Used slots never: heartbeats carry them.
    """
    if written is None or _essence(new) != _essence(written):
        return True
    if age_s >= VRAM_EVERY_S and _vram_moved(new.gpus, written.gpus):
        return True
    return age_s >= SLOW_EVERY_S and (
        _memory_moved(new.memory, written.memory)
        or _load_moved(new.cpu, written.cpu)
        or _sensors_moved(new.gpus, written.gpus)
    )


def _essence(record: NodeRecord) -> NodeRecord:
    """The record without all that moves by itself."""
    return replace(
        record,
        models=tuple(replace(model, used_slots=0) for model in record.models),
        gpus=tuple(_still(gpu) for gpu in record.gpus),
        cpu=None if record.cpu is None else replace(record.cpu, load=None),
        memory=None,
        updated_at=0.0,
    )


def _still(gpu: Gpu) -> Gpu:
    return replace(
        gpu,
        used_bytes=0,
        free_bytes=0,
        temperature_c=None,
        power_w=None,
        utilisation=None,
    )


def _vram_moved(new: Sequence[Gpu], written: Sequence[Gpu]) -> bool:
    return any(
        abs(a.free_bytes - b.free_bytes) >= min(VRAM_STEP_BYTES, VRAM_STEP_SHARE * a.total_bytes)
        and a.free_bytes != b.free_bytes
        for a, b in zip(new, written, strict=True)
    )


def _memory_moved(new: Memory | None, written: Memory | None) -> bool:
    if new is None or written is None:
        return new != written
    moved = abs(new.available_bytes - written.available_bytes)
    return new.total_bytes != written.total_bytes or moved >= 0.01 * new.total_bytes


def _load_moved(new: Cpu | None, written: Cpu | None) -> bool:
    return _moved(new.load if new else None, written.load if written else None, 0.1)


def _sensors_moved(new: Sequence[Gpu], written: Sequence[Gpu]) -> bool:
    return any(
        _moved(a.temperature_c, b.temperature_c, 3.0)
        or _moved(a.power_w, b.power_w, 10.0)
        or _moved(a.utilisation, b.utilisation, 0.1)
        for a, b in zip(new, written, strict=True)
    )


def _moved(new: float | None, written: float | None, step: float) -> bool:
    if new is None or written is None:
        return new is not written
    return abs(new - written) >= step
