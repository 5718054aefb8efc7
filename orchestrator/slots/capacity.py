"""Finds a free slot for a piece of work, and holds it: a ranking, joined with what is free now."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, field

from mesh.clock import Clock
from mesh.fleet.eligibility import able
from mesh.fleet.outlook import Absent, Busy, absent, concerned
from mesh.fleet.placement import Ranking, rank, relieved
from mesh.fleet.reasons import candidate
from mesh.fleet.records import ModelRecord
from mesh.fleet.standings import Row, Standings
from mesh.fleet.weights import same_weights, weights_of
from mesh.fleet.work import Work
from mesh.types import Candidate
from orchestrator.picture.fleet import Fleet

SEEK_S = 1.0  # between two looks for nodes without a link, for one kind of work
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
        self._sought: dict[tuple[object, ...], float] = {}

    def take(self, work: Work) -> Reservation | Busy | Absent:
        """The best candidate with a free slot, held; else why there is none. Never waits."""
        ranking = rank(self._fleet.view, work, self._clock.now(), self._standings)
        if len(ranking):
            found = self._held(ranking)
            if isinstance(found, Busy):
                self._seek(ranking)
            return found
        self._seek(ranking)
        away = "" if self._fleet.registry_connected else f"{self._registry} is unreachable"
        outlook = absent(ranking, registry=away)
        # A specialist that will be there in a moment is worth waiting for, and one that began the
        # answer is worth more.
        if (outlook.may_come or work.patience_s) and not work.settled:
            return outlook
        relief = relieved(ranking, self._standings)
        return self._held(relief) if relief is not None else outlook

    def _seek(self, ranking: Ranking) -> None:
        """Has those linked that could take the work and have no link."""
        kind, now = ranking.work.kind, ranking.now
        if not self._fleet.unlinked or self._sought.get(kind, -math.inf) > now - SEEK_S:
            return
        self._sought = {k: at for k, at in self._sought.items() if at > now - SEEK_S} | {kind: now}
        self._fleet.need(
            row.view
            for row in concerned(ranking)
            if not row.view.link_up
            and row.model is not None
            and able(row.model, ranking.work)
            and row.view.record.id not in ranking.work.exclude
        )

    def _held(self, ranking: Ranking) -> Reservation | Busy:
        row = self._free_row(ranking)
        if row is None:
            return Busy(len(ranking))
        held = ExitStack()
        held.enter_context(self._fleet.hold(row.view.record.id, row.model.id))
        return Reservation(candidate=candidate(ranking, row), model=row.model, _held=held)

    def _free_row(self, ranking: Ranking) -> Row | None:
        prefer, weights = ranking.work.prefer, ranking.work.weights
        if prefer is not None:
            # Who began an answer goes on with it; else the like by name, say a finer quantisation.

            def same(row: Row) -> bool:
                return same_weights(prefer, weights, row.model.id, weights_of(row.model))

            found = ranking.best(1, lambda row: same(row) and self._free(row)) or ranking.best(
                1, lambda row: row.model.id == prefer and self._free(row)
            )
            if found:
                return found[0]
        # The best few nearly always have a slot, and asking hundreds costs more than all the rest.
        few = ranking.best(FEW)
        free = next(filter(self._free, few), None)
        if free is not None or len(few) == len(ranking):
            return free
        return next(iter(ranking.best(1, self._free)), None)

    def _free(self, row: Row) -> bool:
        return self._fleet.free_slots(row.view.record.id, row.model.id) > 0
