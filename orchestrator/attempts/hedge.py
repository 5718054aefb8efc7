"""A second attempt for a first token that is late, within a budget; the first to deliver wins.

Source: J. Dean, L. A. Barroso, "The Tail at Scale", CACM 2013: sending a second request after the
95th percentile of the expected latency cuts the tail for about 5 % of extra load. Off by default:
on few boxes an extra attempt is a slot that somebody else may want.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from mesh.clock import Clock
from mesh.errors import DeadlineExceeded, NodeLost, ProtocolError, first_of
from mesh.transport.base import AttemptEvent, AttemptStream, Finished, Tokens
from mesh.types import ModelId

REMEMBERED = 128  # times to first token, per model
ENOUGH = 20  # of them, before their 95th percentile says something
MOST_MODELS = 1_024  # whose times are remembered; beyond it the longest known is forgotten
BURST = 4.0  # extra requests that may be saved up
SHARE = 0.95


@dataclass(slots=True)
class HedgePolicy:
    """When to hedge, and whether there is budget for it. Pure.

    ``after_s``: None is never, 0 the 95th percentile of the model's recent times to first token,
    else that many seconds. ``share``: extra requests per request, 0..1 (a token bucket).
    """

    after_s: float | None = None
    share: float = 0.05
    _saved: float = 1.0
    _times: dict[ModelId, deque[float]] = field(default_factory=dict)

    def delay_s(self, model: ModelId) -> float | None:
        """How long to wait for the first token of this attempt before a second one; None: do not.
        Each call is a request that earns its share of the budget."""
        if self.after_s is None:
            return None
        self._saved = min(BURST, self._saved + self.share)
        if self.after_s > 0:
            return self.after_s
        times = self._times.get(model, ())
        if len(times) < ENOUGH:
            return None
        return sorted(times)[int(SHARE * len(times))]

    def spend(self) -> bool:
        """Whether there is budget for one more attempt now; takes it."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True

    def first_token(self, model: ModelId, seconds: float) -> None:
        """An attempt had its first token after so long."""
        if self.after_s != 0:
            return
        if model not in self._times and len(self._times) >= MOST_MODELS:
            del self._times[next(iter(self._times))]
        self._times.setdefault(model, deque(maxlen=REMEMBERED)).append(seconds)


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

    lost: NodeLost | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read()), group.create_task(clock.sleep(seconds))]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
    except* NodeLost as group_error:
        lost = first_of(group_error)
    if lost is not None:
        raise lost
    return event


async def race(
    streams: Sequence[AttemptStream], clock: Clock, seconds: float
) -> tuple[int, tuple[AttemptEvent, ...]]:
    """Reads all until one delivers; its index, and what it sent. The others are cancelled. When
    none delivers (all refuse or break) it is the last to end, so that its end is what counts.
    Raises ``DeadlineExceeded`` after ``seconds``."""
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
        running = {group.create_task(read(index)) for index in range(len(streams))}
        while running and not limit.done() and not any(lead.delivers for lead in leads):
            await asyncio.wait({limit, *running}, return_when=asyncio.FIRST_COMPLETED)
            running = {task for task in running if not task.done()}
        late = limit.done()
        for task in (limit, *running):
            task.cancel()
    if late and not any(lead.delivers for lead in leads):
        raise DeadlineExceeded("")
    winner = next((index for index, lead in enumerate(leads) if lead.delivers), last)
    for index, stream in enumerate(streams):
        if index != winner:
            stream.cancel()
    return winner, tuple(leads[winner].events)
