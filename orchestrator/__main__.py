"""One orchestrator's process: ``python -m orchestrator JSON``, or ``--config FILE.toml``."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
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


def main(arguments: list[str] | None = None) -> int:
    """Runs the orchestrator until a signal stops it; returns the exit code."""
    try:
        settings = _settings(arguments)
        logs.configure(settings.log_level, f"orchestrator {settings.name}")
    except ConfigError as error:
        sys.stderr.write(f"orchestrator: {error.message}\n")
        return error.exit_code
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
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, orchestrator.stop)
        await orchestrator.run()
    finally:
        shut_down()


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
