"""Watches the connections that others open to this process, and hangs up those beyond its shares.

One for all listeners of a process: what ZeroMQ, gRPC or a later gateway accepts is all in its
files. A burst that fills them between two looks is waited out: whoever finds no file left meanwhile
takes that for a refusal, and the next look makes room.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace

from mesh.clock import Clock
from mesh.doors import files
from mesh.doors.connections import Connections, hang_up
from mesh.doors.crowd import Connection, Why, hung_up
from mesh.doors.origin import Origin

log = logging.getLogger(__name__)

TICK_S = 0.1  # between two looks at how many files are open, which cost microseconds
LOOK_S = 1.0  # between two looks at all of them, if their number stays about the same
ABOUT = 16
FILES_A_TURN = 128  # then the loop's other work gets its turn
HELD_S = 1.0  # a look that is later than this: the process did not run (stopped, or a busy box)
SAY_AGAIN_S = 10.0  # of one origin and reason: a flood is a line, not a flood of them


class Guard:
    """``limit``: open files of this process."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._shares = files.shares(limit)
        self._clock = clock
        self._connections = Connections()
        self._said: dict[tuple[Origin, Why], float] = {}
        self._runs_since = float("-inf")

    async def run(self) -> None:
        """Until cancelled."""
        seen, seen_at = 0, float("-inf")
        while True:
            opened, now = files.opened(), self._clock.now()
            if abs(opened - seen) > ABOUT or now - seen_at >= LOOK_S:
                seen, seen_at = opened, now
                await self._look()
            before = self._clock.now()
            await self._clock.sleep(TICK_S)
            if self._clock.now() - before > TICK_S + HELD_S:
                self._runs_since = self._clock.now()

    async def _look(self) -> None:
        now = self._clock.now()
        found: list[Connection] = []
        for index, connection in enumerate(self._connections.look(now, self._limit)):
            if connection is not None:
                found.append(self._judged(connection, now))
            if index % FILES_A_TURN == FILES_A_TURN - 1:
                await asyncio.sleep(0)
        gone = hung_up(found, self._shares, now)
        for connection, _ in gone:
            hang_up(connection)
        self._say(Counter((connection.origin, why) for connection, why in gone), now)

    def _judged(self, connection: Connection, now: float) -> Connection:
        """Silence counts from when this process could hear: while it was held, it answered nobody,
        and what they said may not be read yet."""
        quiet_s = min(connection.quiet_s, now - self._runs_since)
        since = connection.since if connection.said else max(connection.since, self._runs_since)
        return replace(connection, quiet_s=quiet_s, since=since)

    def _say(self, gone: Counter[tuple[Origin, Why]], now: float) -> None:
        for key, at in list(self._said.items()):
            if now - at >= SAY_AGAIN_S:
                del self._said[key]
        for (origin, why), count in gone.items():
            if (origin, why) not in self._said:
                self._said[(origin, why)] = now
                log.warning("hung up %d connections of %s: %s", count, origin, why.value)
