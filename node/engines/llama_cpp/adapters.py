"""LoRA adapters: small GGUF files that change a model while it is loaded with them."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp as llama

from mesh.errors import ConfigError, ModelFileError
from node.engines.base import ModelSpec
from node.engines.llama_cpp.loading import last_error
from node.models.catalogue import GgufFacts
from node.models.gguf_header import read_header

MOST_ADAPTERS = 8


@dataclass(frozen=True, slots=True)
class Adapter:
    path: Path
    scale: float


def adapters_of(spec: ModelSpec) -> tuple[Adapter, ...]:
    """What the option ``lora`` asks for. Raises ``ConfigError``."""
    option = spec.options.get("lora", [])
    if not isinstance(option, list | tuple) or len(option) > MOST_ADAPTERS:
        raise ConfigError(
            f"model '{spec.id}': option 'lora' must be a list of at most {MOST_ADAPTERS} tables "
            f"such as {{path = 'adapter.gguf', scale = 1.0}}, not {option!r}"
        )
    return tuple(_adapter(spec, entry) for entry in option)


def _adapter(spec: ModelSpec, entry: Any) -> Adapter:
    path = entry.get("path") if isinstance(entry, dict) else None
    scale = entry.get("scale", 1.0) if isinstance(entry, dict) else None
    if (
        not isinstance(path, str)
        or not path
        or isinstance(scale, bool)
        or not isinstance(scale, int | float)
        or not math.isfinite(scale)
        or set(entry) - {"path", "scale"}
    ):
        raise ConfigError(
            f"model '{spec.id}': option 'lora': each adapter is a table such as "
            f"{{path = 'adapter.gguf', scale = 1.0}}, not {entry!r}"
        )
    return Adapter(Path(path).expanduser(), float(scale))


def check(adapters: Sequence[Adapter], facts: GgufFacts, source: str) -> None:
    """What can be known to be wrong before llama.cpp sees the files. Raises ``ModelFileError``."""
    for adapter in adapters:
        header = read_header(adapter.path)
        kind = header.values.get("adapter.type")
        if kind != "lora":
            raise ModelFileError(
                f"{adapter.path} is no LoRA adapter; make one with llama.cpp's "
                "convert_lora_to_gguf.py"
            )
        architecture = header.values.get("general.architecture")
        if architecture != facts.architecture:
            raise ModelFileError(
                f"the adapter {adapter.path} is for architecture '{architecture}' and {source} is "
                f"'{facts.architecture}'; use one made for this model"
            )


def open_adapters(adapters: Sequence[Adapter], model: Any, source: str) -> list[Any]:
    """Live adapters, which the model frees with itself; to be opened before its context. Raises
    ``ModelFileError``: tensors of another shape, so of another vocabulary or width."""
    opened = []
    for adapter in adapters:
        handle = llama.llama_adapter_lora_init(model, str(adapter.path).encode())
        if not handle:
            raise ModelFileError(
                f"the adapter {adapter.path} does not fit {source}: "
                f"{last_error() or 'llama.cpp gives no reason'}; use one made for this model"
            )
        opened.append(handle)
    return opened


def apply(adapters: Sequence[Adapter], opened: Sequence[Any], context: Any, source: str) -> None:
    """From now on ``context`` computes with them. Raises ``ModelFileError``."""
    if not opened:
        return
    handles = (llama.llama_adapter_lora_p_ctypes * len(opened))(*opened)
    scales = (ctypes.c_float * len(opened))(*(adapter.scale for adapter in adapters))
    if llama.llama_set_adapters_lora(context, handles, len(opened), scales) != 0:
        raise ModelFileError(f"llama.cpp cannot use the adapters of {source} together")
