"""A child process that is spoken to, as its parent holds it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from mesh.child import ending
from mesh.child.frames import READ_BYTES, FrameReader, Gone
from mesh.child.limits import UNLIMITED, Limits
from mesh.child.process import Process
from mesh.child.start import python, start

In = TypeVar("In")
_LOG_TAIL_BYTES = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Child(Generic[In]):
    """A running child and our end of its socket; ``end`` it. ``log``: the file that takes its
    standard error, and where its part of that begins."""

    process: Process
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _frames: FrameReader[In]
    log: tuple[Path, int] | None

    def send(self, data: bytes) -> None:
        """Queues one frame or more. The bound on what may wait is the caller's."""
        self._writer.write(data)

    async def receive(self) -> list[In]:
        """The messages that the next bytes complete, maybe none. Raises ``Gone`` when there will be
        no more, ``ProtocolError``."""
        try:
            data = await self._reader.read(READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            raise Gone
        return self._frames.read(data)

    def last_words(self) -> str:
        """The last line that it wrote to standard error, "" when none or not to a file."""
        if self.log is None:
            return ""
        path, start_at = self.log
        with suppress(OSError), path.open("rb") as file:
            file.seek(max(start_at, file.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            lines = file.read(_LOG_TAIL_BYTES).decode("utf-8", "replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""

    async def shut_down(self, request: bytes, *, ask_s: float, terminate_s: float) -> None:
        """Asks by a frame, then signals, then kills, waiting so many seconds after each; returns
        with the process gone."""
        try:
            self.send(request)
            if not await ending.exits(self.process, ask_s):
                ending.terminate(self.process)
                await ending.exits(self.process, terminate_s)
        finally:
            await self.end()

    async def end(self) -> None:
        """Kills what is left and closes the socket; idempotent."""
        self._writer.close()
        await ending.collect(self.process)
        with suppress(OSError):
            await self._writer.wait_closed()


async def launch(
    name: str,
    *arguments: str,
    frames: FrameReader[In],
    limits: Limits = UNLIMITED,
    stderr: Path | None = None,
    environment: Mapping[str, str] | None = None,
    fds: Sequence[int] = (),
) -> Child[In]:
    """Starts ``python -m name ARGUMENTS --fd N``, N being its end of the socket, whose words
    ``frames`` reads. ``stderr``: a file to append to; None: ours. ``fds``: kept open for it, beside
    that one. Raises ``OSError``."""
    ours, theirs = socket.socketpair()
    process = log = sink = None
    try:
        with theirs, ExitStack() as files:
            if stderr is not None:
                sink = files.enter_context(stderr.open("ab"))
                log = stderr, sink.seek(0, os.SEEK_END)
            process = await start(
                python(name, *arguments, "--fd", str(theirs.fileno())),
                limits=limits,
                stderr=sink,
                environment=environment,
                fds=(theirs.fileno(), *fds),
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=READ_BYTES)
    except BaseException:
        ours.close()  # which the child would notice; it need not be waited for
        if process is not None:
            ending.kill_group(process)
        raise
    return Child(process, reader, writer, frames, log)
