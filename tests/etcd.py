"""A real etcd for tests: free ports, a temporary folder, no fsync; gone with the test."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from mesh.errors import RegistryUnavailable
from mesh.local.etcd import etcd_command, wait_healthy

START_TIMEOUT_S = 20.0
STARTS = 3


def _reserve_port() -> socket.socket:
    """A socket that keeps a free port of loopback for us. As it does not listen, and both sides say
    SO_REUSEADDR, etcd can bind the port beside it, again and again; nobody else is given it."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return holder


# Becomes etcd, having asked Linux (PR_SET_PDEATHSIG) to be killed with the test run. Not by way of
# ``preexec_fn``: a process that speaks gRPC must not run Python between fork and exec.
_STUB = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
os.execv(sys.argv[1], sys.argv[1:])
"""


class EtcdServer:
    """``async with EtcdServer() as etcd``: running and healthy inside. ``start=False``: not yet
    started; its ports are known all the same."""

    def __init__(self, *, start: bool = True) -> None:
        self._start = start
        self._folder = Path(tempfile.mkdtemp(prefix="squadron-etcd-"))
        self._holders = (_reserve_port(), _reserve_port())
        self._ports = [holder.getsockname()[1] for holder in self._holders]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("etcd is not running")
        return self._process.pid

    async def __aenter__(self) -> EtcdServer:
        if self._start:
            try:
                await self.start()
            except BaseException:
                await self._clear()
                raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._clear()

    async def start(self) -> None:
        """Starts it on the data of last time; returns when it is healthy."""
        if self._process is not None:
            raise RuntimeError("etcd is running already")
        for _ in range(STARTS):
            self._process = self._spawn()
            healthy = asyncio.ensure_future(wait_healthy(self.endpoint, START_TIMEOUT_S))
            try:
                while not healthy.done() and self._process.poll() is None:
                    await asyncio.wait((healthy,), timeout=0.1)
                if healthy.done():
                    return healthy.result()
            except RegistryUnavailable as error:
                await self.kill()
                raise RuntimeError(f"etcd did not start: {error}\n{self.log()}") from None
            finally:
                healthy.cancel()
            # It ended at once. Nobody knows its peer port, which somebody may have taken after all.
            self._process = None
            self._holders[1].close()
            self._holders = (self._holders[0], _reserve_port())
            self._ports[1] = self._holders[1].getsockname()[1]
        raise RuntimeError(f"etcd did not start, {STARTS} times\n{self.log()}")

    def log(self) -> str:
        """The end of what it wrote."""
        return (self._folder / "log").read_text()[-2000:]

    async def stop(self) -> None:
        """Ends it in good order; the data stays."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """Ends it with SIGKILL; the data stays. Does nothing when it is not running."""
        await self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and says nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Throws the data away, as a lost disk would."""
        if self._process is not None:
            raise RuntimeError("stop etcd before throwing its data away")
        shutil.rmtree(self._folder / "data")

    async def _clear(self) -> None:
        await self.kill()
        for holder in self._holders:
            holder.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = etcd_command(self._folder / "data", self._ports[0], self._ports[1], durable=False)
        with (self._folder / "log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _STUB, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        await asyncio.to_thread(process.wait, 10)
