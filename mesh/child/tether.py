"""Run as a script, never imported: ties this process to its parent's life, puts it under limits,
then becomes a command.

    python -I -S tether.py PARENT_PID LIMITS CPUS COMMAND [ARGUMENT...]

LIMITS are setrlimit(2)'s, such as ``AS=1073741824,CORE=0``; CPUS such as ``0,3``; "" for none.

A parent that is killed with SIGKILL can stop nobody; the kernel can. A tiny interpreter does
this rather than a ``preexec_fn``, which is unsafe in a process with threads (gRPC has some).
"""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # prctl(2); kept over execve, as limits and CPUs are


def main() -> None:
    parent, limits, cpus, command = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
    tie(parent)
    for limit in filter(None, limits.split(",")):
        name, most = limit.split("=")
        lower(getattr(resource, f"RLIMIT_{name}"), int(most))
    if cpus:
        with suppress(OSError):  # a CPU that is gone: better on all of them than not at all
            os.sched_setaffinity(0, map(int, cpus.split(",")))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


def tie(parent: int) -> None:
    """Has the kernel kill this process when its parent dies. Elsewhere than on Linux a child that
    is spoken to learns it from its closed socket."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            sys.exit(f"cannot tie to the parent process: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it died before the tie held
        sys.exit(1)


def lower(what: int, most: int) -> None:
    """Never above what is allowed already."""
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    main()
