"""How a client notices that whoever answers it is there no longer, though the connection is.

An orchestrator that beats (its first event says so) is never silent for longer than a quarter of a
second. One that is has been stopped, hangs, or is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from enum import Enum
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.either import beside
from mesh.errors import Unreachable

SILENCE_S = 0.75  # three beats: with what a resume takes, the gap stays below a second
LATE_S = 0.1  # this process was held itself: what came meanwhile is read before anyone is blamed

PROBE_EVERY_S = 0.5
PROBE_S = 1.5

T = TypeVar("T")


class Reach(Enum):
    """What became of a try to connect."""

    THERE = "there"
    REFUSED = "refused"
    SILENT = "silent"


async def heard(call: Any, who: str, within_s: float = SILENCE_S) -> Any:
    """The call's next message. Raises ``Unreachable``, with the call cancelled, when none comes
    within ``within_s`` seconds; else what ``call.read`` raises. ``who``: for the error."""
    loop = asyncio.get_running_loop()
    silent = False
    timer: asyncio.TimerHandle | None = None

    def wait() -> None:
        nonlocal timer
        due = loop.time() + within_s
        timer = loop.call_at(due, look, due)

    def look(due: float) -> None:
        nonlocal silent
        if loop.time() - due > LATE_S:
            wait()
            return
        silent = True
        call.cancel()

    wait()
    try:
        return await call.read()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not silent or (task is not None and task.cancelling()):
            raise
        raise gone_silent(who, within_s) from None
    finally:
        if timer is not None:
            timer.cancel()


async def watched(work: Coroutine[Any, Any, T], channel: Any, who: str) -> T:
    """What ``work`` returns or raises. It is given up, with ``Unreachable``, when who is to answer
    it stops answering at all: a call of one answer has no heartbeats, so that is asked after."""

    async def watch() -> None:
        check = health_pb2_grpc.HealthStub(channel).Check
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            try:
                await check(health_pb2.HealthCheckRequest(), timeout=PROBE_S)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise gone_silent(who, PROBE_S) from None

    async with beside(watch()):
        return await work


def gone_silent(who: str, seconds: float) -> Unreachable:
    return Unreachable(f"{who} has said nothing for {seconds:g} s")


async def listens(endpoint: str, within_s: float) -> bool:
    """Whether anything takes a connection there."""
    host, _, port = endpoint.rpartition(":")
    try:
        async with asyncio.timeout(within_s):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def reach(channel: Any, timeout_s: float) -> Reach:
    """Whether the channel connects within ``timeout_s`` seconds. A refused connection is known at
    once and not waited for."""
    try:
        async with asyncio.timeout(timeout_s):
            state = channel.get_state(try_to_connect=True)
            while state is not grpc.ChannelConnectivity.READY:
                if state in (
                    grpc.ChannelConnectivity.TRANSIENT_FAILURE,
                    grpc.ChannelConnectivity.SHUTDOWN,
                ):
                    return Reach.REFUSED
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
            return Reach.THERE
    except TimeoutError:
        return Reach.SILENT
