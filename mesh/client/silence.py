"""How a client notices that whoever answers it is there no longer, though the connection is.

An orchestrator that beats (its first event says so) is never silent for longer than a quarter of a
second. One that is has been stopped, hangs, or is cut off.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

import grpc

from mesh.errors import Unreachable

SILENCE_S = 0.75  # three beats: with what a resume takes, the gap stays below a second
LATE_S = 0.1  # this process was held itself: what came meanwhile is read before anyone is blamed


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
        raise Unreachable(f"{who} has said nothing for {within_s:g} s") from None
    finally:
        if timer is not None:
            timer.cancel()


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
