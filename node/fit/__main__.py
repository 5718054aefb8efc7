"""``python -m node.fit JSON``: what ``mesh models fit`` becomes; prints the sums of one load."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import msgspec

from mesh.errors import ConfigError, MeshError
from node import catalogue
from node.catalogue import GgufFacts
from node.fit.estimate import CPU, Parts
from node.fit.plan import Fit, Outcome, Wants, fit, mebibytes
from node.host import Host

GPU = "the GPU"
DEFAULT_CONTEXT = 8192  # node/models.py: what a node takes when its settings do not say
DOES_NOT_FIT = 3  # exit code


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``vram_bytes`` None: for the CPU; ``ram_bytes`` None: what this box has available."""

    file: str
    vram_bytes: int | None = None
    ram_bytes: int | None = None
    context_length: int | None = None
    slots: int = 4
    gpu_layers: int = -1
    kv_type: str = "f16"
    compute_capability: str | None = None
    as_json: bool = False


def main(argument: str) -> int:
    """Exit code 0 when it fits as wanted, 3 when not, 2 for a file or settings that are wrong."""
    try:
        query = msgspec.json.decode(argument, type=Query)
    except msgspec.DecodeError as error:
        return _complain(ConfigError(f"python -m node.fit: {error}"))
    try:
        path = catalogue.resolve(query.file)
        facts = catalogue.inspect(path)
        found = _answer(query, path, facts)
    except MeshError as error:
        return _complain(error)
    page = msgspec.json.format(_data(facts, path, found)).decode() if query.as_json else ""
    sys.stdout.write(f"{page or _table(facts, found)}\n")
    return 0 if found.outcome is Outcome.FITS else DOES_NOT_FIT


def _answer(query: Query, path: Path, facts: GgufFacts) -> Fit:
    if not facts.shape.layers or not facts.embedding_length:
        raise ConfigError(
            f"{path} does not say how many layers or how wide it is; give a GGUF language model"
        )
    on_cpu = query.vram_bytes is None
    ram = query.ram_bytes
    if on_cpu and ram is None:
        ram = Host().memory().available_bytes
    return fit(
        facts,
        (ram or 0) if query.vram_bytes is None else query.vram_bytes,
        Wants(
            context_length=query.context_length
            or min(facts.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT),
            slots=query.slots,
            gpu_layers=query.gpu_layers,
            kv_type=query.kv_type,
        ),
        device=CPU if on_cpu else GPU,
        compute_capability=query.compute_capability,
        ram_free_bytes=ram,
    )


def _complain(error: MeshError) -> int:
    sys.stderr.write(f"mesh: {' '.join(error.message.split())}\n")
    return error.exit_code


def _data(facts: GgufFacts, path: Path, found: Fit) -> bytes:
    """Fields are added, never renamed. Sizes in bytes, contexts in tokens a slot."""
    load = found.estimate
    return msgspec.json.encode(
        {
            "file": str(path),
            "model": facts.name,
            "architecture": facts.architecture,
            "quantisation": facts.quantisation,
            "parameters": facts.parameters,
            "trained_context": facts.context_length,
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


def _table(facts: GgufFacts, found: Fit) -> str:
    load = found.estimate
    trained = f", trained for {facts.context_length:,} tokens" if facts.context_length else ""
    lines = [
        f"{facts.name}: {facts.architecture} {facts.quantisation}, "
        f"{facts.parameters / 1e9:.2f} billion parameters, {load.layers} layers{trained}",
        f"{load.slots} slots of {load.context_length:,} tokens, cache in {load.kv_type}, "
        f"{load.offload}",
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
    verdict = "it fits" if found.outcome is Outcome.FITS else f"it does not fit; {found.remedy}"
    lines += [verdict, *(f"note: {note}" for note in load.notes)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "{}"))
