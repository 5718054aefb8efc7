"""A slot for the attempt that comes next, held while the one before it is being left."""

from __future__ import annotations

from mesh.errors import ContextOverflow, NotServed
from mesh.fleet.work import Work
from orchestrator.slots.capacity import Reservation
from orchestrator.slots.queue import Admission


class Standby:
    """One request's own. As a context: leaving it gives back what was held and not taken."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._slot: Reservation | None = None

    def hold(self, work: Work) -> bool:
        """Whether a slot for the work is held now. Never waits."""
        if self._slot is None:
            try:
                self._slot = self._admission.offer(work)
            except (NotServed, ContextOverflow):  # nobody is there for it, or nobody large enough
                return False
        return self._slot is not None

    def take(self) -> Reservation | None:
        """What was held; it is the caller's from then on."""
        slot, self._slot = self._slot, None
        return slot

    def __enter__(self) -> Standby:
        return self

    def __exit__(self, *exc: object) -> None:
        slot = self.take()
        if slot is not None:
            slot.release()
