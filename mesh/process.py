"""What the processes of a node and of an orchestrator do alike: settings from the command line,
logging, one event loop, and an exit code that says how it ended."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from mesh import preflight
from mesh.allocator import return_memory
from mesh.box import refusal
from mesh.clock import SystemClock
from mesh.doors.files import raise_limit
from mesh.doors.guard import Guard
from mesh.either import beside
from mesh.errors import ConfigError, MeshError, leaf
from mesh.settings.load import load, load_toml
from mesh.settings.process import ProcessSettings
from mesh.telemetry import logs

S = TypeVar("S", bound=ProcessSettings)


def run(
    package: str,
    kind: type[S],
    serve: Callable[[S], Coroutine[Any, Any, None]],
    arguments: list[str] | None,
    *,
    description: str | None = None,
    check: Callable[[S, str], object] | None = None,
) -> int:
    """Runs ``serve`` with the settings that ``python -m package JSON`` or ``--config FILE.toml``
    has, and returns the exit code: an error's own, 128 + 2 after Ctrl-C, else 0. ``arguments``
    None: the process's. ``check``: what only the package knows of its settings, and where they are
    from; raises ``ConfigError``."""
    try:
        preflight.check(preflight.PROCESS)
        settings, where = settings_of(package, kind, arguments, description)
        if check is not None:
            check(settings, where)
        limit = raise_limit()
        logs.configure(settings.log_level, f"{package} {settings.name}")
    except ConfigError as error:
        sys.stderr.write(f"{package}: {error.message}\n")
        return error.exit_code
    return_memory()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_guarded(serve(settings), limit))
    except MeshError as error:
        logging.getLogger(package).error("%s (%s)", error.message, error.code)
        return error.exit_code
    except Exception as error:
        if (refused := refusal(leaf(error))) is None:
            raise  # a defect of ours
        logging.getLogger(package).error("%s", refused)
        return 1
    except KeyboardInterrupt:  # Ctrl-C before the signal handler stood
        return 128 + signal.SIGINT
    return 0


async def _guarded(serving: Coroutine[Any, Any, None], limit: int) -> None:
    """``serving``, beside a guard over who connects. ``limit``: open files."""
    async with beside(Guard(limit, SystemClock()).run()):
        await serving


def stop_on_signals(stop: Callable[[], None]) -> None:
    """``stop`` is called at each SIGTERM and SIGINT from now on. Inside the event loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def settings_of(
    package: str, kind: type[S], arguments: list[str] | None, description: str | None = None
) -> tuple[S, str]:
    """The settings and where they are from. Raises ``ConfigError``; a wrong command line
    exits as argparse does."""
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=description)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("settings", nargs="?", metavar="JSON", help="settings as one JSON object")
    source.add_argument("--config", metavar="FILE.toml", type=Path, help="settings in a TOML file")
    given = parser.parse_args(arguments)
    if given.config is not None:
        where = str(given.config)
        return load(kind, load_toml(given.config), where=where), where
    try:
        data = json.loads(given.settings)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(
            f"the settings are not JSON: {error}; a TOML file goes after --config"
        ) from None
    if not isinstance(data, dict):
        raise ConfigError("the settings must be one JSON object")
    return load(kind, data), "settings"
