"""One node's process: ``python -m node JSON``, or ``python -m node --config FILE.toml``."""

from __future__ import annotations

import asyncio
import signal
import sys

from mesh import process
from mesh.clock import SystemClock
from mesh.settings.node import NodeSettings
from mesh.telemetry import tracing


def main(arguments: list[str] | None = None) -> int:
    """Runs the node until a signal stops it; returns the exit code."""
    return process.run("node", NodeSettings, _serve, arguments, description=__doc__)


async def _serve(settings: NodeSettings) -> None:
    from node.build import build

    with build(settings, SystemClock()) as agent:
        shut_down = tracing.configure(
            "squadron-node", instance=agent.instance, otlp_endpoint=settings.otlp_endpoint
        )
        process.stop_on_signals(agent.stop)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, agent.retry)
        try:
            await agent.run()
        finally:
            shut_down()


if __name__ == "__main__":
    sys.exit(main())
