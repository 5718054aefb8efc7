"""How a fleet view changes: records and hot signals go in, a new view comes out.

Pure: every function returns a new ``FleetView`` and leaves the old one as it was, so a reader keeps
a consistent snapshot for as long as it holds it. A change copies one dict of references (15 us at
500 nodes) and nothing in it. A signal for a node that is not in the view changes nothing: its
record was deleted, and whoever still holds an attempt there learns of it from the link.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from mesh.errors import ProtocolError
from mesh.fleet.border import shown_key
from mesh.fleet.records import (
    FleetView,
    Gone,
    Heartbeat,
    NodeRecord,
    NodeView,
    OrchestratorRecord,
    decode_node,
    decode_orchestrator,
)
from mesh.registry.base import NODES, ORCHESTRATORS, Change, Delete, Put
from mesh.types import ModelId, NodeId, OrchestratorId

FIRST_LINK_S = 1.0  # a node that was never reached counts as unreachable after so long
PORTION, PORTION_BYTES = 32, 128 * 1024  # changes, and what they hold
GONE_S = 600.0  # how long a node that left is remembered, for people who look for it
GONE_NODES = 64  # of those, at most; the oldest is forgotten


def apply(
    view: FleetView, changes: Sequence[Change], now: float
) -> tuple[FleetView, tuple[str, ...]]:
    """The view after a batch from ``Registry.watch``, and one line for each record that is no use,
    unless it was none before, for the same reason.

    Keys other than ``nodes/<id>`` and ``orchestrators/<id>`` are somebody else's and are left
    alone. A record that cannot be read, or that names another id than its key, is set aside in
    ``unreadable`` until its key holds a better one or is gone: what the view held before stays,
    because a stray value is no sign that the node is gone. ``now``: monotonic seconds. ``revision``
    counts the batches that changed something.
    """
    nodes = dict(view.nodes)
    orchestrators = dict(view.orchestrators)
    unreadable = dict(view.unreadable)
    gone = dict(view.gone)
    problems: list[str] = []
    changed = False
    for change in changes:
        match change:
            case Put(key=key, value=value):
                try:
                    changed |= _put(nodes, orchestrators, key, value, now)
                    changed |= unreadable.pop(key, None) is not None
                    gone.pop(NodeId(key.removeprefix(NODES)), None)
                except ProtocolError as error:
                    if unreadable.get(key) != error.message:
                        problems.append(f"{shown_key(key)}: {error.message}")
                        unreadable[key] = error.message
                        changed = True
            case Delete(key=key):
                changed |= unreadable.pop(key, None) is not None
                if key.startswith(NODES):
                    left = nodes.pop(NodeId(key[len(NODES) :]), None)
                    if left is not None:
                        gone[left.record.id] = Gone(record=left.record, since=now)
                        changed = True
                elif key.startswith(ORCHESTRATORS):
                    ended = OrchestratorId(key[len(ORCHESTRATORS) :])
                    changed |= orchestrators.pop(ended, None) is not None
    if not changed:
        return view, tuple(problems)
    after = replace(
        view,
        nodes=nodes,
        orchestrators=orchestrators,
        revision=view.revision + 1,
        unreadable=unreadable,
        gone=_lately(gone, now),
    )
    return after, tuple(problems)


def portions(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    """A batch in pieces, each of which takes some milliseconds to apply: of a fleet of thousands,
    or of values that are large, the whole would hold up what streams meanwhile."""
    begin = size = 0
    for at, each in enumerate(changes):
        size += len(each.value) if isinstance(each, Put) else 0
        if at - begin + 1 >= PORTION or size >= PORTION_BYTES:
            yield changes[begin : at + 1]
            begin, size = at + 1, 0
    if begin < len(changes) or not changes:
        yield changes[begin:]


def heard(view: FleetView, heartbeat: Heartbeat, now: float) -> FleetView:
    """A heartbeat came over the node's link. ``now``: monotonic seconds."""
    node = view.nodes.get(heartbeat.node)
    if node is None:
        return view
    return _with(view, replace(node, heartbeat=heartbeat, last_seen=now, lost_at=None))


def silent(view: FleetView, node: NodeId, now: float) -> FleetView:
    """Nothing is heard of ``node`` any more, though its link stands."""
    found = view.nodes.get(node)
    return view if found is None else _with(view, replace(found, lost_at=now))


def link(view: FleetView, node: NodeId, up: bool, now: float) -> FleetView:
    """The link to ``node`` came up or went down.

    Down drops the heartbeat, since what it says of free slots is no longer true of anything. Up is
    a sign of life, but no pardon: what set a node aside may well be slower than a handshake. The
    first link has a moment to stand before the node counts as unreachable.
    """
    found = view.nodes.get(node)
    if found is None:
        return view
    if up:
        return _with(view, replace(found, link_up=True, last_seen=now, lost_at=None))
    lost_at = found.lost_at
    if found.link_up or lost_at is None:
        lost_at = now if found.link_up else now + FIRST_LINK_S
    return _with(view, replace(found, link_up=False, heartbeat=None, lost_at=lost_at))


def unlinked(view: FleetView, node: NodeId) -> FleetView:
    """There is no link to ``node``, and nobody tries to have one: that says nothing about it."""
    found = view.nodes.get(node)
    if found is None or not (found.link_up or found.heartbeat or found.lost_at is not None):
        return view
    return _with(view, replace(found, link_up=False, heartbeat=None, lost_at=None))


def set_aside(
    view: FleetView,
    node: NodeId,
    until: float | None,
    reason: str,
    model: ModelId | None = None,
) -> FleetView:
    """This process's own verdict after a failure: no new work for ``node`` before ``until``
    (monotonic seconds). None takes the verdict back. ``model``: for that model of it alone."""
    found = view.nodes.get(node)
    if found is None:
        return view
    if model is not None:
        others = {each: said for each, said in found.models_aside.items() if each != model}
        said = {} if until is None else {model: (until, reason)}
        return _with(view, replace(found, models_aside=others | said))
    why = reason if until is not None else ""
    return _with(view, replace(found, set_aside_until=until, set_aside_reason=why))


def in_flight(view: FleetView, node: NodeId, delta: int) -> FleetView:
    """Counts this process's own attempts on ``node``: +1 when one opens, -1 when it ends.

    Never below zero: a record that vanished and came back starts again at none, while attempts from
    before may still end.
    """
    found = view.nodes.get(node)
    if found is None:
        return view
    return _with(view, replace(found, in_flight=max(0, found.in_flight + delta)))


def _put(
    nodes: dict[NodeId, NodeView],
    orchestrators: dict[OrchestratorId, OrchestratorRecord],
    key: str,
    value: bytes,
    now: float,
) -> bool:
    if key.startswith(NODES):
        record = decode_node(value)
        _check_id(key[len(NODES) :], record.id)
        nodes[record.id] = _renewed(nodes.get(record.id), record, now)
    elif key.startswith(ORCHESTRATORS):
        orchestrator = decode_orchestrator(value)
        _check_id(key[len(ORCHESTRATORS) :], orchestrator.id)
        orchestrators[orchestrator.id] = orchestrator
    else:
        return False
    return True


def _renewed(before: NodeView | None, record: NodeRecord, now: float) -> NodeView:
    if before is None:
        return NodeView(record=record, last_seen=now)
    if before.record.instance == record.instance:
        return replace(before, record=record, last_seen=now)
    # A new start of the agent owes nothing to the old one's load or failures. The link and the
    # attempts are this process's own, and whoever owns them takes them down itself.
    return replace(
        before,
        record=record,
        heartbeat=None,
        last_seen=now,
        set_aside_until=None,
        set_aside_reason="",
        models_aside={},
    )


def _lately(gone: dict[NodeId, Gone], now: float) -> dict[NodeId, Gone]:
    """Those that left less than ``GONE_S`` ago, and of these the last ``GONE_NODES``."""
    kept = {node: each for node, each in gone.items() if now - each.since < GONE_S}
    return dict(islice(kept.items(), max(0, len(kept) - GONE_NODES), None))


def _check_id(in_key: str, in_record: str) -> None:
    if in_key != in_record:
        raise ProtocolError(f"the record in it names another id, '{in_record}'")


def _with(view: FleetView, node: NodeView) -> FleetView:
    return replace(view, nodes={**view.nodes, node.record.id: node})
