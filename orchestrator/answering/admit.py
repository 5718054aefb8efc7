"""The door: a bound on the requests inside this process, before anything is done for them.

A slot belongs to a specialty, and is waited for only after the decision (``orchestrator/slots``).
This bound comes before it, so that what a flood costs is a comparison and not a cascade.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from mesh.errors import Overloaded
from mesh.stream import StreamEvent
from mesh.types import Priority
from orchestrator.answering.ask import Answer, Ask

RETRY_AFTER_S = 1.0


class Door:
    """``limit``: requests inside at once, per priority, so that a flood of one leaves the others
    their room. At the limit: refused at once, with a hint when to come back."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = dict.fromkeys(Priority, 0)

    @property
    def inside(self) -> dict[Priority, int]:
        """Requests inside now."""
        return dict(self._inside)

    @contextmanager
    def through(self, priority: Priority, *, begun: bool = False) -> Iterator[None]:
        """One request is inside while the context lasts. ``begun``: its client has a part of the
        answer already; it was admitted before, somewhere, and is not turned away. Raises
        ``Overloaded``."""
        if self._inside[priority] >= self._limit and not begun:
            raise Overloaded(
                f"{self._limit} requests of priority '{priority}' are being answered already; "
                f"try again in {RETRY_AFTER_S:.1f} s",
                retry_after_s=RETRY_AFTER_S,
            )
        self._inside[priority] += 1
        try:
            yield
        finally:
            self._inside[priority] -= 1


def admitted(inner: Answer, door: Door) -> Answer:
    async def answer(ask: Ask) -> AsyncGenerator[StreamEvent, None]:
        begun = ask.request.continuation
        with door.through(ask.request.priority, begun=begun is not None and bool(begun.pieces)):
            async with aclosing(inner(ask)) as events:
                async for event in events:
                    yield event

    return answer
