"""A link: sessions with one node, one after another, for as long as its owner wants them."""

from __future__ import annotations

import asyncio
import logging
import random

from mesh.backoff import Backoff
from mesh.clock import Clock
from mesh.errors import NodeLost, Unreachable
from mesh.settings.timing import Timing
from mesh.transport.base import Attempt, OnHeartbeat, OnLink
from mesh.transport.frames import Hello
from mesh.transport.session import DialSession
from mesh.transport.stream import DialedStream
from mesh.transport.wire import Connect
from mesh.types import NodeId

FIRST_PAUSE_S = 0.05  # before the first new try; a restarted node is back on the air soon

log = logging.getLogger(__name__)


class FramedLink:
    """A ``Link`` over any wire. A session that ends is followed by another, on a fresh wire, after
    a jittered pause of at most ``Timing.connect_timeout_s``."""

    def __init__(
        self,
        *,
        connect: Connect,
        endpoint: str,
        node: NodeId,
        hello: Hello,
        timing: Timing,
        clock: Clock,
        rng: random.Random,
        on_heartbeat: OnHeartbeat,
        on_link: OnLink,
    ) -> None:
        self._connect = connect
        self._endpoint = endpoint
        self._node = node
        self._hello = hello
        self._timing = timing
        self._clock = clock
        self._backoff = Backoff(FIRST_PAUSE_S, timing.connect_timeout_s, rng)
        self._on_heartbeat = on_heartbeat
        self._on_link = on_link
        self._session: DialSession | None = None
        self._tries = 0

    @property
    def up(self) -> bool:
        return self._session is not None and self._session.heard

    @property
    def tries(self) -> int:
        return self._tries

    def open(self, attempt: Attempt) -> DialedStream:
        """Raises ``NodeLost`` when the link is not up; see also ``DialSession.open``."""
        if self._session is None:
            raise NodeLost(
                f"no link to node {self._node} right now",
                node_id=self._node,
                request_id=attempt.request_id,
            )
        return self._session.open(attempt)

    async def run(self) -> None:
        told = ""
        while True:
            began = self._clock.now()
            reason = await self._hold_session()
            stood = self._clock.now() - began > self._timing.connect_timeout_s
            if stood:
                self._backoff.reset()
            if stood or reason != told:  # a node that stays away is reported once, not every try
                log.warning("link to node %s at %s: %s", self._node, self._endpoint, reason)
                told = reason
            await self._clock.sleep(self._backoff.next())

    async def _hold_session(self) -> str:
        """One session from its first frame to its last; returns why it ended."""
        session = DialSession(
            hello=self._hello,
            node=self._node,
            timing=self._timing,
            clock=self._clock,
            on_heartbeat=self._on_heartbeat,
            on_link=self._moved,
        )
        self._session = session
        try:
            wire = await self._connect(session)
            async with asyncio.TaskGroup() as group:
                session.start(wire)
                watch = group.create_task(session.watch())
                group.create_task(wire.run())
                try:
                    # Shielded: cancelling this task must not cancel the future that `end` looks at.
                    reason = await asyncio.shield(session.ended)
                finally:
                    # Here, while the wire still runs: it carries the last word.
                    session.end("this process closed the link", bye=True)
                    watch.cancel()
        except Unreachable as error:
            reason = error.message
        finally:
            session.end("this process closed the link", bye=True)
            self._session = None
        self._tries += 1
        return reason

    def _moved(self, up: bool) -> None:
        self._tries = 0 if up else -1  # the end of this very session is no failed try
        self._on_link(up)
