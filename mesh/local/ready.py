"""Waits until a mesh on this box serves: orchestrator healthy, every node ready and linked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh import Client, connect
from mesh.channel import open_channel
from mesh.clock import Clock
from mesh.errors import DeadlineExceeded, EngineFailed, Unreachable
from mesh.fleet.records import ModelState, NodeRecord, NodeState
from mesh.local.etcd import wait_healthy
from mesh.local.plan import MeshPlan
from mesh.stream import NodeStatus

POLL_S = 0.03  # a local call costs about 1 ms; start-up is measured in hundreds
CALL_S = 2.0
FIRST_MURMUR_S = 1.5
MURMUR_S = 5.0
SAME_AGAIN_S = 20.0  # the same words
ETCD = "etcd"

Report = Callable[[str], None]
PidOf = Callable[[str], int | None]
Says = Callable[[str], str]


async def wait_ready(
    plan: MeshPlan, *, pid_of: PidOf, says: Says, report: Report, clock: Clock, within_s: float
) -> None:
    """Reports each part as it comes up, with its time, and what it waits for. ``pid_of``: a child's
    process id by name. ``says``: a child's last words, "" while it has said nothing.

    Raises ``EngineFailed`` for a node that says it failed, ``DeadlineExceeded`` naming who is
    missing after ``within_s`` seconds.
    """
    began = clock.now()
    nodes = {node.name for node in plan.nodes}
    missing = nodes | {plan.orchestrator.name, ETCD}
    last = ""

    def up(name: str, detail: str) -> None:
        missing.discard(name)
        report(f"{name:<14} up after {clock.now() - began:5.2f} s  {detail}")

    async def registry() -> None:
        await wait_healthy(plan.etcd, within_s)
        up(ETCD, plan.etcd if plan.own_etcd else f"{plan.etcd} (not ours)")

    async def orchestrator() -> None:
        nonlocal last
        await _serving(plan.endpoint, clock)
        up(plan.orchestrator.name, plan.endpoint)
        async with connect(plan.endpoint) as client:
            while missing & nodes:
                for node in await _nodes(client):
                    name = node.record.name
                    # A cluster that is not ours may hold a node of the same name.
                    if name not in missing & nodes or node.record.pid != pid_of(name):
                        continue
                    if node.record.state is NodeState.FAILED:
                        raise EngineFailed(f"node '{name}' failed: {_why(node)}")
                    if node.record.state is NodeState.READY and node.link_up:
                        up(name, _offer(node))
                    else:
                        last = f"node '{name}' is {_standing(node.record)}"
                await clock.sleep(POLL_S)

    try:
        async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
            murmuring = group.create_task(
                murmur(lambda: waited_for(plan, missing, last, says), report, clock)
            )
            async with asyncio.TaskGroup() as parts:
                parts.create_task(registry())
                parts.create_task(orchestrator())
            murmuring.cancel()
    except TimeoutError:
        names = ", ".join(sorted(missing))
        raise DeadlineExceeded(
            f"not ready after {within_s:g} s, still waiting for {names}"
            f"{f' ({last})' if last else ''}; the logs are in {plan.log_dir}"
        ) from None


async def murmur(waits: Callable[[], str], report: Report, clock: Clock) -> None:
    """Says what is waited for, until it is cancelled; the same words again only after a while."""
    await clock.sleep(FIRST_MURMUR_S)
    said, at = "", 0.0
    while True:
        words = waits()
        if words != said or clock.now() - at >= SAME_AGAIN_S:
            said, at = words, clock.now()
            report(f"still waiting for {words}")
        await clock.sleep(MURMUR_S)


def waited_for(plan: MeshPlan, missing: Set[str], last: str, says: Says) -> str:
    """In the order in which one needs the other, each with what it is doing as far as is known.
    ``last``: what the orchestrator knows of a node."""
    parts = []
    for name in (ETCD, plan.orchestrator.name):
        if name in missing:
            words = says(name)
            parts.append(f"{name} ({words})" if words else name)
    if nodes := [node.name for node in plan.nodes if node.name in missing]:
        why = last or ("nobody can see them before" if parts else "")
        parts.append(f"{', '.join(nodes)}{f' ({why})' if why else ''}")
    return "; ".join(parts)


async def serving(endpoint: str) -> bool:
    """Whether an orchestrator answers there as healthy, within ``CALL_S`` seconds."""
    async with open_channel(endpoint) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_S)
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


async def _serving(endpoint: str, clock: Clock) -> None:
    # A channel that was refused backs off for a second and more; a fresh one asks at once.
    while not await serving(endpoint):
        await clock.sleep(POLL_S)


async def _nodes(client: Client) -> tuple[NodeStatus, ...]:
    try:
        return (await client.fleet()).nodes
    except (Unreachable, DeadlineExceeded):
        return ()  # it restarts or is busy: the caller's own time limit decides


def _standing(record: NodeRecord) -> str:
    return f"{record.state}: {record.reason}" if record.reason else str(record.state)


def _why(node: NodeStatus) -> str:
    errors = (model.error for model in node.record.models if model.error)
    return node.record.reason or next(errors, "it does not say why")


def _offer(node: NodeStatus) -> str:
    models = [model for model in node.record.models if model.state is not ModelState.FAILED]
    served = ", ".join(node.record.specialties)
    slots = sum(model.slots for model in models)
    where = ", ".join(gpu.name for gpu in node.record.gpus) or "CPU"
    return f"{served} on {where}, {slots} slots"
