"""Run as a script, never imported: ties this process to its parent's life, then becomes a command.

    python -I -S tether.py PARENT_PID COMMAND [ARGUMENT...]

A supervisor that is killed with SIGKILL can stop nobody; the kernel can. A tiny interpreter does
this rather than a ``preexec_fn``, which is unsafe in a process with threads (gRPC has some).
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2); kept over execve


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            sys.exit(f"cannot tie to the parent process: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it died before the tie held
        sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
