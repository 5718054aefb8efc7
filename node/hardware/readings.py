"""What a driver says, held against what can be. Pure.

A driver is a stranger: it raises what it likes, its names are any bytes, and a figure that it does
not have may be all ones. Each reading is checked by itself and is None where it cannot be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mesh.cleaned import cleaned

MAX_CARDS = 256
MAX_BYTES = 2**50  # of one card's memory
MAX_WATTS = 100_000.0
CELSIUS = (-100.0, 300.0)
MOST_NAME = 120


def guarded(call: Callable[[], Any], gone: Callable[[Exception], bool] = lambda _: False) -> Any:
    """What it returns; None when it raises, whatever that is. ``gone``: the errors that say more
    than that this one reading is not to be had; they are raised."""
    try:
        return call()
    except Exception as error:
        # Bindings raise what is not the driver's error, too: for a name that is no UTF-8, a
        # function that an older library lacks, a structure of another version.
        if gone(error):
            raise
        return None


def whole(value: Any, least: int, most: int) -> int | None:
    """A whole number between these."""
    found = number(value, least, most)
    return None if found is None else int(found)


def number(value: Any, least: float, most: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if least <= value <= most and math.isfinite(value) else None


def words(value: Any, limit: int = MOST_NAME) -> str | None:
    """One printable line; None for no text. Bindings give bytes or text, by their age."""
    return cleaned(value, limit) or None if isinstance(value, str | bytes) else None


def memory(info: Any) -> tuple[int, int, int] | None:
    """Bytes: total, used, free, which are never more than there is. None where the card has no
    memory of its own, or does not say how much."""
    total = whole(getattr(info, "total", None), 1, MAX_BYTES)
    if total is None:
        return None
    free = whole(getattr(info, "free", None), 0, total)
    used = whole(getattr(info, "used", None), 0, total)
    if free is None and used is None:
        return None
    used = total - free if used is None and free is not None else used or 0
    return total, used, total - used if free is None else free


def capability(pair: Any) -> str | None:
    """``8.9`` of (8, 9)."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        return None
    major, minor = whole(pair[0], 0, 98), whole(pair[1], 0, 99)
    return None if major is None or minor is None else f"{major}.{minor}"
