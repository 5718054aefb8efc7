"""``python -m mesh.exact.solver.child``: started by ``SolverProcess``, not by hand.

One problem at a time, under the limits that it is started with (address space, no core files, no
files written) and one that it sets itself: CPU time for each problem. What sympy raises costs the
problem its answer, nothing more; out of memory it exits, since nobody knows what that left behind.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from contextlib import suppress

from mesh.child.frames import Gone
from mesh.child.limits import limit_cpu
from mesh.child.parent import Parent
from mesh.errors import ProtocolError
from mesh.exact.solver import messages as m

EXIT_OK, EXIT_UNABLE, EXIT_NO_MEMORY = 0, 69, 71  # as in sysexits.h

NICE = 5  # streams come first, where cores are few

_Parent = Parent[m.Solve, m.FromSolver]
_MAX_WHY = 300
_RECURSION = 3000  # deep enough for sympy, far from the end of the C stack


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


def serve(parent: _Parent) -> int:
    """Until the parent is gone. Raises ``ProtocolError``."""
    with suppress(Gone):
        for message in parent.mail():
            limit_cpu(message.cpu_s)
            try:
                reply = work_out(message)
            except MemoryError:
                return EXIT_NO_MEMORY
            parent.send(reply)
            parent.flush()
    return EXIT_OK


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mesh.exact.solver.child")
    parser.add_argument("--fd", type=int, required=True, help="socket to its parent")
    # Ctrl-C in a terminal reaches the whole group; the parent decides what ends when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)
    sys.setrecursionlimit(_RECURSION)
    with socket.socket(fileno=parser.parse_args().fd) as connection:
        parent: _Parent = Parent(connection, m.at_solver(), m.encode)
        try:
            return _run(parent)
        except (Gone, ProtocolError):
            return EXIT_OK


def _run(parent: _Parent) -> int:
    """Raises ``Gone``, ``ProtocolError``."""
    try:
        _load()
    except (ImportError, MemoryError) as error:
        parent.send(m.Unable(message=f"{type(error).__name__}: {error}"[:_MAX_WHY]))
        parent.flush()
        return EXIT_UNABLE
    parent.send(m.Ready())
    parent.flush()
    return serve(parent)


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
