"""The fleet listing: records ride as their own JSON, so that what a record says is written once.

One row that cannot be listed or read hides no other: it goes among the unreadable, with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from mesh.cleaned import cleaned
from mesh.errors import ProtocolError
from mesh.fleet.border import shown_key
from mesh.fleet.records import (
    FleetView,
    ModelRecord,
    NodeRecord,
    NodeView,
    decode_node,
    decode_orchestrator,
    encode_record,
)
from mesh.fleet.view import GONE_S
from mesh.registry.base import NODES, ORCHESTRATORS
from mesh.stream import FleetStatus, NodeStatus, Unreadable
from mesh.v1 import mesh_pb2 as pb

UNREADABLE_LISTED = 100
REASON_CHARS = 300
_LATEST = 1e11  # Unix seconds; NaN is no moment either

_Read = TypeVar("_Read")
_Listed = TypeVar("_Listed")


def fleet_to_wire(
    view: FleetView,
    *,
    registry_connected: bool,
    now: float,
    wall: float,
    registry_shortfall: str = "",
) -> pb.FleetResponse:
    """``now``: monotonic seconds, as in ``NodeView.last_seen``; ``wall``: the same moment in Unix
    seconds. Sorted by name, so that a listing does not jump about."""
    nodes = sorted(view.nodes.values(), key=lambda node: (node.record.name, node.record.id))
    orchestrators = sorted(view.orchestrators.values(), key=lambda record: (record.name, record.id))
    unreadable = dict(view.unreadable)
    listed: list[pb.Node] = []
    for node in nodes:
        try:
            listed.append(_node_to_wire(node, now, wall))
        except ProtocolError as error:
            # Signs of life come from other boxes, and are laid over the record.
            unreadable[f"{NODES}{node.record.id}"] = error.message
    told: list[pb.Orchestrator] = []
    for record in orchestrators:
        data = encode_record(record, indent=0)
        try:
            decode_orchestrator(data)
            told.append(pb.Orchestrator(record=data))
        except ProtocolError as error:
            unreadable[f"{ORCHESTRATORS}{record.id}"] = error.message
    return pb.FleetResponse(
        nodes=listed,
        orchestrators=told,
        registry_connected=registry_connected,
        gone=[
            pb.Node(
                record=encode_record(each.record, indent=0),
                last_seen=wall - (now - each.since),
                last_seen_age_s=now - each.since,
                gone_since=wall - (now - each.since),
            )
            for each in view.gone.values()
            if now - each.since < GONE_S
        ],
        unreadable=[
            pb.Unreadable(key=shown_key(key), reason=cleaned(reason, REASON_CHARS))
            for key, reason in islice(sorted(unreadable.items()), UNREADABLE_LISTED)
        ],
        unreadable_more=max(0, len(unreadable) - UNREADABLE_LISTED),
        registry_shortfall=registry_shortfall,
    )


def fleet_from_wire(wire: pb.FleetResponse) -> FleetStatus:
    """What this client cannot read (a state that it does not know, a record of another protocol) is
    among the unreadable."""
    unreadable = [
        Unreadable(key=shown_key(each.key), reason=cleaned(each.reason, REASON_CHARS))
        for each in wire.unreadable
    ]
    return FleetStatus(
        nodes=_read("a node's row", wire.nodes, _node_from_wire, unreadable),
        orchestrators=_read(
            "an orchestrator's row",
            wire.orchestrators,
            lambda each: decode_orchestrator(each.record),
            unreadable,
        ),
        registry_connected=wire.registry_connected,
        gone=_read("a gone node's row", wire.gone, _node_from_wire, unreadable),
        unreadable=tuple(unreadable),
        unreadable_more=max(0, wire.unreadable_more),
        registry_shortfall=cleaned(wire.registry_shortfall, REASON_CHARS),
    )


def _read(
    what: str,
    rows: Iterable[_Listed],
    read: Callable[[_Listed], _Read],
    unreadable: list[Unreadable],
) -> tuple[_Read, ...]:
    found: list[_Read] = []
    for row in rows:
        try:
            found.append(read(row))
        except ProtocolError as error:
            reason = f"this client cannot read it ({error.message}); upgrade the older of the two"
            unreadable.append(Unreadable(key=what, reason=cleaned(reason, REASON_CHARS)))
    return tuple(found)


def current_record(node: NodeView) -> NodeRecord:
    """The record with the heartbeat's newer state, reason and slots laid over it."""
    record, heartbeat = node.record, node.heartbeat
    if heartbeat is None:
        return record
    loads = {load.model: load for load in heartbeat.models}
    models = tuple(
        replace(
            model,
            state=load.state,
            used_slots=load.used_slots,
            queued=load.queued,
            load_percent=load.load_percent,
            unload_at=load.unload_at,
            counts=load.counts,
        )
        if (load := loads.get(model.id))
        else model
        for model in record.models
    )
    return replace(record, state=heartbeat.state, reason=heartbeat.reason, models=models)


def _with_verdict(model: ModelRecord, node: NodeView, now: float) -> ModelRecord:
    """With a note where this orchestrator has set the model aside on its node."""
    until, why = node.models_aside.get(model.id, (now, ""))
    if until <= now:
        return model
    return replace(model, note=cleaned(f"set aside after a failure: {why}", REASON_CHARS))


def _node_to_wire(node: NodeView, now: float, wall: float) -> pb.Node:
    """Raises ``ProtocolError`` for a record that its reader could not read."""
    record = current_record(node)
    reason = record.reason
    if not reason and node.set_aside_until is not None and node.set_aside_until > now:
        reason = f"set aside after a failure: {node.set_aside_reason}"
    if not reason and not node.link_up:
        tried = "has no link to" if node.lost_at is not None else "did not need yet, or dials,"
        reason = f"this orchestrator {tried} {record.endpoint}"
    record = replace(record, models=tuple(_with_verdict(each, node, now) for each in record.models))
    lost_at = node.lost_at if node.lost_at is not None and node.lost_at <= now else None
    age = max(0.0, now - node.last_seen)
    data = encode_record(replace(record, reason=reason), indent=0)
    decode_node(data)
    return pb.Node(
        record=data,
        last_seen=wall - age,
        last_seen_age_s=age,
        in_flight=node.in_flight,
        link_up=node.link_up,
        unreachable_since=0.0 if lost_at is None else wall - (now - lost_at),
    )


def _node_from_wire(wire: pb.Node) -> NodeStatus:
    for moment in (wire.last_seen, wire.unreachable_since, wire.gone_since):
        if not abs(moment) <= _LATEST:
            raise ProtocolError(f"{moment} is no moment")
    if not abs(wire.last_seen_age_s) <= _LATEST:
        raise ProtocolError(f"{wire.last_seen_age_s} s are no age")
    return NodeStatus(
        record=decode_node(wire.record),
        last_seen=wire.last_seen,
        last_seen_age_s=wire.last_seen_age_s,
        in_flight=wire.in_flight,
        link_up=wire.link_up,
        unreachable_since=wire.unreachable_since or None,
        gone_since=wire.gone_since or None,
    )
