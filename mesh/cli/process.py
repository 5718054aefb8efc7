"""What `mesh node` and `mesh orchestrator` share: settings from a file and flags, then exec."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from mesh.extras import require
from mesh.local.plan import python_command
from mesh.settings.load import load_toml
from mesh.settings.process import ProcessSettings


def base_settings(config: Path | None) -> dict[str, Any]:
    """The TOML file's content, {} without one. Raises ``ConfigError``."""
    return load_toml(config) if config else {}


def put(settings: dict[str, Any], **flags: object) -> None:
    """Lays flags that were given (neither None nor False) over the file's settings."""
    settings.update({k: v for k, v in flags.items() if v is not None and v is not False})


def default_name() -> str:
    """This box's host name, as a name in the mesh."""
    name = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().split(".")[0].lower()).strip("-")
    return name or "box"


def is_service() -> bool:
    """Whether systemd runs this, and not a person who waits for it."""
    return any(name in os.environ for name in ("INVOCATION_ID", "NOTIFY_SOCKET"))


def become(module: str, settings: ProcessSettings) -> NoReturn:
    """Replaces this process: signals, exit code and output are then the agent's own."""
    require(module)  # the extra is called as the package is
    command = python_command(module, settings)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)
