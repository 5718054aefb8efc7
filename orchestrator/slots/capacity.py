"""Finds a free slot for a piece of work, and holds it: placement, joined with what is free now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from mesh.clock import Clock
from mesh.fleet.placement import best
from mesh.fleet.records import ModelRecord
from mesh.fleet.standings import Standings
from mesh.types import Candidate, ModelId, NodeId
from orchestrator.picture.fleet import Fleet
from orchestrator.slots.outlook import Absent, Busy, Work, absent, explained, relieved

FEW = 8  # candidates that are looked at before all are


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reservation:
    """A slot that is counted as taken until ``release``. ``model``: its record at that moment."""

    candidate: Candidate
    model: ModelRecord
    _held: ExitStack = field(repr=False)

    def release(self) -> None:
        """Idempotent."""
        self._held.close()

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


class Capacity:
    """``registry``: how the registry is called in errors, for example ``registry at HOST:PORT``."""

    def __init__(self, fleet: Fleet, clock: Clock, *, registry: str = "the registry") -> None:
        self._fleet = fleet
        self._clock = clock
        self._registry = registry
        self._standings = Standings()

    def take(self, work: Work) -> Reservation | Busy | Absent:
        """The best candidate with a free slot, held; else why there is none. Never waits."""
        now = self._clock.now()
        found = self._found(work, now)
        if found is not None:
            return found
        rows = explained(self._fleet.view, work, now)
        away = "" if self._fleet.registry_connected else f"{self._registry} is unreachable"
        outlook = absent(self._fleet.view, rows, work, now, registry=away)
        # A specialist that will be there in a moment is worth waiting for, and one that began the
        # answer is worth more.
        if (outlook.may_come or work.patience_s) and not work.settled:
            return outlook
        return self._first(relieved(self._fleet.view, work, now), work) or outlook

    def _found(self, work: Work, now: float) -> Reservation | Busy | None:
        """None: there is no candidate at all."""
        if work.prefer is not None:
            same = self._best(
                work,
                now,
                1,
                lambda node, model: model == work.prefer and self._free(node, model, work),
            )
            if isinstance(held := self._first(same, work), Reservation):
                return held
        # The best few nearly always have a slot, and ranking hundreds costs more than all the rest.
        rows = self._best(work, now, FEW)
        found = self._first(rows, work)
        if isinstance(found, Reservation) or len(rows) < FEW:
            return found
        free = self._best(work, now, 1, lambda node, model: self._free(node, model, work))
        if work.larger_than:
            rows = self._best(
                work, now, 1, lambda node, model: self._fits(node, model, work) is not None
            )
        return self._first(free, work) or (Busy(len(rows)) if rows else None)

    def _first(self, rows: Sequence[Candidate], work: Work) -> Reservation | Busy | None:
        """The first of the rows with a slot, held. None: none of them fits the work."""
        busy = 0
        for row in rows:
            model = self._fits(row.node, row.model, work)
            if model is None:
                continue
            if self._fleet.free_slots(row.node, row.model) > 0:
                held = ExitStack()
                held.enter_context(self._fleet.hold(row.node, row.model))
                return Reservation(candidate=row, model=model, _held=held)
            busy += 1
        return Busy(busy) if busy else None

    def _best(
        self,
        work: Work,
        now: float,
        limit: int,
        only: Callable[[NodeId, ModelId], bool] | None = None,
    ) -> tuple[Candidate, ...]:
        return best(
            self._fleet.view,
            specialty=work.specialty,
            substitutes=work.substitutes,
            model=work.model,
            prompt_bytes=work.prompt_bytes,
            now=now,
            exclude=work.exclude,
            unable=work.unable,
            prefer=work.home,
            affinity=work.affinity,
            embeds=work.embeds,
            limit=limit,
            only=only,
            standings=self._standings,
        )

    def _free(self, node: NodeId, model: ModelId, work: Work) -> bool:
        if self._fleet.free_slots(node, model) <= 0:
            return False
        return not work.larger_than or self._fits(node, model, work) is not None

    def _fits(self, node: NodeId, model: ModelId, work: Work) -> ModelRecord | None:
        found = self._fleet.view.nodes.get(node)
        models = found.record.models if found else ()
        record = next((record for record in models if record.id == model), None)
        if record is None or 0 < record.context_length <= work.larger_than:
            return None
        return record
