"""``python -m node.runner --fd N``: started by ``node/runner/process.py``, not by hand."""

from __future__ import annotations

import argparse
import signal
import socket
import sys

from mesh.errors import ProtocolError
from node.runner.at_work import AtWork, shared
from node.runner.child import EXIT_BROKEN, EngineServer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m node.runner")
    parser.add_argument("--fd", type=int, required=True, help="socket to the agent")
    parser.add_argument("--at-work", type=int, required=True, help="memory that the agent reads")
    parser.add_argument("--otlp", default="", help="where spans go, http://host:4317")
    parser.add_argument("--instance", default="", help="service.instance.id of the spans")
    arguments = parser.parse_args()
    # Ctrl-C in a terminal reaches the whole group; the agent decides what ends when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop_tracing = None
    if arguments.otlp:
        # Imported here: the SDK and its exporter cost memory that only tracing should cost.
        from mesh.telemetry import tracing

        stop_tracing = tracing.configure(
            "squadron-runner", instance=arguments.instance, otlp_endpoint=arguments.otlp
        )
    try:
        with socket.socket(fileno=arguments.fd) as connection:
            return EngineServer(connection, work=AtWork(shared(arguments.at_work))).run()
    except ProtocolError as error:
        print(f"runner: {error.message}", file=sys.stderr)  # noqa: T201 - the runner's log
        return EXIT_BROKEN
    finally:
        if stop_tracing is not None:
            stop_tracing()


if __name__ == "__main__":
    sys.exit(main())
