"""Where every (node, model) of a fleet stands: what ranks it, and in which order that puts it.

Pure, like ``mesh/fleet/placement.py``, which asks it. Work that no request is needed for is done
once per ``NodeView`` and kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import nlargest, nsmallest
from math import inf
from typing import NamedTuple

from mesh.fleet import answer_time as pace
from mesh.fleet.records import (
    TRANSPORTS,
    FleetView,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeState,
    NodeView,
)
from mesh.types import ModelId, NodeId, Specialty

# No tokenizer in use makes fewer tokens than one per 64 bytes of prose; what passes this bound may
# still overflow, and then the engine, which counts for real, refuses it.
BYTES_PER_TOKEN_AT_MOST = 64

# A conversation stays where it is although another row would be served so many seconds sooner:
# about what prefilling a few hundred tokens again costs on the cards this is for.
STAY_WAIT_S = 0.5

WARMTH = {ModelState.RESIDENT: 2, ModelState.LOADING: 1, ModelState.COLD: 0, ModelState.FAILED: 0}
_64_BITS = 2**64 - 1

Home = tuple[NodeId, ModelId]


@dataclass(frozen=True, slots=True)
class Row:
    """An eligible (node, model) with what ranks it. ``free_slots`` may be negative: work waits.
    ``answer_s``: see ``mesh/fleet/answer_time.py``."""

    view: NodeView
    model: ModelRecord
    state: ModelState
    slots: int
    free_slots: int
    wait_s: float
    free_vram_bytes: int
    answer_s: float | None = None

    def rank(self) -> tuple[float, ...]:
        """Ascending: the best row first."""
        return (
            -WARMTH[self.state],
            self.free_slots <= 0,
            self.band,
            -self.free_slots,
            self.wait_s,
            -self.free_vram_bytes,
            self.view.in_flight,
        )

    @property
    def band(self) -> int:
        return pace.band(self.answer_s, self.model, self.view.record.gpus)

    def stays(self, best: Row) -> bool:
        """Whether a conversation that this row holds stays, though ``best`` ranks first."""
        return (
            self.state is ModelState.RESIDENT
            and self.free_slots > 0
            and self.wait_s <= best.wait_s + STAY_WAIT_S
        )


class Ranked(NamedTuple):
    """A row that could be eligible, in the order of its fields: what ranks it, what breaks ties (64
    bits, then names), and what a request must meet. No two of a fleet are equal before ``row``."""

    rank: tuple[float, ...]
    tag: int
    node: NodeId
    model: ModelId
    specialties: tuple[Specialty, ...]
    most_bytes: float
    embeds: bool
    row: Row


@dataclass(slots=True)
class Standings:
    """Rows of nodes that did not change since they were last looked at: a caller that places often
    in a large fleet keeps one. It changes no result, only how long it takes: what ranks a node is
    worked out once per ``NodeView``, not once per request."""

    _known: dict[NodeId, tuple[NodeView, float, tuple[Ranked, ...]]] = field(default_factory=dict)

    def rows(self, view: FleetView, now: float, exclude: frozenset[NodeId]) -> Iterator[Ranked]:
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


def home_of(found: list[Ranked], prefer: Home | None) -> Ranked | None:
    """The preferred row, when the conversation is to stay there."""
    if prefer is None:
        return None
    node, model = prefer
    row = next((row for row in found if row.node == node and row.model == model), None)
    return row if row is not None and row.row.stays(min(found).row) else None


def in_order(
    found: list[Ranked], limit: int | None, home: Ranked | None, affinity: bytes | None
) -> list[Ranked]:
    """The first ``limit`` of the rows (None: all), ``home`` before them."""
    ranked = sorted(found) if limit is None else nsmallest(limit, found)
    if affinity is not None and ranked:
        factor = int.from_bytes(blake2b(affinity, digest_size=8).digest()) | 1

        def draw(row: Ranked) -> int:
            # Multiplication by a random odd factor: Dietzfelbinger et al. 1997. One a row, since
            # in an idle fleet all rows are equal.
            return row.tag * factor & _64_BITS

        edge = ranked[-1].rank
        before = [row for row in ranked if row.rank != edge]
        before.sort(key=lambda row: (row.rank, -draw(row)))
        # Of those that equal the last one, others may stand before it by the conversation's draw.
        equal = found if len(ranked) < len(found) else ranked
        equal = [row for row in equal if row.rank == edge]
        ranked = before + nlargest(len(ranked) - len(before), equal, key=draw)
    if home is not None and any(row is home for row in found):
        ranked = [home, *(row for row in ranked if row is not home)]
    return ranked[:limit]


def ranked_of(row: Row) -> Ranked:
    node, model = row.view.record.id, row.model.id
    tag = int.from_bytes(blake2b(f"{node}/{model}".encode(), digest_size=8).digest())
    return Ranked(
        rank=row.rank(),
        tag=tag,
        node=node,
        model=model,
        specialties=row.model.specialties,
        most_bytes=most_bytes(row.model),
        embeds=row.model.embeds,
        row=row,
    )


def load_of(node: NodeView, model: ModelRecord) -> ModelLoad | None:
    if node.heartbeat is None:
        return None
    return next((load for load in node.heartbeat.models if load.model == model.id), None)


def node_refusal(node: NodeView, now: float, exclude: frozenset[NodeId]) -> str:
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


def most_bytes(record: ModelRecord) -> float:
    """Of a prompt. A context that the record does not know yet rules nothing out: heartbeats say
    `ready` before the registry has the whole record, and the node checks the prompt itself."""
    return record.context_length * BYTES_PER_TOKEN_AT_MOST or inf


def row_of(node: NodeView, record: ModelRecord, load: ModelLoad | None) -> Row:
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
    wait_s = heartbeat.expected_wait_s if heartbeat is not None else 0.0
    if load is not None and load.expected_wait_s is not None:
        wait_s = load.expected_wait_s
    free_slots = hot.slots - hot.used_slots - unseen - queued
    return Row(
        view=node,
        model=record,
        state=hot.state,
        slots=hot.slots,
        free_slots=free_slots,
        wait_s=wait_s,
        free_vram_bytes=max(free_vram, default=0),
        answer_s=pace.answer_s(
            record,
            node.record.gpus,
            state=hot.state,
            free_slots=free_slots,
            unseen=unseen,
            wait_s=wait_s,
        ),
    )


def _stand(node: NodeView) -> tuple[NodeView, float, tuple[Ranked, ...]]:
    """The view, the moment from which it takes work (monotonic seconds, infinity for not as it is
    now), and its rows as far as no request is needed to know them."""
    if node_refusal(node, inf, frozenset()):
        return node, inf, ()
    rows = []
    for record in node.record.models:
        load = load_of(node, record)
        if (load or record).state is not ModelState.FAILED:
            rows.append(ranked_of(row_of(node, record, load)))
    return node, node.set_aside_until or -inf, tuple(rows)
