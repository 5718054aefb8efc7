"""Spans of time as people read them. Pure."""

from __future__ import annotations


def span(seconds: float) -> str:
    """``0.4 ms``, ``310 ms``, ``2.5 s``, ``90 s``, ``12 min``, ``3.5 h``: as many digits as
    matter, and never a zero for what took time."""
    milliseconds = max(0.0, seconds) * 1_000
    if milliseconds < 9.95:
        return f"{milliseconds:.2g} ms" if 0 < milliseconds < 0.095 else f"{milliseconds:.1f} ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    if seconds < 119.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    if seconds < 7_170:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"
