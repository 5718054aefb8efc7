"""Flow of an answer to its client: what is under way and unread is bounded here, by the mesh.

gRPC's own windows do not: a receiver's stack widens them by itself to megabytes, which are hundreds
of thousands of tokens for a client that has stopped reading. So a client of ours says how many
pieces it has taken, and no more than a window of them is ever under way beyond that. A stranger's
stack says nothing: its client is trusted with the first pieces at any pace, and with the rest at
one that no reader falls behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mesh.clock import Clock
from mesh.errors import InvalidRequest, Unread
from mesh.protobuf.events import event_to_bytes
from mesh.protobuf.metadata import ACKNOWLEDGES, said
from mesh.stream import StreamEvent, Tokens
from mesh.v1 import mesh_pb2 as pb
from mesh.validation import check_request_id

WINDOW_PIECES = 256
WINDOW_BYTES = 64 * 1024
# Of a client that acknowledges nothing.
TRUSTED_PIECES = 4096  # as fast as they are made
TRUST_STEP = 256  # and then so many
TRUST_PAUSE_S = 5.0  # in so many seconds
UNREAD_S = 600.0  # and the answer of a client that reads nothing for so long is ended

Write = Callable[[bytes], Awaitable[None]]


class Flows:
    """The answers that are under way, by their clients' names for them. ``unread_s``: after which
    the answer of a client that reads nothing is ended."""

    def __init__(self, clock: Clock, *, unread_s: float = UNREAD_S) -> None:
        self._clock = clock
        self._unread_s = unread_s
        self._open: dict[str, Flow] = {}

    @contextmanager
    def of(self, context: Any, write: Write | None = None) -> Iterator[Flow]:
        """The flow of the answer to this call. ``write``: in place of the context's own. Raises
        ``InvalidRequest`` for a name that is none, or in use."""
        name = said(context, ACKNOWLEDGES)
        write = write or context.write
        flow = Flow(write, self._clock, acknowledges=name is not None, unread_s=self._unread_s)
        if name is None:
            yield flow
            return
        if check_request_id(name) in self._open:
            raise InvalidRequest(f"{ACKNOWLEDGES} names an answer that is under way already")
        self._open[name] = flow
        try:
            yield flow
        finally:
            del self._open[name]

    async def acknowledge(self, taken: pb.Taken) -> pb.Acknowledged:
        flow = self._open.get(taken.answer)
        if flow is not None:
            flow.taken(taken.pieces)
        return pb.Acknowledged()


class Flow:
    """One answer's writer. ``acknowledges``: whether its client says how far it has read."""

    def __init__(
        self, write: Write, clock: Clock, *, acknowledges: bool, unread_s: float = UNREAD_S
    ) -> None:
        self._write = write
        self._clock = clock
        self._acknowledges = acknowledges
        self._unread_s = unread_s
        self._unread: deque[tuple[int, int, int]] = deque()  # index after it, pieces, bytes
        self._pieces = 0
        self._bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._trust = TRUSTED_PIECES

    async def write(self, event: StreamEvent) -> None:
        """Waits until the client has read enough of what came before. Raises ``Unread``
        when it reads nothing for too long."""
        data = event_to_bytes(event)
        if isinstance(event, Tokens):
            count = len(event.pieces)
            if self._acknowledges:
                await self._room(count, len(data))
                self._unread.append((event.first + count, count, len(data)))
                self._pieces += count
                self._bytes += len(data)
            else:
                await self._trusted(count)
        await self._write(data)

    def taken(self, pieces: int) -> None:
        """The client has read so many pieces of the whole answer."""
        while self._unread and self._unread[0][0] <= pieces:
            _, count, size = self._unread.popleft()
            self._pieces -= count
            self._bytes -= size
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _room(self, count: int, size: int) -> None:
        while self._unread and (
            self._pieces + count > WINDOW_PIECES or self._bytes + size > WINDOW_BYTES
        ):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(self._unread_s):
                    await self._waiter
            except TimeoutError:
                raise Unread(
                    f"the client has not read its answer for {self._unread_s:.0f} s; ask for the "
                    "rest of it when it is wanted"
                ) from None
            finally:
                self._waiter = None

    async def _trusted(self, count: int) -> None:
        while self._trust <= 0:
            await self._clock.sleep(TRUST_PAUSE_S)
            self._trust += TRUST_STEP
        self._trust -= count
