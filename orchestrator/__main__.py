"""One orchestrator's process: ``python -m orchestrator JSON``, or ``--config FILE.toml``."""

from __future__ import annotations

import gc
import sys

from mesh import process
from mesh.clock import SystemClock
from mesh.settings.orchestrator import OrchestratorSettings
from mesh.telemetry import tracing
from orchestrator.router.chosen import choose


def main(arguments: list[str] | None = None) -> int:
    """Runs the orchestrator until a signal stops it; returns the exit code."""
    return process.run(
        "orchestrator",
        OrchestratorSettings,
        _serve,
        arguments,
        description=__doc__,
        check=lambda settings, where: choose(settings.router, where),
    )


async def _serve(settings: OrchestratorSettings) -> None:
    from orchestrator.service import build, identity_of

    identity = identity_of(settings)
    shut_down = tracing.configure(
        "squadron-orchestrator",
        instance=identity.instance,
        otlp_endpoint=settings.otlp_endpoint,
    )
    try:
        orchestrator = build(settings, identity, SystemClock())
        await orchestrator.open()
        settle_garbage()
        process.stop_on_signals(orchestrator.stop)
        await orchestrator.run()
    finally:
        shut_down()


def settle_garbage() -> None:
    """Takes what start-up made out of the collector's sight, and has it look less often. Else each
    full collection walks hundreds of thousands of objects that never die, and holds every stream
    up for as long; streams themselves leave no cycles behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


if __name__ == "__main__":
    sys.exit(main())
