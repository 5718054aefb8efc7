"""Placement: which node and model answers a request, ranked, each row with its reason.

Pure: ``(fleet view, request, now) -> candidates``. Orchestrators use it to dispatch, nodes to
forward, and ``mesh route`` prints it. Nothing here waits, and nothing here is random: orchestrators
that share a fleet spread their load because each counts its own attempts on top of what heartbeats
tell, and because ties are broken by a hash and not by the order of names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import nsmallest
from math import inf
from zlib import crc32

from mesh.records import (
    TRANSPORTS,
    FleetView,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeState,
    NodeView,
)
from mesh.types import Candidate, ModelId, NodeId, Specialty

# No tokenizer in use makes fewer tokens than one per 64 bytes of prose; what passes this bound may
# still overflow, and then the engine, which counts for real, refuses it.
BYTES_PER_TOKEN_AT_MOST = 64

_WARMTH = {ModelState.RESIDENT: 2, ModelState.LOADING: 1, ModelState.COLD: 0, ModelState.FAILED: 0}


@dataclass(frozen=True, slots=True)
class _Row:
    """An eligible (node, model) with what ranks it. ``free_slots`` may be negative: work waits."""

    view: NodeView
    model: ModelRecord
    state: ModelState
    slots: int
    free_slots: int
    wait_s: float
    free_vram_bytes: int

    def key(self) -> tuple[float | str, ...]:
        """Ascending: the best row first. No two rows of a fleet are equal."""
        node, model = self.view.record.id, self.model.id
        return (
            -_WARMTH[self.state],
            -self.free_slots,
            self.wait_s,
            -self.free_vram_bytes,
            self.view.in_flight,
            crc32(f"{node}/{model}".encode()),
            node,
            model,
        )


# A row that could be eligible, as ranked: its key, then what a request must meet.
_Ranked = tuple[tuple[float | str, ...], ModelId, tuple[Specialty, ...], float, _Row]


@dataclass(slots=True)
class Standings:
    """Rows of nodes that did not change since they were last looked at: a caller that places often
    in a large fleet keeps one. It changes no result, only how long it takes: what ranks a node is
    worked out once per ``NodeView``, not once per request."""

    _known: dict[NodeId, tuple[NodeView, float, tuple[_Ranked, ...]]] = field(default_factory=dict)

    def rows(self, view: FleetView, now: float, exclude: frozenset[NodeId]) -> Iterator[_Ranked]:
        """Of all nodes that take work now."""
        known = self._known
        if len(known) > 2 * len(view.nodes) + 16:  # nodes that have left the mesh
            known.clear()
        for node_id, node in view.nodes.items():
            found = known.get(node_id)
            if found is None or found[0] is not node:
                found = known[node_id] = _stand(node)
            if found[1] <= now and node_id not in exclude:
                yield from found[2]


def best(
    view: FleetView,
    *,
    specialty: Specialty,
    fallback: Specialty | None,
    model: ModelId | None,
    prompt_bytes: int,
    now: float,
    exclude: frozenset[NodeId] = frozenset(),
    limit: int | None = None,
    only: Callable[[NodeId, ModelId], bool] | None = None,
    standings: Standings | None = None,
) -> tuple[Candidate, ...]:
    """The first ``limit`` eligible rows of ``place`` (None: all of them), the same and in the same
    order, at the cost of a glance at each node. Arguments as there. ``only``: rows for which it is
    true."""
    standings = standings if standings is not None else Standings()
    rows = standings.rows(view, now, exclude)
    if model is not None:
        found = [row for row in rows if row[1] == model and row[3] >= prompt_bytes]
    else:
        found = [row for row in rows if specialty in row[2] and row[3] >= prompt_bytes]
    prefix = ""
    if not found and model is None and fallback is not None and not _served(view, specialty):
        prefix = f"no node serves '{specialty}'; "
        rows = standings.rows(view, now, exclude)
        found = [row for row in rows if fallback in row[2] and row[3] >= prompt_bytes]
    if only is not None:
        found = [row for row in found if only(row[4].view.record.id, row[1])]
    ranked = sorted(found) if limit is None else nsmallest(limit, found)
    return tuple(
        _candidate(row.view, row.model.id, True, prefix + _describe(row), _score(row))
        for *_, row in ranked
    )


def place(
    view: FleetView,
    *,
    specialty: Specialty,
    fallback: Specialty | None,
    model: ModelId | None,
    prompt_bytes: int,
    now: float,
    exclude: frozenset[NodeId] = frozenset(),
    explain: bool = True,
) -> tuple[Candidate, ...]:
    """All (node, model) rows, those that can take the request first and best first.

    Rank: resident before loading before cold, free slots, expected wait (seconds), free VRAM of the
    node's roomiest device, own attempts in flight, hash of (node, model). A model with no free slot
    stays eligible, behind those that have one: full is not failed, and the queue waits for it.

    Used slots are the greater of what the last heartbeat tells and what this process has in flight
    there: its newest attempts are not in the heartbeat yet, and adding both would count twice.

    ``specialty``: what was decided. When no model of the fleet has it, whatever its state, rows are
    ranked for ``fallback`` instead and say so; None: no such substitution (the client asked for
    it by name). ``model``: only that model, whatever its specialties. ``prompt_bytes``: UTF-8 size
    of all messages. ``now``: monotonic seconds, as in ``NodeView.set_aside_until``. ``exclude``:
    nodes that this request has tried already. ``explain`` False leaves ineligible rows out
    (``best``), which is all that dispatching needs.
    """
    if not explain:
        return best(
            view,
            specialty=specialty,
            fallback=fallback,
            model=model,
            prompt_bytes=prompt_bytes,
            now=now,
            exclude=exclude,
        )
    prefix = ""
    if model is None and fallback is not None and not _served(view, specialty):
        prefix = f"no node serves '{specialty}'; "
        specialty = fallback
    eligible: list[_Row] = []
    rest: list[Candidate] = []
    for node in view.nodes.values():
        refusal = _node_refusal(node, now, exclude)
        for record in node.record.models:
            load = _load(node, record)
            why = _model_refusal(record, load, specialty, model, prompt_bytes) or refusal
            if not why:
                eligible.append(_row(node, record, load))
            else:
                rest.append(_candidate(node, record.id, False, prefix + why))
        if not node.record.models:
            rest.append(_candidate(node, ModelId(""), False, prefix + (refusal or "has no model")))
    eligible.sort(key=_Row.key)
    rest.sort(key=lambda row: (row.node_name, row.model))
    ranked = [
        _candidate(row.view, row.model.id, True, prefix + _describe(row), _score(row))
        for row in eligible
    ]
    return (*ranked, *rest)


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


def _served(view: FleetView, specialty: Specialty) -> bool:
    return any(
        specialty in model.specialties
        for node in view.nodes.values()
        for model in node.record.models
    )


def _load(node: NodeView, model: ModelRecord) -> ModelLoad | None:
    if node.heartbeat is None:
        return None
    return next((load for load in node.heartbeat.models if load.model == model.id), None)


def _node_refusal(node: NodeView, now: float, exclude: frozenset[NodeId]) -> str:
    """Why this node takes nothing from here now, "" when it does. A heartbeat is newer than the
    record, and goes on while the registry is away, so its state counts where there is one."""
    record, heartbeat = node.record, node.heartbeat
    state, reason = (heartbeat or record).state, (heartbeat or record).reason
    if record.id in exclude:
        return "already tried for this request"
    if state is not NodeState.READY:
        return f"{state}: {reason}" if reason else str(state)
    if node.set_aside_until is not None and node.set_aside_until > now:
        return f"set aside for {node.set_aside_until - now:.1f} s more: {node.set_aside_reason}"
    if record.transport not in TRANSPORTS:
        return f"speaks '{record.transport}', which this version does not; upgrade one of the two"
    if not node.link_up:
        return f"no link to {record.endpoint}"
    return ""


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
    if prompt_bytes > _most_bytes(record):
        return (
            f"a prompt of {prompt_bytes:,} bytes cannot fit "
            f"its context of {record.context_length:,} tokens"
        )
    return ""


def _most_bytes(record: ModelRecord) -> float:
    """Of a prompt. A context that the record does not know yet rules nothing out: heartbeats say
    `ready` before the registry has the whole record, and the node checks the prompt itself."""
    return record.context_length * BYTES_PER_TOKEN_AT_MOST or inf


def _row(node: NodeView, record: ModelRecord, load: ModelLoad | None) -> _Row:
    hot = load or record
    heartbeat = node.heartbeat
    if heartbeat is not None:
        told = sum(entry.used_slots for entry in heartbeat.models)
    else:
        told = sum(entry.used_slots for entry in node.record.models)
    # ``in_flight`` is per node: on a node with several models, what heartbeats do not tell of yet
    # is charged to each of them, since any of them may have it.
    unseen = max(0, node.in_flight - told)
    queued = load.queued if load is not None else 0
    free_vram = (
        heartbeat.free_vram_bytes
        if heartbeat is not None and heartbeat.free_vram_bytes
        else tuple(gpu.free_bytes for gpu in node.record.gpus)
    )
    return _Row(
        view=node,
        model=record,
        state=hot.state,
        slots=hot.slots,
        free_slots=hot.slots - hot.used_slots - unseen - queued,
        wait_s=heartbeat.expected_wait_s if heartbeat is not None else 0.0,
        free_vram_bytes=max(free_vram, default=0),
    )


def _stand(node: NodeView) -> tuple[NodeView, float, tuple[_Ranked, ...]]:
    """The view, the moment from which it takes work (monotonic seconds, infinity for not as it is
    now), and its rows as far as no request is needed to know them."""
    if _node_refusal(node, inf, frozenset()):
        return node, inf, ()
    rows = []
    for record in node.record.models:
        load = _load(node, record)
        if (load or record).state is ModelState.FAILED:
            continue
        row = _row(node, record, load)
        rows.append((row.key(), record.id, record.specialties, _most_bytes(record), row))
    return node, node.set_aside_until or -inf, tuple(rows)


def _describe(row: _Row) -> str:
    free = max(0, row.free_slots)
    noun = "slot" if row.slots == 1 else "slots"
    wait = f", wait {row.wait_s:.1f} s" if row.wait_s >= 0.05 else ""
    return f"{row.state}, {free} of {row.slots} {noun} free{wait}"


def _score(row: _Row) -> float:
    """For people: falls along the ranks. Thousands: warmth; units: free slots; fraction: wait."""
    free = max(-99, min(99, row.free_slots))
    return round(1000.0 * _WARMTH[row.state] + free + 1.0 / (1.0 + max(0.0, row.wait_s)), 3)


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
