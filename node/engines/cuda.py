"""What a process takes by opening a CUDA device.

The figures are stated from what the generations of cards are known to take, NOT MEASURED here; the
first load on a card replaces them (``node/models/fit/measured.py``).
"""

from __future__ import annotations

MIB = 1024 * 1024

# Host memory: driver, cuBLAS.
HOST_BYTES = 250 * MIB
# VRAM of a context with an engine's kernels and cuBLAS' workspace, by compute capability's first
# number.
CONTEXT_BYTES = {
    5: 120 * MIB,
    6: 150 * MIB,
    7: 220 * MIB,
    8: 320 * MIB,
    9: 560 * MIB,
    10: 600 * MIB,
    12: 500 * MIB,
}
UNKNOWN_CONTEXT_BYTES = 450 * MIB


def context_bytes(compute_capability: str | None) -> int:
    """VRAM that a process takes by opening the device. Stated, not measured."""
    return CONTEXT_BYTES.get(_generation(compute_capability), UNKNOWN_CONTEXT_BYTES)


def context_note(compute_capability: str | None) -> str:
    """What is to be known about that figure."""
    size = context_bytes(compute_capability) // MIB
    of = f"capability {compute_capability}" if compute_capability else "a GPU of unknown kind"
    return f"the CUDA context's {size} MiB ({of}) are a stated figure until a load is measured"


def _generation(compute_capability: str | None) -> int:
    major = (compute_capability or "").partition(".")[0]
    return int(major) if major.isascii() and major.isdigit() else 0
