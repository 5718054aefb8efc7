"""What of a driver's readings can be so. Pure.

A driver is a stranger: one that gives 2^64-1 bytes or 2^32-1 degrees means that it has no figure.
Such a reading costs that one field. Left in, it would make the node's record unreadable to all
others, and the node with it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from mesh.fleet import border
from mesh.fleet.records import Gpu

NO_SIZES = "the driver gives memory figures that cannot be so"


def plausible(gpu: Gpu) -> Gpu:
    """The card without the figures that no card has; ``error`` says so where it is its memory."""
    sizes = (gpu.total_bytes, gpu.used_bytes, gpu.free_bytes)
    sound = all(_is(size, border.Bytes) for size in sizes)
    return replace(
        gpu,
        index=gpu.index if _is(gpu.index, border.Index) else 0,
        total_bytes=gpu.total_bytes if sound else 0,
        used_bytes=gpu.used_bytes if sound else 0,
        free_bytes=gpu.free_bytes if sound else 0,
        temperature_c=_or_none(gpu.temperature_c, border.Celsius),
        power_w=_or_none(gpu.power_w, border.Watts),
        utilisation=_or_none(gpu.utilisation, border.Share),
        error=gpu.error if sound else gpu.error or NO_SIZES,
        throttled_to=gpu.throttled_to if _is(gpu.throttled_to, border.Share) else 1.0,
    )


def _is(value: object, form: Any) -> bool:
    try:
        msgspec.convert(value, form)
    except msgspec.ValidationError:
        return False
    return True


def _or_none(value: float | None, form: Any) -> float | None:
    return value if value is not None and _is(value, form) else None
