"""`mesh orchestrator`: run an orchestrator on this box."""

from __future__ import annotations

from pathlib import Path

import click

from mesh.cli.options import (
    Duration,
    HostPort,
    chosen_state_dir,
    config_option,
    etcd_option,
    insecure_option,
    otlp_option,
    preset_option,
    state_dir_option,
)
from mesh.cli.process import base_settings, become, default_name, put
from mesh.extras import require
from mesh.settings.addresses import DEFAULT_ENDPOINT
from mesh.settings.load import load
from mesh.settings.orchestrator import OrchestratorSettings


@click.command()
@click.option("--name", metavar="NAME", help="Its name.  [default: this box's host name]")
@click.option(
    "--bind",
    type=HostPort(),
    metavar="HOST:PORT",
    help=f"Where clients connect (gRPC).  [default: {DEFAULT_ENDPOINT}]",
)
@click.option("--advertise", metavar="HOST", help="Where clients dial.  [default: the bind host]")
@etcd_option
@click.option(
    "--rules",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.toml",
    help="The router's rules; reloaded when the file changes.  [default: those that ship]",
)
@click.option("--fallback", metavar="SPECIALTY", help="When nothing decides.  [default: chat]")
@click.option("--queue-limit", type=int, help="Requests that may wait, a priority.  [default: 256]")
@click.option(
    "--timeout",
    type=Duration(),
    metavar="TIME",
    help="For a request that says none: 90, 2m.  [default: 2m]",
)
@config_option
@insecure_option
@preset_option
@otlp_option
@state_dir_option
def orchestrator(
    name: str | None,
    bind: str | None,
    advertise: str | None,
    etcd: str | None,
    rules: Path | None,
    fallback: str | None,
    queue_limit: int | None,
    timeout: float | None,
    config: Path | None,
    insecure: bool,
    preset: str | None,
    otlp: str | None,
    state_dir: Path | None,
) -> None:
    """Run an orchestrator on this box. Any number of them may share one registry."""
    source = base_settings(config)
    put(source, name=name, bind=bind, advertise=advertise, etcd=etcd, fallback=fallback)
    put(source, rules=str(rules.resolve()) if rules else None, queue_limit=queue_limit)
    put(source, default_timeout_s=timeout, insecure=insecure, preset=preset, otlp_endpoint=otlp)
    source.setdefault("name", default_name())
    if state_dir or "state_dir" not in source:
        source["state_dir"] = str(chosen_state_dir(state_dir))
    where = str(config) if config else "mesh orchestrator"
    settings = load(OrchestratorSettings, source, where=where)
    require("orchestrator")
    from orchestrator.router.chosen import choose

    choose(settings.router, where)  # a misspelt key of a stage is told here, and not in a log
    become("orchestrator", settings)
