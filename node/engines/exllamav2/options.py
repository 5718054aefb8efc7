"""Options of engine ``exllamav2``, checked before the library and its GPU are touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mesh.errors import ConfigError, ModelFileError
from node.engines.base import ModelSpec
from node.engines.options import check_sizes, options_of

PAGE = 256  # tokens; the library's PAGED_PAGE_SIZE
_LARGEST_BATCH = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class ExLlamaV2Options:
    """``kv_type``: of the cache's numbers. ``device``: the GPU's UUID; the agent shows the runner
    only that one. ``batch``: tokens of prefill at a time, a multiple of 256, at most 2048."""

    kv_type: Literal["f16", "q8", "q6", "q4"] = "f16"
    device: str = ""
    batch: int = 512


def read_options(spec: ModelSpec) -> ExLlamaV2Options:
    """Raises ``ConfigError``, and ``ModelFileError`` for slots, a context or a device that cannot
    be."""
    options = options_of(spec, "exllamav2", ExLlamaV2Options)
    if options.batch % PAGE or not PAGE <= options.batch <= _LARGEST_BATCH:
        raise ConfigError(
            f"model '{spec.id}': option 'batch' must be a multiple of {PAGE} up to "
            f"{_LARGEST_BATCH} tokens, not {options.batch}"
        )
    check_sizes(spec)
    if spec.gpu_layers != -1 or options.device == "cpu":
        raise ModelFileError(
            f"model '{spec.id}': engine exllamav2 has all layers on a CUDA GPU; leave gpu_layers "
            "at -1, or use engine llama_cpp for the CPU"
        )
    return options


def cache_tokens(spec: ModelSpec) -> int:
    """Of the generator's one cache: whole pages for every slot, so that none waits for another."""
    return spec.slots * -(-spec.context_length // PAGE) * PAGE
