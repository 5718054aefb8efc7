"""Starting a runner's process and making sure that it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from node.runner.messages import Shutdown, encode

_READ_BYTES = 256 * 1024
_SHUTDOWN_S, _TERMINATE_S = 1.5, 1.0  # with the kill after them, within 3 s
_LOG_TAIL_BYTES = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A running child and our end of its socket. ``log_start``: where its part of the file that
    takes its standard error begins."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    stderr: Path | None
    log_start: int

    def last_words(self) -> str:
        """The last line that it wrote to standard error, "" when none or not to a file."""
        if self.stderr is None:
            return ""
        with suppress(OSError), self.stderr.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self.log_start, end - _LOG_TAIL_BYTES))
            lines = file.read(_LOG_TAIL_BYTES).decode("utf-8", "replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""


async def launch(
    *,
    otlp_endpoint: str | None,
    instance: str,
    stderr: Path | None,
    environment: Mapping[str, str] | None = None,
    cpus: frozenset[int] = frozenset(),
) -> Launched:
    """Starts ``python -m node.runner``, ``environment`` beside the agent's own, on ``cpus`` (empty:
    all that the agent has); see ``node/hardware/care/surroundings.py``. Raises ``OSError``.

    In a session of its own, so that a signal to the agent's terminal does not reach it; tied to the
    agent's life by the kernel and by its socket.
    """
    ours, theirs = socket.socketpair()
    with theirs, ExitStack() as undo:
        undo.callback(ours.close)
        log_start = 0
        sink = None
        if stderr is not None:
            sink = undo.enter_context(stderr.open("ab"))
            log_start = sink.seek(0, os.SEEK_END)
        arguments = ["--fd", str(theirs.fileno()), "--parent", str(os.getpid())]
        if otlp_endpoint:
            arguments += ["--otlp", otlp_endpoint, "--instance", instance]
        # -P: a folder called `node` where the agent was started must not be taken for ours.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "node.runner",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=sink,
            pass_fds=(theirs.fileno(),),
            env=_environment() | dict(environment or {}),
            start_new_session=True,
        )
        if cpus:
            _pin(process.pid, cpus)
        undo.pop_all()
        if sink is not None:
            sink.close()
    # From here on the child ends by itself when our end of the socket does.
    try:
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_READ_BYTES)
    except BaseException:
        ours.close()
        process.kill()
        raise
    return Launched(
        process=process, reader=reader, writer=writer, stderr=stderr, log_start=log_start
    )


def _pin(pid: int, cpus: frozenset[int]) -> None:
    """Here, since a hook between fork and exec is unsafe beside gRPC's threads. The interpreter is
    only starting: the engine's threads come later, and inherit it; those that are there already are
    pinned one by one. A process that has ended meanwhile is told of by its exit."""
    with suppress(psutil.Error, OSError):
        for thread in psutil.Process(pid).threads():
            os.sched_setaffinity(thread.id, cpus)


def _environment() -> dict[str, str]:
    """The agent's, with OpenMP's threads told to sleep rather than spin while they wait for each
    other. A box runs several models: with every core contended, two spinning threads were 15 to 30
    times slower than two sleeping ones. A policy that the user has set stands."""
    return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}


async def shut_down(launched: Launched) -> None:
    """Asks, then signals, then kills; returns within 3 s, with the process gone."""
    process = launched.process
    try:
        launched.writer.write(encode(Shutdown()))
        if await _exits(process, _SHUTDOWN_S):
            return
        with suppress(ProcessLookupError):
            process.terminate()
        if await _exits(process, _TERMINATE_S):
            return
    finally:
        await end(launched)


async def end(launched: Launched) -> None:
    """Kills what is left and closes the socket; idempotent."""
    process, writer = launched.process, launched.writer
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    writer.close()
    try:
        await process.wait()
    except asyncio.CancelledError:
        # It is dead or dying of SIGKILL: the moment to collect it is worth waiting, once.
        await process.wait()
        raise
    with suppress(OSError):
        await writer.wait_closed()


async def exit_reason(launched: Launched, within_s: float) -> str:
    """Why a process whose socket is closed ended, in words; waits for its end up to ``within_s``
    seconds."""
    process = launched.process
    if not await _exits(process, within_s):
        return "it closed its connection but did not end"
    code = process.returncode or 0
    words = launched.last_words()
    told = f": {words}" if words else ""
    if not told and launched.stderr is None and -code != signal.SIGKILL:
        told = "; what it wrote is in the node's log"
    if code >= 0:
        return f"it ended with status {code}{told}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    if -code == signal.SIGKILL:
        return f"it was killed ({name}; the system does so when memory runs out)"
    return f"it died of {name}{told}"


async def _exits(process: asyncio.subprocess.Process, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await process.wait()
    except TimeoutError:
        return False
    return True
