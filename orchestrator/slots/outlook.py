"""When no node can take a request at this moment: will one, and if not, what does the client hear?

Pure. Placement says which rows fit and why the others do not; this says what that means for a
request that found nothing, and words the error so that its reader knows what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mesh.errors import (
    CannotAnswer,
    ContextOverflow,
    MeshError,
    NoCandidate,
    UnknownModel,
    UnknownSpecialty,
)
from mesh.fleet.placement import known_models, known_specialties, place, stand_in
from mesh.fleet.records import FleetView, ModelRecord, ModelState, NodeState, NodeView
from mesh.fleet.standings import Home
from mesh.types import Candidate, ModelId, NodeId, Priority, Specialty

REASONS_SHOWN = 5
NO_EMBEDDER = (
    "no node of this mesh has a model that makes embeddings; start one with "
    "`mesh node --model FILE.gguf --specialty embedding`, its file an embedding model or with "
    "`--option embedding=true`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one attempt needs of a node.

    ``substitutes``: who else may answer, the nearest first. ``named``: the client named the
    specialty itself, so that the fallback is none of them. ``exclude``: nodes that said they will
    not take this request. ``unable``: models that said they cannot answer it, whatever the node
    (``inability`` is the first such refusal).
    ``larger_than``: tokens of context that proved too few (``overflow`` is the refusal that said
    so). ``resuming``: tokens were delivered, so it goes before new work and is never turned away
    for a full queue. ``patience_s``: how long to hope for a node to come when none is in sight.
    ``settled``: that hope is over, and a substitute may answer. ``prefer``: the model that began
    the answer; another of the specialty only where that one has no slot free. ``home``: where the
    conversation's earlier turns are. ``affinity``: the conversation's, for ties (``place``).
    ``embeds``: it wants vectors and no answer.
    """

    specialty: Specialty
    model: ModelId | None
    prompt_bytes: int
    substitutes: tuple[Specialty, ...] = ()
    named: bool = False
    priority: Priority = Priority.NORMAL
    arrived: float = 0.0
    exclude: frozenset[NodeId] = frozenset()
    larger_than: int = 0
    overflow: ContextOverflow | None = None
    unable: frozenset[ModelId] = frozenset()
    inability: CannotAnswer | None = None
    resuming: bool = False
    patience_s: float = 0.0
    settled: bool = False
    prefer: ModelId | None = None
    home: Home | None = None
    affinity: bytes | None = None
    embeds: bool = False

    @property
    def kind(self) -> tuple[object, ...]:
        """Equal kinds fit the same nodes, but for prompts within a factor of two of each other."""
        size = self.prompt_bytes.bit_length()
        return (
            self.specialty,
            self.substitutes,
            self.model,
            size,
            self.exclude,
            self.unable,
            self.larger_than,
            self.settled,
            self.embeds,
        )


@dataclass(frozen=True, slots=True)
class Busy:
    """Some nodes take such work, and every one of them is full: a slot will come free."""

    nodes: int


@dataclass(frozen=True, slots=True)
class Absent:
    """No node takes such work now. ``may_come``: one might within seconds (it is starting, loading,
    being dialled, or was set aside); ``loading``: one will, as soon as its model is loaded, which
    may take minutes; ``error`` is what to raise if none does."""

    error: MeshError
    may_come: bool
    loading: bool = False


def absent(
    view: FleetView, rows: Sequence[Candidate], work: Work, now: float, *, registry: str
) -> Absent:
    """``rows``: placement's explained rows, none of them fit. ``now``: monotonic seconds.
    ``registry``: "" when it is connected, else the words that say what is wrong with it."""
    if work.overflow is not None:
        return Absent(work.overflow, may_come=False)
    standing_in, _ = stand_in(view, work.specialty, work.substitutes, work.unable, work.embeds)
    if work.inability is not None and not _able(view, work, standing_in):
        return Absent(work.inability, may_come=False)
    if not view.nodes:
        # An orchestrator that started while the registry was away knows nobody, and may in a moment
        # know everybody.
        return Absent(_nobody(registry), may_come=bool(registry))
    if work.model is not None and work.model not in known_models(view):
        return Absent(
            UnknownModel(
                f"no node has a model '{work.model}'; known models: {_listed(known_models(view))}"
            ),
            may_come=False,
        )
    if work.embeds and not _embedders(view):
        may_come = any(_untold(model) for node in view.nodes.values() for model in _models(node))
        return Absent(NoCandidate(NO_EMBEDDER), may_come=may_come or _starting(view))
    specialties = known_specialties(view)
    if work.model is None and standing_in not in specialties:
        return Absent(_unknown(work, specialties), may_come=False)
    relevant = [row for row in rows if _concerned(view, row, standing_in, work.model)]
    able = [row for row in relevant if row.model not in work.unable and _fit(view, row, work)]
    what = f"model '{work.model}'" if work.model is not None else f"'{standing_in}'"
    reasons = [f"{row.node_name}: {row.reason}" for row in relevant]
    if len(reasons) > REASONS_SHOWN:
        reasons = [*reasons[:REASONS_SHOWN], f"and {len(reasons) - REASONS_SHOWN} more"]
    error = NoCandidate(f"no node can take {what} now: {'; '.join(reasons) or 'none is up'}")
    return Absent(
        error,
        may_come=any(_may_come(view, row, work, now) for row in able)
        or (work.embeds and any(_may_embed(view, row, work) for row in relevant)),
        loading=any(_loading(view, row, work) for row in able),
    )


def explained(view: FleetView, work: Work, now: float) -> tuple[Candidate, ...]:
    """Placement's rows for the work, each with its reason."""
    return place(
        view,
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
    )


def relieved(view: FleetView, work: Work, now: float) -> tuple[Candidate, ...]:
    """Eligible rows of the first substitute that has any, for when specialists exist and none of
    them can work. (When none exists, placement itself turns to a substitute.)"""
    if work.model is not None:
        return ()
    for other in work.substitutes:
        rows = place(
            view,
            specialty=other,
            model=None,
            prompt_bytes=work.prompt_bytes,
            now=now,
            exclude=work.exclude,
            unable=work.unable,
            affinity=work.affinity,
            embeds=work.embeds,
            explain=False,
        )
        if rows and other != work.specialty:
            why = f"no node can take '{work.specialty}' now; "
            return tuple(replace(row, reason=why + row.reason) for row in rows)
    return ()


def chain(
    specialty: Specialty, substitutes: Mapping[str, str], fallback: Specialty | None
) -> tuple[Specialty, ...]:
    """Who may answer for ``specialty``, the nearest first: its substitute, that one's own and so
    on, and the fallback last, be it ``specialty`` itself (None: nobody). Each once."""
    found: list[Specialty] = []
    other = substitutes.get(specialty)
    while other is not None and other != specialty and other not in found:
        found.append(Specialty(other))
        other = substitutes.get(other)
    if fallback is not None and fallback not in found:
        found.append(fallback)
    return tuple(found)


def _nobody(registry: str) -> NoCandidate:
    if registry:
        return NoCandidate(f"no node is known yet; {registry}")
    return NoCandidate("no node is known yet; start one with `mesh node` or `mesh up`")


def _able(view: FleetView, work: Work, specialty: Specialty) -> bool:
    """Whether some model of the fleet has not said yet that it cannot answer this."""
    return any(
        model.id not in work.unable
        and model.embeds is work.embeds
        and (model.id == work.model if work.model is not None else specialty in model.specialties)
        for node in view.nodes.values()
        for model in node.record.models
    )


def _unknown(work: Work, specialties: frozenset[Specialty]) -> MeshError:
    known = _listed(specialties)
    if not work.substitutes:
        return UnknownSpecialty(f"no node serves '{work.specialty}'; known specialties: {known}")
    if work.named:
        instead = " or ".join(f"'{name}'" for name in work.substitutes)
        return UnknownSpecialty(
            f"no node serves '{work.specialty}', nor {instead}, which may stand in for it; "
            f"known specialties: {known}"
        )
    *others, fallback = work.substitutes
    asked = ", ".join(f"'{name}'" for name in (work.specialty, *others))
    both = asked if work.specialty == fallback else f"{asked} or the fallback '{fallback}'"
    return NoCandidate(f"no node serves {both}; known specialties: {known}")


def _concerned(
    view: FleetView, row: Candidate, specialty: Specialty, model: ModelId | None
) -> bool:
    """Whether the row is about what was asked for; the others only say that they are not."""
    if model is not None:
        return row.model == model
    record = view.nodes[row.node].record
    return any(m.id == row.model and specialty in m.specialties for m in record.models)


def _fit(view: FleetView, row: Candidate, work: Work) -> bool:
    """Whether the row's model does such work at all: it embeds, or it answers."""
    models = view.nodes[row.node].record.models
    return any(model.id == row.model and model.embeds is work.embeds for model in models)


def _embedders(view: FleetView) -> bool:
    return any(model.embeds for node in view.nodes.values() for model in _models(node))


def _models(node: NodeView) -> tuple[ModelRecord, ...]:
    return node.record.models


def _starting(view: FleetView) -> bool:
    return any(
        (node.heartbeat or node.record).state is NodeState.STARTING for node in view.nodes.values()
    )


def _untold(model: ModelRecord) -> bool:
    """Whether its node had not looked at the model's file when it wrote the record: heartbeats may
    say that it is resident a moment before the next record says what it is."""
    return not model.architecture and model.state in (ModelState.LOADING, ModelState.COLD)


def _may_embed(view: FleetView, row: Candidate, work: Work) -> bool:
    models = _models(view.nodes[row.node])
    return row.node not in work.exclude and any(
        model.id == row.model and _untold(model) for model in models
    )


def _may_come(view: FleetView, row: Candidate, work: Work, now: float) -> bool:
    if row.node in work.exclude:
        return False
    node = view.nodes[row.node]
    state = (node.heartbeat or node.record).state
    if state in (NodeState.DRAINING, NodeState.FAILED):
        return False
    # A prompt too large or a failed model stays so; everything else is a matter of seconds.
    aside = node.set_aside_until is not None and node.set_aside_until > now
    return state is NodeState.STARTING or aside or not node.link_up


def _loading(view: FleetView, row: Candidate, work: Work) -> bool:
    """Whether the row's node is up and only waits for this model."""
    node = view.nodes[row.node]
    if row.node in work.exclude or not node.link_up:
        return False
    loads = node.heartbeat.models if node.heartbeat is not None else ()
    state = next((load.state for load in loads if load.model == row.model), None)
    return state is ModelState.LOADING and (node.heartbeat or node.record).state in (
        NodeState.STARTING,
        NodeState.READY,
    )


def _listed(names: frozenset[ModelId] | frozenset[Specialty]) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:20])
    more = f" and {len(ordered) - 20} more" if len(ordered) > 20 else ""
    return (shown or "none") + more
