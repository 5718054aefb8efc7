"""Placement: which node and model answers a request, ranked, each row with its reason.

Pure: ``(fleet view, work, now) -> Ranking``. Orchestrators use it to dispatch, nodes to forward,
and ``mesh route`` prints it. Nothing here waits, and nothing here is random: orchestrators that
share a fleet spread their load because each counts its own attempts on top of what heartbeats tell,
and because ties are broken by a hash and not by the order of names.

Who may take the work is in ``eligibility``, what ranks a row in ``standings``, the words for both
in ``reasons``, and what it means when nobody takes it in ``outlook``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from mesh.fleet.eligibility import (
    Offer,
    OfferKey,
    Refusal,
    RefusalCode,
    model_refusal,
    node_refusal,
    offer_of,
    row_refusal,
    served,
)
from mesh.fleet.records import FleetView, ModelRecord, NodeView
from mesh.fleet.standings import Ranked, Row, Standings, home_of, in_order
from mesh.fleet.work import Work
from mesh.types import ModelId, Specialty


class Lack(Enum):
    """Why somebody stands in."""

    NOBODY_SERVES = auto()
    NOBODY_ABLE = auto()  # those who serve it said that they cannot answer this
    NOBODY_FREE = auto()  # those who serve it cannot take work now


@dataclass(frozen=True, slots=True)
class Instead:
    """Rows are a substitute's, for want of ``specialty``."""

    lack: Lack
    specialty: Specialty


@dataclass(frozen=True, slots=True)
class Ineligible:
    """A row that cannot take the work. ``model``: None on a node that has none."""

    view: NodeView
    model: ModelRecord | None
    refusal: Refusal


class _Verdicts(dict[Offer, Refusal | None]):
    """Each distinct offer is judged once."""

    def __init__(self, work: Work, specialty: Specialty) -> None:
        super().__init__()
        self._work, self._specialty = work, specialty

    def __missing__(self, offer: Offer) -> Refusal | None:
        found = self[offer] = model_refusal(offer, self._work, self._specialty)
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """The fleet, held against one piece of work. ``now``: monotonic seconds. ``specialty``: whose
    models answer; another than the work's where ``instead`` says why. ``home``: the row where the
    conversation stays, None where there is none or it is to move."""

    view: FleetView
    work: Work
    now: float
    specialty: Specialty
    instead: Instead | None
    _found: list[Ranked]
    _home: Ranked | None
    _verdicts: _Verdicts

    @property
    def home(self) -> Row | None:
        return self._home.row if self._home is not None else None

    def __len__(self) -> int:
        """How many rows can take the work."""
        return len(self._found)

    def best(
        self, limit: int | None = None, only: Callable[[Row], bool] | None = None
    ) -> tuple[Row, ...]:
        """The first ``limit`` rows (None: all of them) that can take the work, best first: home,
        then by ``Row.rank``. A model with no free slot is among them, behind those that have one:
        full is not failed, and the queue waits for it. ``only``: rows for which it is true."""
        found = self._found
        if only is not None:
            found = [row for row in found if only(row.row)]
        ordered = in_order(found, limit, self._home, self.work.affinity)
        return tuple(row.row for row in ordered)

    def refused(self) -> tuple[Ineligible, ...]:
        """The rows that cannot take the work, by name: of a model, its reason before its node's."""
        rows: list[Ineligible] = []
        offers: dict[OfferKey, Offer] = {}
        for node in self.view.nodes.values():
            why = node_refusal(node, self.now, self.work.exclude)
            for model in node.record.models:
                state = (node.load(model.id) or model).state
                refusal = (
                    self._verdicts[offer_of(model, state, offers)]
                    or why
                    or row_refusal(node, model.id, self.now, self.work)
                )
                if refusal is not None:
                    rows.append(Ineligible(node, model, refusal))
            if not node.record.models:
                rows.append(Ineligible(node, None, why or Refusal(RefusalCode.NO_MODEL)))
        rows.sort(key=lambda row: (row.view.record.name, row.model.id if row.model else ""))
        return tuple(rows)

    def explained(self) -> tuple[Row | Ineligible, ...]:
        """Every row of the fleet: ``best``, then ``refused``."""
        return (*self.best(), *self.refused())


def rank(view: FleetView, work: Work, now: float, standings: Standings | None = None) -> Ranking:
    """``now``: monotonic seconds, as in ``NodeView.set_aside_until``. ``standings``: the caller's,
    None: nothing is known from earlier.

    When no model of the fleet has the work's specialty, whatever its state, rows are ranked for the
    first of its substitutes that some model has; none given: no such substitution (the client asked
    for it by name). The conversation's home goes first while it is eligible and resident, has a
    free slot, and would not be served more than ``STAY_WAIT_S`` later than the row that is best
    otherwise.
    """
    rows = (standings if standings is not None else Standings()).rows(view, now, work.exclude)
    specialty, instead = work.specialty, None
    verdicts = _Verdicts(work, specialty)
    # Nearly always nothing is known against single models.
    if work.tried or any(node.models_aside for node in view.nodes.values()):
        rows = [row for row in rows if row_refusal(row.row.view, row.model, now, work) is None]
    found = [row for row in rows if verdicts[row.offer] is None]
    if not found and work.model is None:  # whoever can take it serves it: no need to look
        specialty, instead = stand_in(view, work)
        if instead is not None:
            verdicts = _Verdicts(work, specialty)
            found = [row for row in rows if verdicts[row.offer] is None]
    return Ranking(
        view=view,
        work=work,
        now=now,
        specialty=specialty,
        instead=instead,
        _found=found,
        _home=home_of(found, work.home),
        _verdicts=verdicts,
    )


def stand_in(view: FleetView, work: Work) -> tuple[Specialty, Instead | None]:
    """The specialty whose models answer: the work's own where some model has it, else the first of
    its substitutes that some model has, else its own after all; and why it is another. A model that
    cannot do what is asked does not count (``able``)."""
    asked = work.specialty
    if not work.substitutes or served(view.models(), work, asked):
        return asked, None
    for other in work.substitutes:
        if served(view.models(), work, other):
            willing = replace(work, unable=frozenset())
            some = served(view.models(), willing, asked)
            return other, Instead(Lack.NOBODY_ABLE if some else Lack.NOBODY_SERVES, asked)
    return asked, None


def relieved(ranking: Ranking, standings: Standings | None = None) -> Ranking | None:
    """Of the first substitute that can take the work now, for when specialists exist and none of
    them can. (When none exists, ``rank`` itself turns to a substitute.) None: there is none."""
    work = ranking.work
    if work.model is not None:
        return None
    for other in work.substitutes:
        if other == work.specialty:
            continue
        theirs = replace(work, specialty=other, substitutes=(), home=None)
        found = rank(ranking.view, theirs, ranking.now, standings)
        if len(found):
            return replace(found, instead=Instead(Lack.NOBODY_FREE, work.specialty))
    return None


def known_specialties(view: FleetView) -> frozenset[Specialty]:
    """Every specialty that some model of the fleet has, whether or not it can take work now."""
    return frozenset(specialty for model in view.models() for specialty in model.specialties)


def known_models(view: FleetView) -> frozenset[ModelId]:
    """Every model that some node of the fleet hosts, in whatever state."""
    return frozenset(model.id for model in view.models())


def specialty_of(view: FleetView, model: ModelId | None) -> Specialty | None:
    """The first specialty of a model: what its work is called when the client named only the model,
    which answers whatever is asked."""
    return next((m.specialties[0] for m in view.models() if m.id == model and m.specialties), None)
