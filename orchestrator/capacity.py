"""Finds a free slot for a piece of work, and holds it: placement, joined with what is free now."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from mesh.clock import Clock
from mesh.placement import place
from mesh.records import ModelRecord
from mesh.types import Candidate, ModelId, NodeId
from orchestrator.fleet import Fleet
from orchestrator.outlook import Absent, Busy, Work, absent, substitutes


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

    def take(self, work: Work) -> Reservation | Busy | Absent:
        """The best candidate with a free slot, held; else why there is none. Never waits."""
        now = self._clock.now()
        found = self._among(self._rows(work, now, explain=False), work)
        if found is not None:
            return found
        rows = self._rows(work, now, explain=True)
        away = "" if self._fleet.registry_connected else f"{self._registry} is unreachable"
        outlook = absent(self._fleet.view, rows, work, now, registry=away)
        # A specialist that will be there in a moment is worth waiting for, and one that began the
        # answer is worth more.
        if (outlook.may_come or work.patience_s) and not work.settled:
            return outlook
        return self._among(substitutes(self._fleet.view, work, now), work) or outlook

    def _among(self, rows: Sequence[Candidate], work: Work) -> Reservation | Busy | None:
        """None: none of the rows, all of them eligible, fits the work."""
        fleet = self._fleet
        busy = 0
        for row in rows:
            model = self._fits(row, work)
            if model is None:
                continue
            if fleet.free_slots(row.node, row.model) > 0:
                held = ExitStack()
                held.enter_context(fleet.hold(row.node, row.model))
                return Reservation(candidate=row, model=model, _held=held)
            busy += 1
        return Busy(busy) if busy else None

    def _rows(self, work: Work, now: float, *, explain: bool) -> tuple[Candidate, ...]:
        return place(
            self._fleet.view,
            specialty=work.specialty,
            fallback=work.fallback,
            model=work.model,
            prompt_bytes=work.prompt_bytes,
            now=now,
            exclude=work.exclude,
            explain=explain,
        )

    def _fits(self, row: Candidate, work: Work) -> ModelRecord | None:
        model = self._record(row.node, row.model)
        if model is None or model.context_length <= work.larger_than:
            return None
        return model

    def _record(self, node: NodeId, model: ModelId) -> ModelRecord | None:
        found = self._fleet.view.nodes.get(node)
        models = found.record.models if found else ()
        return next((record for record in models if record.id == model), None)
