"""A child process as its parent holds it: what asyncio's is, but for how it is started.

A loop's own way to start one is a fork, which copies the page tables of all that the parent has
(55 ms a gigabyte, in which the loop stands still) and runs what libraries do at forks: gRPC's
crashed one child in three. ``subprocess`` starts one by vfork, in a millisecond whatever the size.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from contextlib import suppress


class Process:
    """Made inside the event loop, of a process just started; awaited or not, it is collected when
    it ends."""

    def __init__(self, started: subprocess.Popen[bytes]) -> None:
        self._started = started
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._returncode: int | None = None
        try:
            watched = os.pidfd_open(started.pid)
        except (AttributeError, OSError):  # another system, an old kernel, or no descriptor is left
            threading.Thread(target=self._await, name=f"child {self.pid}", daemon=True).start()
        else:
            self._loop.add_reader(watched, self._collect, watched)

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; a signal that killed it is negative."""
        return self._returncode

    async def wait(self) -> int:
        """Its return code, once it has ended."""
        await self._ended.wait()
        return self._started.returncode

    def send_signal(self, number: int) -> None:
        """Raises ``ProcessLookupError`` when it has ended."""
        if self._returncode is not None:
            raise ProcessLookupError
        self._started.send_signal(number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _collect(self, watched: int) -> None:
        self._loop.remove_reader(watched)
        os.close(watched)
        self._started.wait()
        self._over()

    def _await(self) -> None:
        self._started.wait()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._over)

    def _over(self) -> None:
        self._returncode = self._started.returncode
        self._ended.set()
