"""A stream that is never silent while its sender lives: where there is nothing to say for
``BEAT_S``, an event without content says that somebody is there.

A connection is no sign of life: the kernel keeps a stopped process's connections open, and gRPC's
threads answer pings while the event loop hangs. Clients learn of it by the first event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mesh.clock import Clock, SystemClock
from mesh.either import beside
from mesh.v1 import mesh_pb2 as pb

BEAT_S = 0.25
# Also put behind the first event: protobuf merges what is written one after the other.
BEAT = pb.GenerateEvent(heartbeat_ms=round(1000 * BEAT_S)).SerializeToString()


class Beats:
    """Writes a stream's events, one at a time. ``context``: gRPC's, of a call that answers with a
    stream of ``GenerateEvent``."""

    def __init__(self, context: Any, clock: Clock) -> None:
        self._context = context
        self._clock = clock
        self._writing = asyncio.Lock()
        self._last = clock.now()
        self._announced = False

    async def write(self, event: bytes) -> None:
        """Returns once the wire has taken it."""
        async with self._writing:
            await self._write(event)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(max(0.0, self._last + BEAT_S - self._clock.now()))
            async with self._writing:  # an event may have been under way
                if self._clock.now() - self._last >= BEAT_S:
                    await self._write(b"")

    async def _write(self, event: bytes) -> None:
        if not self._announced or not event:
            event += BEAT
        self._announced = True
        await self._context.write(event)
        self._last = self._clock.now()


@asynccontextmanager
async def beating(context: Any, clock: Clock | None = None) -> AsyncIterator[Beats]:
    """The stream beats while the context lasts. What ends either of both ends both, and is
    raised as it was."""
    beats = Beats(context, clock or SystemClock())
    async with beside(beats.run()):
        yield beats
