"""The box's cores, as Linux lists them."""

from __future__ import annotations

import os
from pathlib import Path

from node.hardware.care.surroundings import Cores, parse_list


def read_cores(root: Path = Path("/")) -> Cores:
    """``root`` is where ``/sys`` hangs. Where the system does not say which logical CPUs share a
    core, each is taken for one."""
    if hasattr(os, "sched_getaffinity"):
        allowed = frozenset(os.sched_getaffinity(0))
    else:  # macOS
        allowed = frozenset(range(os.cpu_count() or 1))
    found = set()
    for cpu in sorted(allowed):
        told = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        try:
            siblings = parse_list(told.read_text(encoding="ascii").strip())
        except (OSError, UnicodeDecodeError):
            siblings = None
        found.add(siblings or frozenset({cpu}))
    return Cores(allowed=allowed, siblings=tuple(sorted(found, key=min)))
