"""How a child process ends: awaited, killed with all that it started, told of in words."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

from mesh.child.process import Process


def describe_exit(code: int) -> str:
    """``exit code 1`` or ``killed by SIGKILL``, from what ``Process.wait`` gives."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


async def exits(process: Process, within_s: float) -> bool:
    """Whether it has ended by then."""
    try:
        async with asyncio.timeout(within_s):
            await process.wait()
    except TimeoutError:
        return False
    return True


def terminate(process: Process) -> None:
    """SIGTERM; nothing when it has ended."""
    with suppress(ProcessLookupError):
        process.terminate()


def kill_group(process: Process) -> None:
    """SIGKILL to the process, which leads a group of its own as ``start`` makes it, and to
    what is left in its group, also when it has ended itself."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def collect(process: Process) -> None:
    """Kills what is left of it; returns when it is gone; idempotent."""
    if process.returncode is None:
        kill_group(process)
    try:
        await process.wait()
    except asyncio.CancelledError:
        # It is dead or dying of SIGKILL: the moment to collect it is worth waiting, once.
        await process.wait()
        raise
