"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mesh.durations import seconds
from mesh.settings.addresses import DEFAULT_ENDPOINT, DEFAULT_ETCD
from mesh.settings.state import RUN_FILE, state_dir
from mesh.settings.timing import PRESETS

if TYPE_CHECKING:
    TextType = click.ParamType[str]
    TimeType = click.ParamType[float]
else:  # not generic at run time in every click that serves
    TextType = TimeType = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])

_HOST_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/,\[\]]+):(\d{1,5})")


class HostPort(TextType):
    """``HOST:PORT``, or with ``several`` a comma-separated list of them."""

    name = "HOST:PORT"

    def __init__(self, *, several: bool = False) -> None:
        self.several = several

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        parts = [part.strip() for part in str(value).split(",")] if self.several else [str(value)]
        for part in parts:
            match = _HOST_PORT.fullmatch(part)
            if match is None or int(match[1]) > 65535:
                self.fail(f"'{part}' is not HOST:PORT, for example {DEFAULT_ENDPOINT}", param, ctx)
        return ",".join(parts)


class Duration(TimeType):
    """Seconds: a bare number, or with units (``mesh.durations``). ``zero``: 0 is one too."""

    name = "TIME"

    def __init__(self, *, zero: bool = False) -> None:
        self.zero = zero

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        text = str(value).strip()
        found = seconds(text)
        if found is None:
            found = seconds(f"{text}s")
        if found is None or (found == 0 and not self.zero):
            what = "no time" if self.zero else "no time above 0"
            self.fail(f"'{text}' is {what}, for example 30, 500ms, 2m or 1m30s", param, ctx)
        return found


def endpoint_option(*, envvar: str | None = None) -> Callable[[F], F]:
    """``--endpoint``; only the group's own reads the environment, so that a command's flag wins."""
    return click.option(
        "--endpoint",
        type=HostPort(several=True),
        metavar="HOST:PORT",
        envvar=envvar,
        show_envvar=envvar is not None,
        help=f"The orchestrator, or several by comma.  [default: {DEFAULT_ENDPOINT}]",
    )


def said_endpoint(own: str | None) -> str | None:
    """The command's ``--endpoint``, else the group's or ``MESH_ENDPOINT``."""
    root = click.get_current_context().find_root()
    return own or root.params.get("endpoint")


def chosen_endpoint(own: str | None) -> str:
    """What was said, else where the mesh that `mesh up` started listens, else the default."""
    return said_endpoint(own) or started_here() or DEFAULT_ENDPOINT


def started_here() -> str | None:
    if not (state_dir() / RUN_FILE).exists():
        return None
    from mesh.local import run_file  # needs what only a box that ran `mesh up` has for certain

    found = run_file.running(state_dir())
    return found.endpoint if found is not None else None


def state_dir_option(function: F) -> F:
    return click.option(
        "--state-dir",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="FOLDER",
        help="Identity, logs, etcd's data.  [default: ~/.local/state/squadron]",
    )(function)


def chosen_state_dir(own: Path | None) -> Path:
    return own.expanduser().resolve() if own else state_dir()


def json_option(help_text: str) -> Callable[[F], F]:
    return click.option("--json", "as_json", is_flag=True, help=help_text)


def preset_option(function: F) -> F:
    return click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        help="Leases and timeouts for one box, a home network, or the internet.  [default: local]",
    )(function)


def etcd_option(function: F) -> F:
    return click.option(
        "--etcd",
        type=HostPort(several=True),
        metavar="HOST:PORT",
        help=f"The registry, or several by comma.  [default: {DEFAULT_ETCD}]",
    )(function)


def config_option(function: F) -> F:
    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE.toml",
        help="Settings from a file; flags win over it.",
    )(function)


def insecure_option(function: F) -> F:
    return click.option(
        "--insecure", is_flag=True, help="Listen beyond loopback without authentication."
    )(function)


def otlp_option(function: F) -> F:
    return click.option(
        "--otlp", metavar="URL", help="Send traces there, e.g. http://127.0.0.1:4317."
    )(function)
