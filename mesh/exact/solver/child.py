"""``python -m mesh.exact.solver.child``: started by ``SolverProcess``, not by hand.

One problem at a time, under limits that it sets itself: address space, CPU time for each problem,
no core files, no files written. What sympy raises costs the problem its answer, nothing more; out
of memory it exits, since nobody knows what that left behind.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import os
import resource
import signal
import sys
from typing import BinaryIO

from mesh.errors import ProtocolError
from mesh.exact.solver import messages as m

EXIT_OK, EXIT_UNABLE, EXIT_NO_MEMORY = 0, 69, 71  # as in sysexits.h

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_MAX_WHY = 300
_RECURSION = 3000  # deep enough for sympy, far from the end of the C stack


def die_with_parent(parent: int) -> None:
    """Has the kernel kill this process when its parent dies. Elsewhere than on Linux the closed
    pipe tells it, and CPU time is limited in any case."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before that call
            os._exit(EXIT_OK)


def limit_memory(memory_bytes: int) -> None:
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def limit_cpu(seconds: int) -> None:
    """``seconds`` from now on; the limit counts from the process's start. SIGXCPU then ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(used.ru_utime + used.ru_stime) + seconds
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def work_out(message: m.Solve) -> m.Solved | m.Unsolved:
    """The answer, or why there is none."""
    from mesh.exact.solver.kinds import solve

    try:
        exact = solve(message.problem)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001
        # sympy raises what it likes for what it cannot do. The problem has no answer then, the
        # parent is told why, and the next problem is none the worse for it.
        why = f"{type(error).__name__}: {error}"[:_MAX_WHY]
        return m.Unsolved(number=message.number, why=why)
    if exact is None:
        return m.Unsolved(number=message.number, why="not sure")
    return m.Solved(number=message.number, exact=exact)


def serve(source: BinaryIO, sink: BinaryIO) -> int:
    """Until the parent closes its pipe. Raises ``ProtocolError``."""
    while True:
        header = source.read(m.HEADER_BYTES)
        if len(header) < m.HEADER_BYTES:
            return EXIT_OK
        body = source.read(m.size(header))
        message = m.to_solver(body)
        limit_cpu(message.cpu_s)
        try:
            reply = work_out(message)
        except MemoryError:
            return EXIT_NO_MEMORY
        sink.write(m.encode(reply))
        sink.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mesh.exact.solver.child")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="its process id")
    parser.add_argument("--memory", type=int, required=True, help="bytes of address space")
    arguments = parser.parse_args()
    # Ctrl-C in a terminal reaches the whole group; the parent decides what ends when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(arguments.parent)
    limit_memory(arguments.memory)
    sys.setrecursionlimit(_RECURSION)
    # Whatever a library prints must not get between our messages.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        try:
            _load()
        except (ImportError, MemoryError) as error:
            sink.write(m.encode(m.Unable(message=f"{type(error).__name__}: {error}"[:_MAX_WHY])))
            sink.flush()
            return EXIT_UNABLE
        sink.write(m.encode(m.Ready()))
        sink.flush()
        return serve(sys.stdin.buffer, sink)
    except (BrokenPipeError, ProtocolError):
        return EXIT_OK


def _load() -> None:
    """Everything that takes time, before any problem's time runs. Raises ``ImportError``."""
    import sympy

    from mesh.exact.solver import analysis, kinds, systems

    del analysis, kinds, systems
    # The first factorisation and the first integral import more.
    x = sympy.Symbol("x", real=True)
    sympy.factor_list(x**2 - 1)
    sympy.simplify(sympy.integrate(x * sympy.exp(x), x))


if __name__ == "__main__":
    sys.exit(main())
