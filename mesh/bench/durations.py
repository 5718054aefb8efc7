"""Durations as people write them: ``500ms``, ``10s``, ``2m``."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float | None:
    """Seconds, or None for what is no duration. The unit must be there: ``500`` alone could be
    milliseconds as well as seconds."""
    match = _DURATION.fullmatch(text)
    return float(match[1]) * _UNITS[match[2]] if match else None


def written(value_s: float) -> str:
    """The shortest of the above that says it: ``0.5`` is ``500ms``, ``90`` is ``90s``."""
    return f"{value_s * 1000:g}ms" if 0 < value_s < 1 else f"{value_s:g}s"
