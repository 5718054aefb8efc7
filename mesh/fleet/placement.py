"""Placement: which node and model answers a request, ranked, each row with its reason.

Pure: ``(fleet view, request, now) -> candidates``. Orchestrators use it to dispatch, nodes to
forward, and ``mesh route`` prints it. Nothing here waits, and nothing here is random: orchestrators
that share a fleet spread their load because each counts its own attempts on top of what heartbeats
tell, and because ties are broken by a hash and not by the order of names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mesh.fleet.records import FleetView, ModelLoad, ModelRecord, ModelState, NodeView
from mesh.fleet.standings import (
    WARMTH,
    Home,
    Ranked,
    Row,
    Standings,
    home_of,
    in_order,
    load_of,
    most_bytes,
    node_refusal,
    ranked_of,
    row_of,
)
from mesh.types import Candidate, ModelId, NodeId, Specialty

ONLY_EMBEDS = "makes embeddings and no answers"
ONLY_ANSWERS = "gives answers and makes no embeddings"


def best(
    view: FleetView,
    *,
    specialty: Specialty,
    model: ModelId | None,
    prompt_bytes: int,
    now: float,
    substitutes: tuple[Specialty, ...] = (),
    exclude: frozenset[NodeId] = frozenset(),
    unable: frozenset[ModelId] = frozenset(),
    prefer: Home | None = None,
    affinity: bytes | None = None,
    embeds: bool = False,
    limit: int | None = None,
    only: Callable[[NodeId, ModelId], bool] | None = None,
    standings: Standings | None = None,
) -> tuple[Candidate, ...]:
    """The first ``limit`` eligible rows of ``place`` (None: all of them), the same and in the same
    order, at the cost of a glance at each node. Arguments as there. ``only``: rows for which it is
    true."""
    standings = standings if standings is not None else Standings()
    rows = standings.rows(view, now, exclude)
    prefix = ""
    if model is not None:
        found = [row for row in rows if row.model == model and row.most_bytes >= prompt_bytes]
        found = [row for row in found if row.embeds is embeds]
    else:
        found = _serving(rows, specialty, prompt_bytes, embeds)
        if not found or unable:
            standing_in, prefix = stand_in(view, specialty, substitutes, unable, embeds)
            if standing_in != specialty:
                rows = standings.rows(view, now, exclude)
                found = _serving(rows, standing_in, prompt_bytes, embeds)
    if unable:
        found = [row for row in found if row.model not in unable]
    home = home_of(found, prefer)
    if only is not None:
        found = [row for row in found if only(row.node, row.model)]
    return tuple(
        _chosen(row, prefix, row is home) for row in in_order(found, limit, home, affinity)
    )


def place(
    view: FleetView,
    *,
    specialty: Specialty,
    model: ModelId | None,
    prompt_bytes: int,
    now: float,
    substitutes: tuple[Specialty, ...] = (),
    exclude: frozenset[NodeId] = frozenset(),
    unable: frozenset[ModelId] = frozenset(),
    prefer: Home | None = None,
    affinity: bytes | None = None,
    embeds: bool = False,
    explain: bool = True,
) -> tuple[Candidate, ...]:
    """All (node, model) rows, those that can take the request first and best first.

    Rank: resident before loading before cold, a free slot before none, how soon a request would be
    answered there (``answer_time``: measured speeds, shared with what runs; a throttled GPU's are
    lower; within a quarter nodes are equal, and all are whose speeds are not known), free slots,
    expected wait (seconds), free VRAM of the node's roomiest device, own attempts in flight, hash
    of (node, model). A model with no free slot stays eligible, behind those that have one: full is
    not failed, and the queue waits for it.

    Used slots are the greater of what the last heartbeat tells and what this process has in flight
    there: its newest attempts are not in the heartbeat yet, and adding both would count twice.

    ``specialty``: what was decided. When no model of the fleet has it, whatever its state, rows are
    ranked for the first of ``substitutes`` that some model has, and say so; none given: no such
    substitution (the client asked for it by name). ``model``: only that model, whatever its
    specialties. ``prompt_bytes``: UTF-8 size of all messages. ``now``: monotonic seconds, as in
    ``NodeView.set_aside_until``. ``exclude``: nodes that this request has tried already.
    ``unable``: models that said they cannot answer such a request; as good as not in the fleet.
    ``embeds``: the request is for vectors; a model makes these or answers, never both.

    ``prefer``: where the conversation's earlier turns are, and with them its prefix cache. That row
    goes first while it is eligible and resident, has a free slot, and would not be served more than
    ``STAY_WAIT_S`` later than the row that is best otherwise. ``affinity``: of the conversation;
    rows that rank equal are then ordered by a hash of it with (node, model), the greatest first
    (rendezvous hashing: Thaler and Ravishankar 1998), so that processes which know nothing of each
    other send one conversation the same way, and others elsewhere.

    ``explain`` False leaves ineligible rows out (``best``), which is all that dispatching needs.
    """
    if not explain:
        return best(
            view,
            specialty=specialty,
            substitutes=substitutes,
            model=model,
            prompt_bytes=prompt_bytes,
            now=now,
            exclude=exclude,
            unable=unable,
            prefer=prefer,
            affinity=affinity,
            embeds=embeds,
        )
    prefix = ""
    if model is None:
        specialty, prefix = stand_in(view, specialty, substitutes, unable, embeds)
    eligible: list[Ranked] = []
    rest: list[Candidate] = []
    for node in view.nodes.values():
        refusal = node_refusal(node, now, exclude)
        for record in node.record.models:
            load = load_of(node, record)
            why = _model_refusal(record, load, specialty, model, prompt_bytes)
            if not why and record.embeds is not embeds:
                why = ONLY_EMBEDS if record.embeds else ONLY_ANSWERS
            if not why and record.id in unable:
                why = "said that it cannot answer this"
            why = why or refusal
            if not why:
                eligible.append(ranked_of(row_of(node, record, load)))
            else:
                rest.append(_candidate(node, record.id, False, prefix + why))
        if not node.record.models:
            rest.append(_candidate(node, ModelId(""), False, prefix + (refusal or "has no model")))
    home = home_of(eligible, prefer)
    rest.sort(key=lambda row: (row.node_name, row.model))
    ranked = [_chosen(row, prefix, row is home) for row in in_order(eligible, None, home, affinity)]
    return (*ranked, *rest)


def stand_in(
    view: FleetView,
    specialty: Specialty,
    substitutes: tuple[Specialty, ...],
    unable: frozenset[ModelId] = frozenset(),
    embeds: bool = False,
) -> tuple[Specialty, str]:
    """The specialty whose models answer: ``specialty`` itself where some model has it, else the
    first of ``substitutes`` that some model has, else itself after all; and what placement's
    reasons begin with because of it. A model in ``unable`` does not count, nor one that cannot do
    what is asked (``embeds``)."""
    if not substitutes or _served(view, specialty, unable, embeds):
        return specialty, ""
    for other in substitutes:
        if _served(view, other, unable, embeds):
            if unable and _served(view, specialty, embeds=embeds):
                return other, f"no model for '{specialty}' can answer this; "
            return other, f"no node serves '{specialty}'; "
    return specialty, ""


def known_specialties(view: FleetView) -> frozenset[Specialty]:
    """Every specialty that some model of the fleet has, whether or not it can take work now."""
    return frozenset(
        specialty
        for node in view.nodes.values()
        for model in node.record.models
        for specialty in model.specialties
    )


def known_models(view: FleetView) -> frozenset[ModelId]:
    """Every model that some node of the fleet hosts, in whatever state."""
    return frozenset(model.id for node in view.nodes.values() for model in node.record.models)


def _served(
    view: FleetView,
    specialty: Specialty,
    unable: frozenset[ModelId] = frozenset(),
    embeds: bool = False,
) -> bool:
    return any(
        specialty in model.specialties and model.embeds is embeds and model.id not in unable
        for node in view.nodes.values()
        for model in node.record.models
    )


def _serving(
    rows: Iterator[Ranked], specialty: Specialty, prompt_bytes: int, embeds: bool
) -> list[Ranked]:
    return [
        row
        for row in rows
        if specialty in row.specialties and row.most_bytes >= prompt_bytes and row.embeds is embeds
    ]


def _model_refusal(
    record: ModelRecord,
    load: ModelLoad | None,
    specialty: Specialty,
    model: ModelId | None,
    prompt_bytes: int,
) -> str:
    """Why this model cannot answer, "" when it can."""
    if model is not None:
        if record.id != model:
            return f"is not '{model}'"
    elif specialty not in record.specialties:
        return f"does not serve '{specialty}'"
    if (load or record).state is ModelState.FAILED:
        return f"model failed: {record.error}" if record.error else "model failed"
    if prompt_bytes > most_bytes(record):
        return (
            f"a prompt of {prompt_bytes:,} bytes cannot fit "
            f"its context of {record.context_length:,} tokens"
        )
    return ""


def _chosen(ranked: Ranked, prefix: str, home: bool) -> Candidate:
    row = ranked.row
    reason = ("holds this conversation; " if home else "") + _describe(row)
    return _candidate(row.view, row.model.id, True, prefix + reason, _score(row, home))


def _describe(row: Row) -> str:
    free = max(0, row.free_slots)
    noun = "slot" if row.slots == 1 else "slots"
    wait = f", wait {row.wait_s:.1f} s" if row.wait_s >= 0.05 else ""
    takes = f", an answer in about {row.answer_s:.2g} s" if row.answer_s is not None else ""
    return f"{row.state}, {free} of {row.slots} {noun} free{wait}{takes}"


def _score(row: Row, home: bool) -> float:
    """For people: falls along the ranks. Ten millions: the conversation is there; millions: warmth;
    half a million: a slot is free; thousands: how soon it answers (``pace.band``); units: free
    slots; fraction: wait."""
    free = max(-99, min(99, row.free_slots))
    first = 10_000_000.0 if home else 0.0
    return round(
        first
        + 1_000_000.0 * WARMTH[row.state]
        + (500_000.0 if row.free_slots > 0 else 0.0)
        + 1_000.0 * (100 - row.band)
        + free
        + 1.0 / (1.0 + max(0.0, row.wait_s)),
        3,
    )


def _candidate(
    node: NodeView, model: ModelId, eligible: bool, reason: str, score: float = 0.0
) -> Candidate:
    record = node.record
    return Candidate(
        node=record.id,
        node_name=record.name,
        model=model,
        eligible=eligible,
        reason=reason,
        score=score,
    )
