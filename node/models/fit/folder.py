"""What a Hugging Face folder takes once engine ``torch`` or ``exllamav2`` has loaded it.

Pure. Weights and cache are exact for models whose every layer keeps keys and values for whole
contexts; the rest is stated, and replaced by what the first load is measured to take
(``node/models/fit/measured.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mesh.errors import ConfigError
from node.models.fit import overhead
from node.models.fit.estimate import CPU, Estimate, Parts
from node.models.fit.plan import Fit, Wants, weigh
from node.models.safetensors_folder import FolderFacts

MIB = 1024 * 1024
# Python, PyTorch, transformers and our code in a runner that has loaded a model of no size:
# proportional set size, PyTorch 2.13 for CPU, x86-64 Linux, 335 MiB measured.
TORCH_BYTES = 340 * MIB
# The same with a CUDA build, whose libraries are larger. Stated, NOT MEASURED here.
TORCH_CUDA_BYTES = 1200 * MIB
# VRAM of cuBLAS' workspace and PyTorch's own kernels, beside the CUDA context. Stated likewise.
TORCH_WORKSPACE_BYTES = 160 * MIB
BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
# exllamav2/cache.py: numbers in blocks of 32 that share a 16-bit scale.
CACHE_BYTES = {"f16": 2.0, "q8": 1.0625, "q6": 0.8125, "q4": 0.5625}
PAGE = 256  # tokens of a page of exllamav2's cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """``weights_bytes``: as they are computed with. ``kv_type``: the cache's numbers, a key of
    ``BYTES`` or ``CACHE_BYTES``. ``number_bytes``: of one activation. ``batch``: tokens of one
    forward. ``padding``: what a context is rounded up to, in tokens."""

    weights_bytes: int
    kv_type: str
    number_bytes: float
    batch: int
    padding: int = 1


def torch_load(facts: FolderFacts, dtype: str, batch: int) -> Load:
    """Every floating-point tensor in ``dtype``, a key of ``BYTES``."""
    size = BYTES[dtype]
    return Load(
        weights_bytes=round(facts.numbers * size) + facts.other_bytes,
        kv_type=dtype,
        number_bytes=size,
        batch=batch,
    )


def exllamav2_load(facts: FolderFacts, kv_type: str, batch: int) -> Load:
    """Weights as they are stored; ``kv_type``: a key of ``CACHE_BYTES``."""
    return Load(
        weights_bytes=facts.file_bytes,
        kv_type=kv_type,
        number_bytes=BYTES["float16"],
        batch=batch,
        padding=PAGE,
    )


def need_folder(
    facts: FolderFacts,
    load: Load,
    *,
    context_length: int,
    slots: int,
    device: str,
    compute_capability: str | None = None,
) -> Estimate:
    """As ``node.models.fit.need``, for all layers on one ``device``. Raises ``ConfigError``."""
    check_folder(facts, context_length=context_length, slots=slots)
    each = (BYTES | CACHE_BYTES)[load.kv_type]
    cells = -(-context_length // load.padding) * load.padding
    per_slot = round(2 * each * facts.layers * facts.key_value_heads * facts.head_width * cells)
    on_gpu = device != CPU
    # On a CPU oneDNN keeps 16-bit weights a second time, in the order that it likes: measured.
    again = load.weights_bytes if not on_gpu and load.number_bytes < 4 else 0
    there = Parts(
        weights_bytes=load.weights_bytes,
        kv_bytes=slots * per_slot,
        compute_bytes=_compute_bytes(facts, load, context_length, slots) + again,
    )
    process = TORCH_CUDA_BYTES if on_gpu else TORCH_BYTES
    vram = overhead.cuda_bytes(compute_capability) + TORCH_WORKSPACE_BYTES
    alone = Parts(overhead_bytes=process)
    return Estimate(
        device=device,
        context_length=context_length,
        slots=slots,
        kv_type=load.kv_type,
        layers=facts.layers,
        gpu_layers=facts.layers + 1 if on_gpu else 0,
        gpu=_with(there, vram) if on_gpu else Parts(),
        ram=alone if on_gpu else _with(there, process),
        kv_slot_bytes=per_slot,
        notes=(overhead.cuda_note(compute_capability),) if on_gpu else (),
    )


def fit_folder(
    facts: FolderFacts,
    load: Load,
    free_bytes: int,
    *,
    context_length: int,
    slots: int,
    device: str = CPU,
    compute_capability: str | None = None,
    ram_free_bytes: int | None = None,
    correct: Callable[[Estimate], Estimate] = lambda estimate: estimate,
) -> Fit:
    """As ``node.models.fit.fit``, for all layers on one ``device``. Raises ``ConfigError``."""

    def estimate(context_length: int, slots: int, gpu_layers: int) -> Estimate:
        return correct(
            need_folder(
                facts,
                load,
                context_length=context_length,
                slots=slots,
                device=device,
                compute_capability=compute_capability,
            )
        )

    return weigh(
        facts.name,
        estimate,
        Wants(context_length=context_length, slots=slots),
        free_bytes=free_bytes,
        ram_free_bytes=ram_free_bytes,
        longest=facts.context_length or context_length,
        offload=0,
    )


def check_folder(facts: FolderFacts, *, context_length: int, slots: int) -> None:
    """Raises ``ConfigError``."""
    if slots < 1:
        raise ConfigError(f"slots must be at least 1, not {slots}")
    if context_length < 1:
        raise ConfigError(f"the context must be at least 1 token, not {context_length}")
    if facts.context_length and context_length > facts.context_length:
        raise ConfigError(
            f"a context of {context_length} tokens is more than the {facts.context_length} that "
            f"'{facts.name}' was trained for; ask for at most {facts.context_length}"
        )


def _compute_bytes(facts: FolderFacts, load: Load, context_length: int, slots: int) -> int:
    """Activations of one forward: about six tensors as wide as the model and three as its
    feed-forward part are alive at once; the mask of one slot's attention, as booleans and as
    numbers, once for each head that shares a key; and logits in f32 of a row a slot."""
    tokens = min(max(load.batch, slots), slots * context_length)
    wide = 6 * facts.embedding_length + 3 * facts.feed_forward_length
    logits = 4 * slots * facts.vocabulary
    group = max(1, facts.heads // facts.key_value_heads)
    mask = group * min(tokens, context_length) * context_length
    return round(load.number_bytes * (tokens * wide + mask)) + mask + logits


def _with(parts: Parts, overhead_bytes: int) -> Parts:
    return Parts(
        weights_bytes=parts.weights_bytes,
        kv_bytes=parts.kv_bytes,
        compute_bytes=parts.compute_bytes,
        overhead_bytes=overhead_bytes,
    )
