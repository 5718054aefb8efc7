"""Durations as people write them: ``500ms``, ``10s``, ``2m``, ``1m30s``. Pure."""

from __future__ import annotations

import math
import re

_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h)"
_DURATION = re.compile(rf"(?:{_PART})+")
_PARTS = re.compile(_PART)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float | None:
    """Seconds, or None for what is no duration. The unit must be there: ``500`` alone could be
    milliseconds as well as seconds."""
    if _DURATION.fullmatch(text) is None:
        return None
    parts = _PARTS.findall(text)
    units = [_UNITS[unit] for _, unit in parts]
    if units != sorted(set(units), reverse=True):  # each once, the larger before the smaller
        return None
    total = sum(float(number) * unit for (number, _), unit in zip(parts, units, strict=True))
    return total if math.isfinite(total) else None


def written(value_s: float) -> str:
    """The shortest of the above that says it: ``0.5`` is ``500ms``, ``90`` is ``90s``."""
    return f"{value_s * 1000:g}ms" if 0 < value_s < 1 else f"{value_s:g}s"
