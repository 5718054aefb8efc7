"""What a Hugging Face folder comes to in the engine that loads it, from that engine's options."""

from __future__ import annotations

from node.engines.base import ModelSpec
from node.engines.exllamav2 import options as exllamav2
from node.engines.torch import options as torch
from node.models.fit.estimate import CPU
from node.models.fit.folder import Load, exllamav2_load, torch_load
from node.models.safetensors_folder import FolderFacts

_NEWEST = (99, 0)


def load_of(
    facts: FolderFacts, engine: str, spec: ModelSpec, *, device: str, compute_capability: str | None
) -> Load:
    """``engine``: ``torch`` or ``exllamav2``; ``device``: ``cpu`` or a GPU's name. Raises what the
    engine would for its options."""
    if engine == "exllamav2":
        wanted = exllamav2.read_options(spec)
        return exllamav2_load(facts, wanted.kv_type, wanted.batch)
    options = torch.read_options(spec)
    at = torch.Place()
    if device != CPU:
        at = torch.Place(label=device, capability=_capability(compute_capability))
    return torch_load(facts, torch.number_format(spec, options, at, facts.dtype), options.batch)


def _capability(said: str | None) -> tuple[int, int]:
    """Of a GPU that does not say, the newest: what the file is stored in is then kept."""
    major, _, minor = (said or "").partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else _NEWEST
