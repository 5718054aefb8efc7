"""What a child process may use."""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None, and no CPUs: what the parent may. ``memory_bytes``: of address space. ``file_bytes``:
    of any file that it writes; ``data_bytes``: of memory that is its own and may be written, which
    libraries that reserve addresses leave room in; ``core_bytes``: of a core file."""

    memory_bytes: int | None = None
    data_bytes: int | None = None
    file_bytes: int | None = None
    core_bytes: int | None = None
    cpus: frozenset[int] = frozenset()

    def arguments(self) -> tuple[str, str]:
        """As ``tether.py`` reads them."""
        limits = {
            "AS": self.memory_bytes,
            "DATA": self.data_bytes,
            "FSIZE": self.file_bytes,
            "CORE": self.core_bytes,
        }
        return (
            ",".join(f"{name}={most}" for name, most in limits.items() if most is not None),
            ",".join(map(str, sorted(self.cpus))),
        )


UNLIMITED = Limits()


def limit_cpu(seconds: int) -> None:
    """For this process: ``seconds`` of CPU time from now on; the kernel's limit counts from the
    process's start. SIGXCPU then ends it, whether or not anybody watches."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(used.ru_utime + used.ru_stime) + seconds
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (most, hard))
