"""When no node can take a piece of work at this moment: will one, and if not, why not?

Pure. A ranking says which rows fit and why the others do not; this says what that means for a
request that found nothing. The error that its client gets is worded in ``mesh/fleet/reasons.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from mesh.fleet.eligibility import (
    PASSING,
    RefusalCode,
    able,
    asked_for,
    node_refusal,
    row_refusal,
    served,
)
from mesh.fleet.placement import Ineligible, Ranking, known_models, known_specialties
from mesh.fleet.records import ModelRecord, ModelState, NodeState


@dataclass(frozen=True, slots=True)
class Busy:
    """Some nodes take such work, and every one of them is full: a slot will come free."""

    nodes: int


class Missing(Enum):
    """What there is not."""

    CONTEXT = auto()  # large enough: ``Work.overflow`` says so, or every node's refusal
    ABLE_MODEL = auto()  # every one said that it cannot: ``Work.inability``
    NODE = auto()
    MODEL = auto()  # of the name
    EMBEDDER = auto()
    SPECIALTY = auto()
    FREE_NODE = auto()  # there are nodes for it, and none takes work now


@dataclass(frozen=True, slots=True, eq=False)
class Absent:
    """No node takes such work now. ``may_come``: one might within seconds (it is starting, loading,
    being dialled, or was set aside); ``loading``: one will, as soon as its model is loaded, which
    may take minutes; ``missing`` is what to tell the client if none does (``reasons.error_of``).
    ``registry``: "" when it is connected, else the words that say what is wrong with it."""

    missing: Missing
    ranking: Ranking
    may_come: bool = False
    loading: bool = False
    registry: str = ""


def absent(ranking: Ranking, *, registry: str = "") -> Absent:
    """For a ranking without a row that can take the work. ``registry``: as ``Absent`` has it."""
    view, work = ranking.view, ranking.work
    if work.overflow is not None and not _larger_may_come(ranking):
        return Absent(Missing.CONTEXT, ranking)
    if work.inability is not None and not served(view.models(), work, ranking.specialty):
        return Absent(Missing.ABLE_MODEL, ranking)
    if not view.nodes:
        # An orchestrator that started while the registry was away knows nobody, and may in a moment
        # know everybody.
        return Absent(Missing.NODE, ranking, may_come=bool(registry), registry=registry)
    if work.model is not None and work.model not in known_models(view):
        return Absent(Missing.MODEL, ranking)
    if work.embeds and not any(model.embeds for model in view.models()):
        may_come = any(map(_untold, view.models())) or any(
            node.state is NodeState.STARTING for node in view.nodes.values()
        )
        return Absent(Missing.EMBEDDER, ranking, may_come=may_come)
    if work.model is None and ranking.specialty not in known_specialties(view):
        return Absent(Missing.SPECIALTY, ranking)
    rows = concerned(ranking)
    fit = [row for row in rows if row.model is not None and able(row.model, work)]
    if fit and all(row.refusal.code is RefusalCode.PROMPT_TOO_LONG for row in fit):
        return Absent(Missing.CONTEXT, ranking)
    return Absent(
        Missing.FREE_NODE,
        ranking,
        may_come=any(_may_come(row, ranking) for row in fit)
        or (work.embeds and any(_may_embed(row, ranking) for row in rows)),
        loading=any(_loading(row, ranking) for row in fit),
    )


def concerned(ranking: Ranking) -> list[Ineligible]:
    """The rows about what was asked for; the others only say that they are not."""
    return [
        row
        for row in ranking.refused()
        if row.model is not None and asked_for(row.model, ranking.work, ranking.specialty)
    ]


def _untold(model: ModelRecord) -> bool:
    """Whether its node had not looked at the model's file when it wrote the record: heartbeats may
    say that it is resident a moment before the next record says what it is."""
    return not model.architecture and model.state in (ModelState.LOADING, ModelState.COLD)


def _may_embed(row: Ineligible, ranking: Ranking) -> bool:
    excluded = row.view.record.id in ranking.work.exclude
    return row.model is not None and not excluded and _untold(row.model)


def _may_come(row: Ineligible, ranking: Ranking) -> bool:
    refusal = node_refusal(row.view, ranking.now, ranking.work.exclude)
    if refusal is None and row.model is not None:
        refusal = row_refusal(row.view, row.model.id, ranking.now, ranking.work)
    return refusal is not None and refusal.code in PASSING


def _larger_may_come(ranking: Ranking) -> bool:
    """Whether the prompt would have room with a model whose node is only away for a moment."""
    work = ranking.work
    return any(
        0 < work.larger_than < row.model.context_length
        and able(row.model, work)
        and (_may_come(row, ranking) or _loading(row, ranking))
        for row in concerned(ranking)
        if row.model is not None
    )


def _loading(row: Ineligible, ranking: Ranking) -> bool:
    """Whether the row's node is up and only waits for this model."""
    node = row.view
    if row.model is None or node.record.id in ranking.work.exclude or not node.link_up:
        return False
    load = node.load(row.model.id)
    return (
        load is not None
        and load.state is ModelState.LOADING
        and node.state in (NodeState.STARTING, NodeState.READY)
    )
