"""A user's sequence that waits, for a step of the engine, until measured ones have left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from mesh.errors import EngineFailed, InvalidRequest, NotServed
from node.models.hosted import RunningSequence
from node.runner.messages import Event, Rejected


class Deferred:
    """A ``RunningSequence``; ``start`` opens the real one, ``fail`` says that there will be none.
    ``on_leave``: called when it is cancelled before it was opened."""

    def __init__(
        self, open_sequence: Callable[[], RunningSequence], on_leave: Callable[[Deferred], None]
    ) -> None:
        self._open = open_sequence
        self._on_leave = on_leave
        self._sequence: RunningSequence | None = None
        self._refusal: Rejected | None = None
        self._failure: str | None = None
        self._settled = asyncio.Event()
        self._granted = 0

    def start(self) -> None:
        try:
            self._sequence = self._open()
        except (InvalidRequest, NotServed) as error:
            self._refusal = Rejected(
                sequence=0,
                code=error.code,
                message=error.message,
                retry_after_s=error.retry_after_s,
            )
        except EngineFailed as error:
            self._failure = error.message
        else:
            if self._granted:
                self._sequence.grant(self._granted)
        self._settled.set()

    def fail(self, message: str) -> None:
        self._failure = message
        self._settled.set()

    def grant(self, pieces: int) -> None:
        if self._sequence is not None:
            self._sequence.grant(pieces)
        else:
            self._granted += pieces

    def cancel(self) -> None:
        if self._sequence is not None:
            self._sequence.cancel()
        elif not self._settled.is_set():
            self._settled.set()
            self._on_leave(self)

    async def __aiter__(self) -> AsyncIterator[Event]:
        await self._settled.wait()
        if self._failure is not None:
            raise EngineFailed(self._failure)
        if self._refusal is not None:
            yield self._refusal
        elif self._sequence is not None:
            async for event in self._sequence:
                yield event
