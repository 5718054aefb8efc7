"""``python -m node.runner --fd N``: started by ``node/runner/process.py``, not by hand."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import sys

from mesh.errors import ProtocolError
from node.runner.child import EXIT_BROKEN, Child

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent(parent: int) -> None:
    """Has the kernel kill this process when its parent dies. Elsewhere than on Linux the closed
    socket tells it, at the end of the step it is in."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before that call
            os._exit(0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m node.runner")
    parser.add_argument("--fd", type=int, required=True, help="socket to the agent")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="the agent's process id")
    parser.add_argument("--otlp", default="", help="where spans go, http://host:4317")
    parser.add_argument("--instance", default="", help="service.instance.id of the spans")
    arguments = parser.parse_args()
    # Ctrl-C in a terminal reaches the whole group; the agent decides what ends when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(arguments.parent)
    stop_tracing = None
    if arguments.otlp:
        # Imported here: the SDK and its exporter cost memory that only tracing should cost.
        from mesh.telemetry import tracing

        stop_tracing = tracing.configure(
            "squadron-runner", instance=arguments.instance, otlp_endpoint=arguments.otlp
        )
    try:
        with socket.socket(fileno=arguments.fd) as connection:
            return Child(connection).run()
    except ProtocolError as error:
        print(f"runner: {error.message}", file=sys.stderr)  # noqa: T201 - the runner's log
        return EXIT_BROKEN
    finally:
        if stop_tracing is not None:
            stop_tracing()


if __name__ == "__main__":
    sys.exit(main())
