"""Looks at every running attempt, and says which are out of time or whose node stands still.

One loop for all attempts, so that a token costs no timer. An attempt whose time is up is ended
here. One on a node that has fallen silent, or whose stream has stalled, is for its request to move,
which does so only with a slot elsewhere in hand: while there is none, waiting is the best that can
be done, and the node may come back. One whose client reads nothing loses its slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mesh.cleaned import cleaned
from mesh.clock import Clock
from mesh.errors import DeadlineExceeded, NodeLost, Unread
from mesh.fleet.records import ModelRecord
from mesh.spans import span
from orchestrator.attempts.attempt import AttemptRun, Blame, Broken
from orchestrator.attempts.claims import PHASE_CHARS
from orchestrator.attempts.stall import TOKEN_FLOOR_S, Phase, overdue, stalled, unread
from orchestrator.picture.fleet import Fleet

TICK_S = 0.05
RETRY_S = 0.25  # between two words to one request that its attempt should move

Move = Callable[[Broken], None]  # why: the attempt's end, if a slot elsewhere is found


@dataclass(slots=True, eq=False, kw_only=True)
class _Watched:
    """``look_at``: monotonic seconds before which there is no need to look closer; ``move_at``:
    before which ``move`` is not called again."""

    run: AttemptRun
    move: Move
    look_at: float
    move_at: float = 0.0


class Watch:
    """``awaited``: whether somebody waits for a slot of such a model. ``run`` owns the loop."""

    def __init__(
        self, fleet: Fleet, clock: Clock, awaited: Callable[[ModelRecord], bool] = lambda _: False
    ) -> None:
        self._awaited = awaited
        self._fleet = fleet
        self._clock = clock
        self._watched: set[_Watched] = set()

    async def run(self) -> None:
        """Watches until cancelled."""
        while True:
            await self._clock.sleep(TICK_S)
            self._look_round()

    def _look_round(self) -> None:
        """Apart, so that no attempt outlives its request as the loop's last one."""
        now = self._clock.now()
        suspects = self._fleet.suspects
        for each in tuple(self._watched):
            node = each.run.row.node
            if node in suspects and now < each.run.deadline:
                why = f"silent for {now - suspects[node]:.1f} s"
                self._move(each, why, now, blame=Blame.NOBODY)
            elif now >= each.look_at:  # never after its deadline
                self._look(each, now)

    @contextmanager
    def over(self, run: AttemptRun, move: Move) -> Iterator[None]:
        """Watches the attempt while the context lasts. ``move`` may be called again and again, as
        long as it does not abandon the attempt; it must not wait."""
        look_at = min(run.deadline, self._clock.now() + TOKEN_FLOOR_S)
        each = _Watched(run=run, move=move, look_at=look_at)
        self._watched.add(each)
        try:
            yield
        finally:
            self._watched.discard(each)

    def _look(self, each: _Watched, now: float) -> None:
        pace, run = each.run.pace, each.run
        if now >= run.deadline:
            run.abandon(Broken(DeadlineExceeded(""), blame=Blame.NOBODY))
            return
        if not pace.waiting and unread(pace, now, awaited=self._awaited(run.model)):
            run.pause(Unread(f"its client has read nothing for {now - pace.heard:.0f} s"))
            return
        beside = any(
            other is not each
            and (other.run.row.node, other.run.row.model) == (run.row.node, run.row.model)
            and other.run.pace.phase is not Phase.DECODING
            for other in self._watched
        )
        late = overdue(pace, now)
        if late or stalled(pace, now, beside_prefill=beside):
            why = f"no sign of the answer for {span(now - pace.since)}, though its link is up"
            if late:
                doing = cleaned(pace.at, PHASE_CHARS) or "at work"
                why = f"no token for {span(now - pace.opened)}, though it says that it is {doing}"
            self._move(each, why, now, blame=Blame.MODEL)
            each.look_at = min(run.deadline, now + RETRY_S)
            return
        # ``since`` only grows and no allowance is shorter, so it cannot have stalled before this.
        since = pace.since if pace.waiting else now
        each.look_at = min(run.deadline, max(since + TOKEN_FLOOR_S, now + TICK_S))

    def _move(self, each: _Watched, why: str, now: float, *, blame: Blame) -> None:
        if now < each.move_at or not each.run.movable:
            return
        each.move_at = now + RETRY_S
        each.move(Broken(NodeLost(why), blame=blame))
