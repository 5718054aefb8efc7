"""How the C library keeps memory: large blocks go back to the system when they are freed.

glibc raises the size from which a block is a mapping of its own each time such a one is freed, up
to 32 MiB, and has an arena for every few threads; a process that once held a few large requests
would keep most of that for good, in pieces.
"""

from __future__ import annotations

import ctypes

# malloc.h of glibc.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

MAPPED_BYTES = 256 * 1024  # a block of this size is a mapping of its own, always
KEPT_BYTES = 1024 * 1024  # free at the heap's end
ARENAS = 2


def return_memory() -> None:
    """From now on, in this process; where the C library has no such settings, it does nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for name, value in (
        (M_MMAP_THRESHOLD, MAPPED_BYTES),
        (M_TRIM_THRESHOLD, KEPT_BYTES),
        (M_ARENA_MAX, ARENAS),
    ):
        mallopt(name, value)
