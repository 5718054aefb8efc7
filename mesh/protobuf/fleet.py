"""The fleet listing: records ride as their own JSON, so that what a record says is written once."""

from __future__ import annotations

import logging
from dataclasses import replace

from mesh.errors import ProtocolError
from mesh.fleet.records import (
    FleetView,
    NodeRecord,
    NodeView,
    decode_node,
    decode_orchestrator,
    encode_record,
)
from mesh.stream import FleetStatus, NodeStatus
from mesh.v1 import mesh_pb2 as pb

log = logging.getLogger(__name__)


def fleet_to_wire(
    view: FleetView, *, registry_connected: bool, now: float, wall: float
) -> pb.FleetResponse:
    """``now``: monotonic seconds, as in ``NodeView.last_seen``; ``wall``: the same moment in Unix
    seconds. Sorted by name, so that a listing does not jump about."""
    nodes = sorted(view.nodes.values(), key=lambda node: (node.record.name, node.record.id))
    orchestrators = sorted(view.orchestrators.values(), key=lambda record: (record.name, record.id))
    listed = []
    for node in nodes:
        try:
            listed.append(_node_to_wire(node, now, wall))
        except ProtocolError as error:
            # Signs of life come from other boxes: one with a number that no JSON can hold must not
            # hide the rest of the fleet.
            log.warning("node %s cannot be listed: %s", node.record.id, error.message)
    return pb.FleetResponse(
        nodes=listed,
        orchestrators=[
            pb.Orchestrator(record=encode_record(record, indent=0)) for record in orchestrators
        ],
        registry_connected=registry_connected,
    )


def fleet_from_wire(wire: pb.FleetResponse) -> FleetStatus:
    """Raises ``ProtocolError`` for a record that this client cannot read: a state it does not know,
    a listing of another protocol."""
    try:
        return FleetStatus(
            nodes=tuple(_node_from_wire(node) for node in wire.nodes),
            orchestrators=tuple(decode_orchestrator(each.record) for each in wire.orchestrators),
            registry_connected=wire.registry_connected,
        )
    except ProtocolError as error:
        raise ProtocolError(
            f"the orchestrator lists what this client cannot read ({error.message}); upgrade the "
            "older of the two"
        ) from None


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


def _node_to_wire(node: NodeView, now: float, wall: float) -> pb.Node:
    """Raises ``ProtocolError`` for a record that its reader could not read."""
    record = current_record(node)
    reason = record.reason
    if not reason and node.set_aside_until is not None and node.set_aside_until > now:
        reason = f"set aside after a failure: {node.set_aside_reason}"
    if not reason and not node.link_up:
        reason = f"this orchestrator has no link to {record.endpoint}"
    age = max(0.0, now - node.last_seen)
    data = encode_record(replace(record, reason=reason), indent=0)
    decode_node(data)
    return pb.Node(
        record=data,
        last_seen=wall - age,
        last_seen_age_s=age,
        in_flight=node.in_flight,
        link_up=node.link_up,
    )


def _node_from_wire(wire: pb.Node) -> NodeStatus:
    return NodeStatus(
        record=decode_node(wire.record),
        last_seen=wire.last_seen,
        last_seen_age_s=wire.last_seen_age_s,
        in_flight=wire.in_flight,
        link_up=wire.link_up,
    )
