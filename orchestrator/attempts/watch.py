"""Looks at every running attempt, and ends those whose time is up or whose node stands still.

One loop for all attempts, so that a token costs no timer. An attempt on a node that has fallen
silent, or whose stream has stalled, is ended only when a slot elsewhere is held for it already:
while there is none, waiting is the best that can be done, and the node may come back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mesh.clock import Clock
from mesh.errors import DeadlineExceeded, NodeLost, NotServed
from mesh.fleet.work import Work
from mesh.types import ModelId, NodeId
from orchestrator.attempts.attempt import AttemptRun, Broken
from orchestrator.attempts.stall import TOKEN_FLOOR_S, Phase, allowance_s, stalled
from orchestrator.picture.fleet import Fleet
from orchestrator.slots.capacity import Reservation
from orchestrator.slots.queue import Admission

TICK_S = 0.05
RETRY_S = 0.25  # between two searches for a slot elsewhere, for one attempt
PATIENCE_S = 10.0  # in the search: no error, whatever the fleet looks like


@dataclass(slots=True, eq=False, kw_only=True)
class _Watched:
    """``look_at``: monotonic seconds before which there is no need to look closer."""

    run: AttemptRun
    node: NodeId
    model: ModelId
    work: Work
    resumable: bool
    look_at: float
    search_at: float = 0.0


class Watch:
    """``run`` owns the loop."""

    def __init__(self, fleet: Fleet, admission: Admission, clock: Clock) -> None:
        self._fleet = fleet
        self._admission = admission
        self._clock = clock
        self._watched: set[_Watched] = set()

    async def run(self) -> None:
        """Watches until cancelled."""
        while True:
            await self._clock.sleep(TICK_S)
            now = self._clock.now()
            suspects = self._fleet.suspects
            for each in tuple(self._watched):
                if each.node in suspects:
                    self._move_from_silent(each, suspects[each.node], now)
                elif now >= each.look_at:
                    self._look(each, now)

    @contextmanager
    def over(
        self, run: AttemptRun, *, node: NodeId, model: ModelId, work: Work, resumable: bool
    ) -> Iterator[None]:
        """Watches the attempt while the context lasts. ``resumable`` False: once it has delivered,
        only its deadline ends it."""
        each = _Watched(
            run=run,
            node=node,
            model=model,
            work=work,
            resumable=resumable,
            look_at=min(run.deadline, self._clock.now() + TOKEN_FLOOR_S),
        )
        self._watched.add(each)
        try:
            yield
        finally:
            self._watched.discard(each)

    def _look(self, each: _Watched, now: float) -> None:
        pace, run = each.run.pace, each.run
        if now >= run.deadline:
            run.abandon(Broken(DeadlineExceeded(""), blame=False))
            return
        beside = any(
            other is not each
            and other.node == each.node
            and other.model == each.model
            and other.run.pace.phase is not Phase.DECODING
            for other in self._watched
        )
        if stalled(pace, now, beside_prefill=beside):
            self._move(
                each,
                f"no sign of the answer for {now - pace.since:.1f} s, though its link is up",
                now,
                blame=True,
            )
            each.look_at = min(run.deadline, now + RETRY_S)
            return
        # ``since`` only grows, so it cannot have stalled before this.
        since = pace.since if pace.waiting else now
        due = since + min(TOKEN_FLOOR_S, allowance_s(pace, beside_prefill=beside))
        each.look_at = min(run.deadline, max(due, now + TICK_S))

    def _move_from_silent(self, each: _Watched, heard_at: float, now: float) -> None:
        if now >= each.run.deadline:
            self._look(each, now)
            return
        self._move(each, f"silent for {now - heard_at:.1f} s", now, blame=False)

    def _move(self, each: _Watched, why: str, now: float, *, blame: bool) -> None:
        if now < each.search_at or (each.run.delivered and not each.resumable):
            return
        each.search_at = now + RETRY_S
        elsewhere = self._elsewhere(each)
        if elsewhere is not None:
            error = NodeLost(why, node_id=each.node)
            each.run.abandon(Broken(error, blame=blame), elsewhere)

    def _elsewhere(self, each: _Watched) -> Reservation | None:
        work = replace(
            each.work,
            exclude=each.work.exclude | {each.node},
            resuming=True,
            patience_s=PATIENCE_S,
        )
        try:
            return self._admission.offer(work)
        except NotServed:
            return None
