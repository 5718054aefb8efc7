"""A library's error as one line: what it says beyond that is for its own log."""

from __future__ import annotations


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
