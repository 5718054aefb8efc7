"""What stands between the loop that reads an upstream and the thread that steps the engine.

The loop puts, the thread takes; each side only ever calls its own half. What waits is bounded: a
full stream is not read from the network any further, so that the upstream waits too.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from node.engines.openai.failures import Trouble
from node.engines.openai.reading import End, Event

LONGEST_QUEUE = 64  # events, each of a piece's size

_READ_BYTES = 4096


class Wake:
    """A file descriptor that is readable once something was ``set`` and not yet ``clear``ed."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._is_set = False

    @property
    def fd(self) -> int:
        return self._read

    def set(self) -> None:
        """Any thread."""
        if not self._is_set:
            self._is_set = True
            with suppress(BlockingIOError, OSError):  # closed: nobody waits any more
                os.write(self._write, b"\0")

    def clear(self) -> None:
        """Before one looks at what there is, so that what comes later sets it again."""
        with suppress(BlockingIOError):
            os.read(self._read, _READ_BYTES)
        self._is_set = False

    def close(self) -> None:
        read, write, self._read, self._write = self._read, self._write, -1, -1
        for fd in (read, write):
            if fd >= 0:
                os.close(fd)


@dataclass(slots=True, kw_only=True)
class Stream:
    """One open slot. ``prompt``: its tokens, guessed until the upstream has counted. ``begun``: its
    first piece was taken; ``signs``: of life, given until then. ``ended``: its end was put;
    ``over``: it was taken."""

    slot: int
    prompt: int
    wake: Wake
    opened_at: float = 0.0
    begun: bool = False
    signs: int = 0
    position: int = 0
    over: bool = False
    ended: bool = False
    task: asyncio.Task[None] | None = None
    _events: deque[Event | Trouble] = field(default_factory=deque)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _blocked: bool = False

    async def put(self, event: Event) -> None:
        """The loop's half; waits while the queue is full."""
        while len(self._events) >= LONGEST_QUEUE:
            self._room.clear()
            self._blocked = True
            # Looked at again, now that a take will tell: it may have come just before.
            if len(self._events) >= LONGEST_QUEUE:
                await self._room.wait()
            self._blocked = False
        self._events.append(event)
        self.ended = isinstance(event, End)
        self.wake.set()

    def fail(self, trouble: Trouble) -> None:
        """The loop's half; always the last, so it needs no room."""
        self._events.append(trouble)
        self.wake.set()

    def take(self, tell: Callable[[Callable[[], None]], object]) -> Event | Trouble | None:
        """The thread's half; None when nothing is there. ``tell``: runs a call in the loop."""
        if not self._events:
            return None
        event = self._events.popleft()
        if self._blocked and len(self._events) <= LONGEST_QUEUE // 2:
            tell(self._room.set)
        return event

    @property
    def next(self) -> Event | Trouble | None:
        """What ``take`` would give."""
        return self._events[0] if self._events else None
