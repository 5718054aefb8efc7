"""What requests hold of a process's memory: one budget in bytes, and shares of it with one owner.

A limit on each message says nothing of a thousand of them. So everything that is held for a request
(being read, waiting in line, in attempts) is weighed at the door, as a ``Share`` that is given back
when the answer has ended. Policy at the limit: wait in line for a short while, then refused with a
hint when to come back. Large requests never take the last quarter, so that small ones get in.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from mesh.errors import Overloaded

WAIT_S = 30.0  # in line, at most
MOST_WAITING = 2048  # in line, of each kind; they hold a window of the wire each
LARGE_PART = 0.75  # of the budget
RETRY_AFTER_S = 2.0


class Share:
    """Bytes that are taken until ``release``. As a context: leaving it gives them back."""

    __slots__ = ("_budget", "large", "size")

    def __init__(self, budget: Budget, size: int, *, large: bool) -> None:
        self._budget: Budget | None = budget
        self.size = size
        self.large = large

    def settle(self, size: int) -> None:
        """It weighs ``size`` bytes, as is known by now. More than before is never refused."""
        if self._budget is not None:
            self._budget.changed(self, size)

    def release(self) -> None:
        """Idempotent."""
        budget, self._budget = self._budget, None
        if budget is not None:
            budget.changed(self, 0)

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


class _Waiting:
    __slots__ = ("granted", "size")

    def __init__(self, size: int, granted: asyncio.Future[Share]) -> None:
        self.size = size
        self.granted = granted


class Budget:
    """``limit``: bytes over everything that is held at once."""

    def __init__(self, limit: int, *, wait_s: float = WAIT_S) -> None:
        self.limit = limit
        self.held = 0
        self._held_large = 0
        self._wait_s = wait_s
        self._lines: dict[bool, deque[_Waiting]] = {False: deque(), True: deque()}

    @property
    def waiting(self) -> int:
        """Requests in line now."""
        return sum(map(len, self._lines.values()))

    async def share(self, size: int, *, large: bool, within_s: float | None = None) -> Share:
        """Waits in line for so many bytes. ``within_s``: seconds, where the caller has less time
        than the line gives. Raises ``Overloaded``; a single request always fits an empty budget."""
        line = self._lines[large]
        if not line and self._fits(size, large):
            return self._taken(size, large)
        if len(line) >= MOST_WAITING:
            raise self._full(size)
        waiting = _Waiting(size, asyncio.get_running_loop().create_future())
        line.append(waiting)
        limit = self._wait_s if within_s is None else min(self._wait_s, within_s)
        try:
            async with asyncio.timeout(limit):
                return await waiting.granted
        except TimeoutError:
            full = self._full(size)
            self._leave(waiting, line)
            raise full from None
        except BaseException:
            self._leave(waiting, line)
            raise

    def changed(self, share: Share, size: int) -> None:
        """Called by shares."""
        more = size - share.size
        share.size = size
        self.held += more
        if share.large:
            self._held_large += more
        if more < 0:
            self._grant()

    def _fits(self, size: int, large: bool) -> bool:
        if large:
            most = LARGE_PART * self.limit
            fits = self._held_large + size <= most or not self._held_large
            return fits and (self.held + size <= self.limit or not self.held)
        return self.held + size <= self.limit or not self.held

    def _taken(self, size: int, large: bool) -> Share:
        share = Share(self, 0, large=large)
        self.changed(share, size)
        return share

    def _grant(self) -> None:
        for large, waiting in self._next():
            waiting.granted.set_result(self._taken(waiting.size, large))

    def _next(self) -> Iterator[tuple[bool, _Waiting]]:
        """Whose turn it is: small ones first, each line in its order."""
        for large, line in self._lines.items():
            while line and (line[0].granted.done() or self._fits(line[0].size, large)):
                waiting = line.popleft()
                if not waiting.granted.done():
                    yield large, waiting

    def _leave(self, waiting: _Waiting, line: deque[_Waiting]) -> None:
        """Takes it out of the line, with what it was granted and did not take. Those behind it may
        fit where it did not."""
        if waiting in line:
            line.remove(waiting)
        granted = waiting.granted
        if granted.done() and not granted.cancelled():
            granted.result().release()
        granted.cancel()
        self._grant()

    def _full(self, size: int) -> Overloaded:
        return Overloaded(
            f"requests hold {_mib(self.held)} of the {_mib(self.limit)} MiB that they may, and "
            f"this one needs {_mib(size)}; try again in {RETRY_AFTER_S:.1f} s, or send less",
            retry_after_s=RETRY_AFTER_S,
        )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f}"
