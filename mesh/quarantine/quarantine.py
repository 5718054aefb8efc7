"""One process's part in the fleet's quarantine: it strikes, tells the others, and refuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mesh.cleaned import cleaned
from mesh.clock import Clock
from mesh.errors import FormExplodes, FormLost, MeshError, ProtocolError, Quarantined
from mesh.fleet.border import shown_key
from mesh.fleet.complaints import Complaints
from mesh.quarantine.marks import Marks
from mesh.quarantine.strikes import (
    MOST_TELLERS,
    STRIKES,
    WHY_CHARS,
    Strike,
    decode,
    encode,
    heard,
    lasts,
    struck,
    totals,
)
from mesh.registry.base import QUARANTINE, Delete, Put, Registry

log = logging.getLogger(__name__)

SWEEP_S = 30.0  # between two looks for strikes that have ended


class Quarantine:
    """``registry``: None for what is this process's own alone; else ``teller`` is the process's id,
    and ``run``, which listens to the others, must run."""

    def __init__(self, clock: Clock, registry: Registry | None = None, teller: str = "") -> None:
        self._registry = registry
        self._clock = clock
        self._key = f"{QUARANTINE}{teller}"
        self._complaints = Complaints()
        self._own: dict[str, Strike] = {}
        self._told: dict[str, tuple[Strike, ...]] = {}  # by the key of each other process
        self._refused: dict[str, Strike] = {}  # what has strikes enough, by mark

    def check(self, marks: Callable[[], Marks]) -> None:
        """Raises ``Quarantined``. While nothing is in quarantine, ``marks`` is not asked."""
        if not self._refused:
            return
        found = marks()
        now = self._clock.wall()
        for mark in (found.whole, found.form):
            strike = self._refused.get(mark)
            if strike is not None and lasts(strike, now):
                raise _refusal(strike, now, "is refused")

    def strike(self, marks: Marks, error: MeshError) -> Quarantined | None:
        """It was too much for an engine. What its client is told, once that is often enough."""
        of_form = isinstance(error, FormLost | FormExplodes) and marks.form
        mark = marks.form if of_form else marks.whole
        now = self._clock.wall()
        self._own = struck(self._own, mark, error.message, now)
        log.warning(
            "a request was too much for an engine, %d times as told here (%s): %s",
            self._own[mark].count,
            mark,
            self._own[mark].why,
        )
        self._tell()
        self._sum(now)
        strike = self._refused.get(mark)
        return None if strike is None else _refusal(strike, now, "has come to an end")

    async def run(self) -> None:
        """Listens until cancelled. With the registry away, what is known goes on to hold."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sweep(), name="quarantine sweep")
            if self._registry is not None:
                group.create_task(self._listen(self._registry), name="quarantine watch")

    async def _listen(self, registry: Registry) -> None:
        async for changes in registry.watch(QUARANTINE):
            for change in changes:
                match change:
                    case Put(key=key) if key == self._key:
                        pass
                    case Put(key=key, value=value):
                        self._hear(key, value)
                    case Delete(key=key):
                        # It left: what it told ends when it said that it would.
                        pass
            self._sum(self._clock.wall())

    def _hear(self, key: str, value: bytes) -> None:
        if key not in self._told and len(self._told) >= MOST_TELLERS:
            return
        try:
            self._told[key] = heard(decode(value), self._clock.wall())
        except ProtocolError as error:
            problem = f"{shown_key(key)}: {error.message}"
            for line in self._complaints.lines((problem,), self._clock.now()):
                log.warning("%s", line)

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_S)
            now = self._clock.wall()
            left = {mark: strike for mark, strike in self._own.items() if lasts(strike, now)}
            if len(left) < len(self._own):
                self._own = left
                self._tell()
            self._told = {
                key: strikes
                for key, strikes in self._told.items()
                if any(lasts(strike, now) for strike in strikes)
            }
            self._sum(now)

    def _tell(self) -> None:
        if self._registry is None:
            return
        if self._own:
            self._registry.announce(self._key, encode(self._own.values()))
        else:
            self._registry.withdraw(self._key)

    def _sum(self, now: float) -> None:
        counted = totals((self._own.values(), *self._told.values()), now)
        self._refused = {m: strike for m, strike in counted.items() if strike.count >= STRIKES}


def _refusal(strike: Strike, now: float, what: str) -> Quarantined:
    left = max(1.0, strike.until - now)
    return Quarantined(
        f"this request {what}: it was too much for an engine {strike.count} times, the last "
        f"time: {cleaned(strike.why, WHY_CHARS)}; it is kept out for another {left:.0f} s; change "
        "its prompt, grammar or schema",
        retry_after_s=left,
    )
