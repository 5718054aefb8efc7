"""Where every (node, model) of a fleet stands: what ranks it, and in which order that puts it.

Pure, like ``mesh/fleet/placement.py``, which asks it. Work that no request is needed for is done
once per ``NodeView`` and kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import nlargest, nsmallest
from math import inf
from typing import NamedTuple

from mesh.fleet import answer_time as pace
from mesh.fleet.eligibility import Offer, OfferKey, node_refusal, offer_of
from mesh.fleet.records import FleetView, ModelLoad, ModelRecord, ModelState, NodeView
from mesh.fleet.work import Home
from mesh.types import ModelId, NodeId

# A conversation stays where it is although another row would be served so many seconds sooner:
# about what prefilling a few hundred tokens again costs on the cards this is for.
STAY_WAIT_S = 0.5

# Distinct offers that are remembered: a fleet has some dozens. Past it they are told anew, which
# costs a request a little time.
MOST_OFFERS = 4096

WARMTH = {ModelState.RESIDENT: 2, ModelState.LOADING: 1, ModelState.COLD: 0, ModelState.FAILED: 0}
_64_BITS = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Row:
    """A (node, model) with what ranks it. ``free_slots`` may be negative: work waits. Used slots
    are the greater of what the last heartbeat tells and what this process has in flight there: its
    newest attempts are not in the heartbeat yet, and adding both would count twice.
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
        """Ascending, the best row first: resident before loading before cold, a free slot before
        none, how soon it would be answered there (``band``), free slots, expected wait (seconds),
        free VRAM of the node's roomiest device, own attempts in flight."""
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
    """A row in the order of its fields: what ranks it, what breaks ties (64 bits, then names), and
    what a request is held against. No two of a fleet are equal before ``offer``."""

    rank: tuple[float, ...]
    tag: int
    node: NodeId
    model: ModelId
    offer: Offer
    row: Row


@dataclass(slots=True)
class Standings:
    """Rows of nodes that did not change since they were last looked at: a caller that ranks often
    in a large fleet keeps one. It changes no result, only how long it takes: what ranks a node is
    worked out once per ``NodeView``, not once per request."""

    _known: dict[NodeId, tuple[NodeView, float, tuple[Ranked, ...]]] = field(default_factory=dict)
    _offers: dict[OfferKey, Offer] = field(default_factory=dict)

    def rows(self, view: FleetView, now: float, exclude: frozenset[NodeId]) -> list[Ranked]:
        """Of all nodes that take work now."""
        known = self._known
        if len(known) > 2 * len(view.nodes) + 16:  # nodes that have left the mesh
            known.clear()
        if len(self._offers) > MOST_OFFERS:
            self._offers.clear()
        rows: list[Ranked] = []
        for node_id, node in view.nodes.items():
            found = known.get(node_id)
            if found is None or found[0] is not node:
                found = known[node_id] = _stand(node, self._offers)
            if found[1] <= now and node_id not in exclude:
                rows += found[2]
        return rows


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
    """The first ``limit`` of the rows (None: all), ``home`` before them.

    ``affinity``: of the conversation; rows that rank equal are ordered by a hash of it with (node,
    model), the greatest first (rendezvous hashing: Thaler and Ravishankar 1998), so that processes
    which know nothing of each other send one conversation the same way, and others elsewhere.
    None: by a hash of (node, model).
    """
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


def _stand(
    node: NodeView, offers: dict[OfferKey, Offer]
) -> tuple[NodeView, float, tuple[Ranked, ...]]:
    """The view, the moment from which it takes work (monotonic seconds, infinity for not as it is
    now), and its rows."""
    if node_refusal(node, inf, frozenset()) is not None:
        return node, inf, ()
    rows = tuple(_ranked(node, record, offers) for record in node.record.models)
    return node, node.set_aside_until or -inf, rows


def _ranked(node: NodeView, record: ModelRecord, offers: dict[OfferKey, Offer]) -> Ranked:
    row = row_of(node, record, node.load(record.id))
    tag = blake2b(f"{node.record.id}/{record.id}".encode(), digest_size=8).digest()
    return Ranked(
        rank=row.rank(),
        tag=int.from_bytes(tag),
        node=node.record.id,
        model=record.id,
        offer=offer_of(record, row.state, offers),
        row=row,
    )
