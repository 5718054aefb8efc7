"""What a runner costs beside its model: figures that were measured, or are stated, not derived."""

from __future__ import annotations

from node.models.gguf_shape import Shape

MIB = 1024 * 1024

# Python, our code, llama-cpp-python and NumPy in a runner that has loaded a model of no size;
# proportional set size, x86-64 Linux. benchmarks/fit.py prints what it is today.
RUNNER_BYTES = 36 * MIB
# A token of the vocabulary in llama.cpp's tables and ours; same benchmark, 8,000 to 100,000 tokens.
TOKEN_BYTES = 180
# Host memory of a process that opened a CUDA device (driver, cuBLAS). Stated, NOT MEASURED here.
CUDA_HOST_BYTES = 250 * MIB
# VRAM of a CUDA context with llama.cpp's kernels and cuBLAS' workspace, by compute capability's
# first number. Stated from what the generations are known to take, NOT MEASURED here; the first
# load on a card replaces them (node/models/fit/measured.py).
CUDA_CONTEXT_BYTES = {
    5: 120 * MIB,
    6: 150 * MIB,
    7: 220 * MIB,
    8: 320 * MIB,
    9: 560 * MIB,
    10: 600 * MIB,
    12: 500 * MIB,
}
UNKNOWN_CUDA_CONTEXT_BYTES = 450 * MIB


def process_bytes(shape: Shape, *, gpu: bool) -> int:
    """RAM of the runner's process without weights, caches and buffers."""
    return RUNNER_BYTES + TOKEN_BYTES * shape.vocabulary + (CUDA_HOST_BYTES if gpu else 0)


def cuda_bytes(compute_capability: str | None) -> int:
    """VRAM that a process takes by opening the device. Stated, not measured."""
    return CUDA_CONTEXT_BYTES.get(_generation(compute_capability), UNKNOWN_CUDA_CONTEXT_BYTES)


def cuda_note(compute_capability: str | None) -> str:
    """What is to be known about that figure."""
    size = cuda_bytes(compute_capability) // MIB
    of = f"capability {compute_capability}" if compute_capability else "a GPU of unknown kind"
    return f"the CUDA context's {size} MiB ({of}) are a stated figure until a load is measured"


def _generation(compute_capability: str | None) -> int:
    major = (compute_capability or "").partition(".")[0]
    return int(major) if major.isascii() and major.isdigit() else 0
