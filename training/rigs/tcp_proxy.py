"""A TCP proxy that can break the connections through it, for tests."""

from __future__ import annotations

import asyncio
from types import TracebackType

CHUNK = 64 * 1024


class TcpProxy:
    """``async with TcpProxy("127.0.0.1:2379") as proxy``: dial ``proxy.endpoint`` instead.
    ``port``: its own, 0 for a free one."""

    def __init__(self, target: str, *, port: int = 0) -> None:
        host, _, target_port = target.rpartition(":")
        self._target = (host, int(target_port))
        self._server: asyncio.Server | None = None
        self._port = port
        self.accepted = 0  # connections so far
        self._open: dict[asyncio.StreamWriter, asyncio.Event] = {}

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def connections(self) -> int:
        return len(self._open) // 2

    async def __aenter__(self) -> TcpProxy:
        await self.heal()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.cut()

    async def cut(self) -> None:
        """Closes every connection and refuses new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer, going in list(self._open.items()):
            going.set()
            writer.transport.abort()
        while self._open:  # noqa: ASYNC110 (bounded: their pumps end now)
            await asyncio.sleep(0)

    async def heal(self) -> None:
        """Takes connections (again), on the same port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def freeze(self) -> None:
        """The connections that exist now stay open and carry nothing more; new ones work. So does
        a router look that forgot its connections."""
        for going in self._open.values():
            going.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        going = asyncio.Event()
        going.set()
        self._open |= {writer: going, far_writer: going}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer, going))
                group.create_task(self._pump(far_reader, writer, going))
        finally:
            for end in (writer, far_writer):
                end.transport.abort()
                self._open.pop(end, None)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, going: asyncio.Event
    ) -> None:
        try:
            while data := await source.read(CHUNK):
                await going.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.transport.abort()
