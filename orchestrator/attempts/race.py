"""Two streams of one request, of which the first to deliver wins; and one, read for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from mesh.clock import Clock
from mesh.either import either
from mesh.errors import NodeLost, ProtocolError
from mesh.transport.base import AttemptEvent, AttemptStream, Finished, Tokens


@dataclass(slots=True)
class Lead:
    """What one of two attempts has sent so far. ``delivers``: tokens, or a whole answer."""

    events: list[AttemptEvent] = field(default_factory=list)
    delivers: bool = False


async def next_within(stream: AttemptStream, clock: Clock, seconds: float) -> AttemptEvent | None:
    """The stream's next event; None when there was none in that time, or it has ended. Raises
    ``NodeLost``."""
    event: AttemptEvent | None = None

    async def read() -> None:
        nonlocal event
        event = await anext(stream, None)

    await either(read(), clock.sleep(seconds))
    return event


async def race(
    streams: Sequence[AttemptStream], clock: Clock, seconds: float
) -> tuple[int, tuple[AttemptEvent, ...]]:
    """Reads all until one delivers, or is the only one left: its index, and what it sent. The
    others are cancelled, or have refused or broken. When all end at once it is the last to end, so
    that its end is what counts. After ``seconds`` it is the first that has not ended: nobody judges
    how attempts fare in here, so that a race must not go on for ever."""
    leads = [Lead() for _ in streams]
    last = 0

    async def read(index: int) -> None:
        nonlocal last
        lead = leads[index]
        try:
            async for event in streams[index]:
                lead.events.append(event)
                if isinstance(event, Tokens | Finished):
                    lead.delivers = True
                    return
        except (NodeLost, ProtocolError):
            pass  # whoever reads on meets it again, since a lost stream stays lost
        finally:
            last = index

    async with asyncio.TaskGroup() as group:
        limit = group.create_task(clock.sleep(seconds))
        running = {group.create_task(read(index)): index for index in range(len(streams))}
        # One alone is no race: its reader goes on with it, under whoever watches attempts.
        while len(running) > 1 and not limit.done() and not any(lead.delivers for lead in leads):
            await asyncio.wait({limit, *running}, return_when=asyncio.FIRST_COMPLETED)
            running = {task: index for task, index in running.items() if not task.done()}
        late, left = limit.done(), tuple(running.values())
        for task in (limit, *running):
            task.cancel()
    delivering = (index for index, lead in enumerate(leads) if lead.delivers)
    winner = next(delivering, left[0] if len(left) == 1 or (late and left) else last)
    for index, stream in enumerate(streams):
        if index != winner:
            stream.cancel()
    return winner, tuple(leads[winner].events)
