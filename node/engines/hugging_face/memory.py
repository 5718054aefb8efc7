"""What a Hugging Face folder takes once it is loaded into PyTorch.

Pure. Weights and cache are exact for models whose every layer keeps keys and values for whole
contexts; the rest is stated, and replaced by what the first load is measured to take
(``node/models/fit/measured.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from node.engines import cuda
from node.engines.estimate import CPU, Estimate, Parts
from node.engines.traits import check_wanted
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """``weights_bytes``: as they are computed with. ``kv_type``: the cache's numbers, each of
    ``kv_number_bytes``. ``number_bytes``: of one activation. ``batch``: tokens of one forward.
    ``padding``: what a context is rounded up to, in tokens."""

    weights_bytes: int
    kv_type: str
    kv_number_bytes: float
    number_bytes: float
    batch: int
    padding: int = 1


def need_folder(
    facts: FolderFacts,
    load: Footprint,
    *,
    context_length: int,
    slots: int,
    device: str,
    compute_capability: str | None = None,
) -> Estimate:
    """With all layers on one ``device``: ``cpu``, or a GPU's UUID or any name for one. Raises
    ``ConfigError``."""
    check_wanted(facts, context_length=context_length, slots=slots)
    each = load.kv_number_bytes
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
    vram = cuda.context_bytes(compute_capability) + TORCH_WORKSPACE_BYTES
    alone = Parts(overhead_bytes=process)
    return Estimate(
        device=device,
        context_length=context_length,
        slots=slots,
        kv_type=load.kv_type,
        layers=facts.layers,
        gpu_layers=facts.layers + 1 if on_gpu else 0,
        gpu=replace(there, overhead_bytes=vram) if on_gpu else Parts(),
        ram=alone if on_gpu else replace(there, overhead_bytes=process),
        kv_slot_bytes=per_slot,
        notes=(cuda.context_note(compute_capability),) if on_gpu else (),
    )


def _compute_bytes(facts: FolderFacts, load: Footprint, context_length: int, slots: int) -> int:
    """Activations of one forward: about six tensors as wide as the model and three as its
    feed-forward part are alive at once; the mask of one slot's attention, as booleans and as
    numbers, once for each head that shares a key; and logits in f32 of a row a slot."""
    tokens = min(max(load.batch, slots), slots * context_length)
    wide = 6 * facts.embedding_length + 3 * facts.feed_forward_length
    logits = 4 * slots * facts.vocabulary
    group = max(1, facts.heads // facts.key_value_heads)
    mask = group * min(tokens, context_length) * context_length
    return round(load.number_bytes * (tokens * wide + mask)) + mask + logits
