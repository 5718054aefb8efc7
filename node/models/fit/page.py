"""The sums of one load, for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import msgspec

from node.engines.estimate import CPU, Parts
from node.models.fit.plan import Fit, FitGrade, mebibytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a model's files say of it. ``numbers``: its quantisation, or the format that it computes
    in. ``parameters`` and ``context_length`` (tokens): 0 where the files do not say."""

    file: str
    engine: str
    name: str
    architecture: str
    numbers: str
    parameters: int
    context_length: int


def data(model: Described, found: Fit) -> bytes:
    """Fields are added, never renamed. Sizes in bytes, contexts in tokens a slot."""
    load = found.estimate
    return msgspec.json.encode(
        {
            "file": model.file,
            "model": model.name,
            "engine": model.engine,
            "architecture": model.architecture,
            "quantisation": model.numbers,
            "parameters": model.parameters,
            "trained_context": model.context_length,
            "outcome": found.outcome,
            "device": "cpu" if load.device == CPU else "gpu",
            "context_length": load.context_length,
            "slots": load.slots,
            "kv_type": load.kv_type,
            "layers": load.layers,
            "gpu_layers": load.gpu_layers,
            "offload": load.offload,
            "gpu": _sums(load.gpu),
            "ram": _sums(load.ram),
            "kv_slot_bytes": load.kv_slot_bytes,
            "vram_bytes": load.vram_bytes,
            "ram_bytes": load.ram_bytes,
            "free_bytes": found.free_bytes,
            "left_bytes": found.left_bytes,
            "fits": {
                "largest_context": found.largest_context,
                "most_slots": found.most_slots,
                "gpu_layers": found.gpu_layers,
            },
            "reason": found.reason,
            "notes": load.notes,
        }
    )


def _sums(parts: Parts) -> dict[str, int]:
    return {**asdict(parts), "total_bytes": parts.total_bytes}


def table(model: Described, found: Fit) -> str:
    load = found.estimate
    about = [
        f"{model.name}: {model.architecture} {model.numbers}",
        *([f"{model.parameters / 1e9:.2f} billion parameters"] if model.parameters else []),
        f"{load.layers} layers",
        *([f"trained for {model.context_length:,} tokens"] if model.context_length else []),
    ]
    lines = [
        ", ".join(about),
        f"engine {model.engine}, {load.slots} slots of {load.context_length:,} tokens, "
        f"cache in {load.kv_type}, {load.offload}",
        "",
    ]
    columns = [("RAM", load.ram)] if load.device == CPU else [("VRAM", load.gpu), ("RAM", load.ram)]
    lines.append(f"{'':16}" + "".join(f"{name:>14}" for name, _ in columns))
    rows = [
        ("weights", [parts.weights_bytes for _, parts in columns]),
        ("cache", [parts.kv_bytes for _, parts in columns]),
        ("compute", [parts.compute_bytes for _, parts in columns]),
        ("overhead", [parts.overhead_bytes for _, parts in columns]),
        ("total", [parts.total_bytes for _, parts in columns]),
        ("free", [found.free_bytes]),
        ("left", [found.left_bytes]),
    ]
    if load.device != CPU and found.ram_free_bytes is not None:
        rows[-2][1].append(found.ram_free_bytes)
        rows[-1][1].append(found.ram_free_bytes - load.ram_bytes)
    lines += [
        f"{name:16}" + "".join(f"{mebibytes(size):>14}" for size in sizes) for name, sizes in rows
    ]
    lines += ["", f"cache a slot: {mebibytes(load.kv_slot_bytes)}"]
    if found.largest_context:
        lines.append(
            f"largest context that fits: {found.largest_context:,} tokens with {load.slots} slots"
        )
    if found.most_slots:
        lines.append(
            f"slots that fit: {found.most_slots} of {load.context_length:,} tokens "
            "(64 are the most)"
        )
    verdict = "it fits" if found.outcome is FitGrade.FITS else f"it does not fit; {found.remedy}"
    lines += [verdict, *(f"note: {note}" for note in load.notes)]
    return "\n".join(lines)
