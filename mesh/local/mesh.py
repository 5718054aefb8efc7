"""One mesh on this box, from its first process to its last."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace

from mesh.clock import Clock
from mesh.errors import PortInUse
from mesh.local import run_file
from mesh.local.etcd import etcd_command
from mesh.local.plan import MeshPlan, children
from mesh.local.ports import free_port, require_free, split
from mesh.local.ready import serving, wait_ready
from mesh.local.supervisor import Report, Supervisor

# SIGHUP: the terminal was closed. Without a handler it would kill, and nothing could drain.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

AfterReady = Callable[[], Awaitable[None]]


def ready_within(plan: MeshPlan) -> float:
    """Seconds that a start may take: a slow disk and two old cores, and more for more nodes."""
    return 60.0 + 2.0 * len(plan.nodes)


async def check_ports(plan: MeshPlan) -> None:
    """Raises ``PortInUse`` before anything is started."""
    if plan.own_etcd and split(plan.endpoint)[1] == split(plan.etcd)[1]:
        raise PortInUse(
            f"the orchestrator at {plan.endpoint} and etcd at {plan.etcd} cannot share a port; say "
            "another one with --endpoint or --etcd-port"
        )
    try:
        require_free(
            plan.endpoint,
            what="the orchestrator",
            remedy="say another one with --endpoint, or stop who holds it",
        )
    except PortInUse:
        if not await serving(plan.endpoint):
            raise
        raise PortInUse(
            f"a mesh is already running at {plan.endpoint}, of another state folder or user; see "
            "`mesh status`, or start this one elsewhere with --endpoint and --etcd-port"
        ) from None
    if plan.own_etcd:
        require_free(
            plan.etcd,
            what="etcd",
            remedy="say another one with --etcd-port, or join a running etcd with --etcd",
        )


async def run(
    plan: MeshPlan,
    *,
    report: Report,
    clock: Clock,
    detached: bool = False,
    after_ready: AfterReady | None = None,
) -> None:
    """Brings the mesh up, calls ``after_ready``, and keeps it until SIGINT, SIGTERM or SIGHUP.

    A second signal stops without waiting for streams. Raises ``MeshError`` when the mesh does not
    come up; nothing is left running then.
    """
    mine = run_file.own(plan.endpoint, plan.etcd, now=clock.wall(), detached=detached)
    supervisor = Supervisor(
        children(plan, _etcd_command(plan)), log_dir=plan.log_dir, report=report, clock=clock
    )
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            supervisor.hurry()
        stop.set()

    async def work() -> None:
        await wait_ready(
            plan,
            pid_of=supervisor.pid,
            says=supervisor.last_words,
            report=report,
            clock=clock,
            within_s=ready_within(plan),
        )
        supervisor.settled()
        run_file.write(plan.state_dir, replace(mine, ready=True))
        if after_ready is not None:
            await after_ready()

    loop = asyncio.get_running_loop()
    with run_file.held(plan.state_dir):
        await check_ports(plan)
        run_file.write(plan.state_dir, mine)
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, on_signal)
        try:
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(supervisor.run())
                working = group.create_task(work())
                await stop.wait()
                report("stopping: streams may finish first; again Ctrl-C does not wait")
                working.cancel()
                keeping.cancel()
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)


def _etcd_command(plan: MeshPlan) -> list[str] | None:
    if not plan.own_etcd:
        return None
    host, port = split(plan.etcd)
    _, orchestrator = split(plan.endpoint)  # which is not listening yet
    peer = free_port(host, near=port, but=(orchestrator,))
    return etcd_command(plan.state_dir / "etcd", port, peer)
