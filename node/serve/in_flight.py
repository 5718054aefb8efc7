"""What a node has in hand: counted, each attempt within its time, all of it ended at a drain's end.

The server and the forwarder of one node share one, so that an attempt which goes from one to the
other is in hand all the while.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mesh.errors import DeadlineExceeded, Draining


class InFlight:
    """``draining``: nothing new is taken. ``ended``: nor handed over; the drain is over."""

    def __init__(self) -> None:
        self._scopes: set[asyncio.Timeout] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False
        self.ended = False

    @property
    def count(self) -> int:
        return len(self._scopes)

    async def idle(self) -> None:
        """Returns when nothing is in flight."""
        while self._scopes:
            await self._idle.wait()

    def end_all(self) -> None:
        """Ends what is in flight with ``Draining``, so that it resumes elsewhere now."""
        self.draining = self.ended = True
        now = asyncio.get_running_loop().time()
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(now)

    @asynccontextmanager
    async def within(
        self, timeout_s: float, what: str, where: Callable[[], str]
    ) -> AsyncIterator[None]:
        """The block is in flight, and ends after ``timeout_s`` seconds. ``what`` it is, and
        ``where`` its time went, are words for the error. Raises ``DeadlineExceeded``,
        ``Draining``."""
        scope = asyncio.timeout(timeout_s)
        self._scopes.add(scope)
        self._idle.clear()
        try:
            async with scope:
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            if self.ended:
                raise Draining(f"the node is going away and ended this {what}") from None
            raise DeadlineExceeded(
                f"the attempt's {timeout_s:.3g} s were used up {where()}"
            ) from None
        finally:
            self._scopes.discard(scope)
            if not self._scopes:
                self._idle.set()
