"""One orchestrator's process: ``python -m orchestrator JSON``, or ``--config FILE.toml``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import resource
import signal
import sys
from pathlib import Path

import uvloop

from mesh.clock import SystemClock
from mesh.config import OrchestratorSettings, load, load_toml
from mesh.errors import ConfigError, MeshError
from mesh.telemetry import logs, tracing
from orchestrator.service import build, identity_of

log = logging.getLogger("orchestrator")

# A ZeroMQ link takes four or five descriptors, and many systems give a process 1,024 unless it asks
# for more: a fleet of 250 nodes would be its end.
OPEN_FILES = 65_536


def main(arguments: list[str] | None = None) -> int:
    """Runs the orchestrator until a signal stops it; returns the exit code."""
    try:
        settings = _settings(arguments)
        logs.configure(settings.log_level, f"orchestrator {settings.name}")
    except ConfigError as error:
        sys.stderr.write(f"orchestrator: {error.message}\n")
        return error.exit_code
    _allow_open_files(OPEN_FILES)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings))
    except MeshError as error:
        log.error("%s (%s)", error.message, error.code)
        return error.exit_code
    except KeyboardInterrupt:  # Ctrl-C before the signal handler stood
        return 128 + signal.SIGINT
    return 0


async def _serve(settings: OrchestratorSettings) -> None:
    identity = identity_of(settings)
    shut_down = tracing.configure(
        "squadron-orchestrator",
        instance=identity.instance,
        otlp_endpoint=settings.otlp_endpoint,
    )
    try:
        orchestrator = build(settings, identity, SystemClock())
        settle_garbage()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, orchestrator.stop)
        await orchestrator.run()
    finally:
        shut_down()


def _allow_open_files(wanted: int) -> None:
    """Raises the soft limit as far as the hard one lets it; a smaller fleet works without."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= target:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    except (OSError, ValueError) as error:
        log.warning("the limit of %d open files cannot be raised to %d: %s", soft, target, error)


def settle_garbage() -> None:
    """Takes what start-up made out of the collector's sight, and has it look less often. Else each
    full collection walks hundreds of thousands of objects that never die, and holds every stream
    up for as long; streams themselves leave no cycles behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _settings(arguments: list[str] | None) -> OrchestratorSettings:
    """Raises ``ConfigError``."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("settings", nargs="?", metavar="JSON", help="settings as one JSON object")
    source.add_argument("--config", metavar="FILE.toml", type=Path, help="settings in a TOML file")
    given = parser.parse_args(arguments)
    if given.config is not None:
        return load(OrchestratorSettings, load_toml(given.config), where=str(given.config))
    try:
        data = json.loads(given.settings)
    except json.JSONDecodeError as error:
        raise ConfigError(f"the settings are not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError("the settings must be one JSON object")
    return load(OrchestratorSettings, data)


if __name__ == "__main__":
    sys.exit(main())
