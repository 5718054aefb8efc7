"""The fleet listing: records to the wire and back."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TypeVar

from mesh.errors import ProtocolError
from mesh.fleet.records import (
    PROTOCOL_VERSION,
    Cpu,
    FleetView,
    Gpu,
    Memory,
    ModelCounts,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    NodeView,
    OrchestratorRecord,
)
from mesh.stream import FleetStatus, NodeStatus
from mesh.types import ModelId, NodeId, OrchestratorId, Specialty
from mesh.v1 import mesh_pb2 as pb

S = TypeVar("S", NodeState, ModelState)

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
        except ValueError as error:
            # Records come from other boxes: one with a number that the wire's types cannot hold
            # must not hide the rest of the fleet.
            log.warning("node %s cannot be listed: %s", node.record.id, error)
    return pb.FleetResponse(
        nodes=listed,
        orchestrators=[_orchestrator_to_wire(record) for record in orchestrators],
        registry_connected=registry_connected,
    )


def fleet_from_wire(wire: pb.FleetResponse) -> FleetStatus:
    """Raises ``ProtocolError`` for a state that this client does not know."""
    return FleetStatus(
        nodes=tuple(_node_from_wire(node) for node in wire.nodes),
        orchestrators=tuple(_orchestrator_from_wire(record) for record in wire.orchestrators),
        registry_connected=wire.registry_connected,
    )


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
    record = current_record(node)
    reason = record.reason
    if not reason and node.set_aside_until is not None and node.set_aside_until > now:
        reason = f"set aside after a failure: {node.set_aside_reason}"
    if not reason and not node.link_up:
        reason = f"this orchestrator has no link to {record.endpoint}"
    age = max(0.0, now - node.last_seen)
    return pb.Node(
        id=record.id,
        name=record.name,
        host=record.host,
        pid=record.pid,
        state=record.state,
        reason=reason,
        specialties=record.specialties,
        models=[_model_to_wire(model) for model in record.models],
        gpus=[_gpu_to_wire(gpu) for gpu in record.gpus],
        accelerator=record.accelerator,
        cpu=record.cpu.name if record.cpu else "",
        physical_cores=record.cpu.physical_cores if record.cpu else 0,
        memory_total_bytes=record.memory.total_bytes if record.memory else 0,
        memory_available_bytes=record.memory.available_bytes if record.memory else 0,
        endpoint=record.endpoint,
        transport=record.transport,
        version=record.version,
        started_at=record.started_at,
        last_seen=wall - age,
        last_seen_age_s=age,
        in_flight=node.in_flight,
        link_up=node.link_up,
        instance=record.instance,
        direct_endpoint=record.direct_endpoint,
        logical_cores=record.cpu.logical_cores if record.cpu else 0,
        cpu_load=record.cpu.load if record.cpu else None,
        protocol=record.protocol,
        updated_at=record.updated_at,
    )


def _node_from_wire(wire: pb.Node) -> NodeStatus:
    record = NodeRecord(
        id=NodeId(wire.id),
        instance=wire.instance,
        name=wire.name,
        host=wire.host,
        pid=wire.pid,
        state=_state(NodeState, wire.state),
        reason=wire.reason,
        endpoint=wire.endpoint,
        direct_endpoint=wire.direct_endpoint,
        transport=wire.transport,
        specialties=tuple(Specialty(s) for s in wire.specialties),
        models=tuple(_model_from_wire(model) for model in wire.models),
        gpus=tuple(_gpu_from_wire(gpu) for gpu in wire.gpus),
        accelerator=wire.accelerator,
        cpu=_cpu_from_wire(wire) if wire.cpu else None,
        memory=Memory(
            total_bytes=wire.memory_total_bytes, available_bytes=wire.memory_available_bytes
        )
        if wire.memory_total_bytes
        else None,
        version=wire.version,
        protocol=wire.protocol or PROTOCOL_VERSION,
        started_at=wire.started_at,
        updated_at=wire.updated_at,
    )
    return NodeStatus(
        record=record,
        last_seen=wire.last_seen,
        last_seen_age_s=wire.last_seen_age_s,
        in_flight=wire.in_flight,
        link_up=wire.link_up,
    )


def _cpu_from_wire(wire: pb.Node) -> Cpu:
    return Cpu(
        name=wire.cpu,
        physical_cores=wire.physical_cores,
        logical_cores=wire.logical_cores,
        load=wire.cpu_load if wire.HasField("cpu_load") else None,
    )


def _model_to_wire(model: ModelRecord) -> pb.Model:
    return pb.Model(
        id=model.id,
        engine=model.engine,
        specialties=model.specialties,
        state=model.state,
        slots=model.slots,
        used_slots=model.used_slots,
        context_length=model.context_length,
        device=model.device,
        file=model.file,
        file_bytes=model.file_bytes,
        architecture=model.architecture,
        parameters=model.parameters,
        quantisation=model.quantisation,
        tokenizer_hash=model.tokenizer_hash,
        error=model.error or "",
        pinned=model.pinned,
        ttl_s=model.ttl_s,
        estimated_bytes=model.estimated_bytes,
        measured_bytes=model.measured_bytes,
        load_s=model.load_s,
        note=model.note,
        last_error=model.last_error,
        load_percent=model.load_percent,
        unload_at=model.unload_at,
        queued=model.queued,
        template_hash=model.template_hash,
        tier=model.tier,
        input_price=model.input_price,
        output_price=model.output_price,
        prefill_tps=model.prefill_tps,
        decode_tps=model.decode_tps,
        decode_tps_half=model.decode_tps_half,
        decode_tps_full=model.decode_tps_full,
        cpu_fallback=model.cpu_fallback,
        counts=_counts_to_wire(model.counts),
        embeds=model.embeds,
        instant=model.instant,
    )


def _model_from_wire(wire: pb.Model) -> ModelRecord:
    return ModelRecord(
        id=ModelId(wire.id),
        engine=wire.engine,
        specialties=tuple(Specialty(s) for s in wire.specialties),
        state=_state(ModelState, wire.state),
        slots=wire.slots,
        used_slots=wire.used_slots,
        context_length=wire.context_length,
        device=wire.device,
        file=wire.file,
        file_bytes=wire.file_bytes,
        architecture=wire.architecture,
        parameters=wire.parameters,
        quantisation=wire.quantisation,
        tokenizer_hash=wire.tokenizer_hash,
        error=wire.error or None,
        pinned=wire.pinned,
        ttl_s=wire.ttl_s if wire.HasField("ttl_s") else None,
        estimated_bytes=wire.estimated_bytes,
        measured_bytes=wire.measured_bytes,
        load_s=wire.load_s,
        note=wire.note,
        last_error=wire.last_error,
        load_percent=wire.load_percent,
        unload_at=wire.unload_at,
        queued=wire.queued,
        template_hash=wire.template_hash,
        tier=wire.tier,
        input_price=wire.input_price if wire.HasField("input_price") else None,
        output_price=wire.output_price if wire.HasField("output_price") else None,
        prefill_tps=wire.prefill_tps,
        decode_tps=wire.decode_tps,
        decode_tps_half=wire.decode_tps_half,
        decode_tps_full=wire.decode_tps_full,
        cpu_fallback=wire.cpu_fallback,
        counts=_counts_from_wire(wire.counts),
        embeds=wire.embeds,
        instant=wire.instant,
    )


def _counts_to_wire(counts: ModelCounts) -> pb.ModelCounts:
    return pb.ModelCounts(
        sequences=counts.sequences,
        reused=counts.reused,
        prompt_tokens=counts.prompt_tokens,
        reused_tokens=counts.reused_tokens,
        drafted_tokens=counts.drafted_tokens,
        accepted_tokens=counts.accepted_tokens,
    )


def _counts_from_wire(wire: pb.ModelCounts) -> ModelCounts:
    return ModelCounts(
        sequences=wire.sequences,
        reused=wire.reused,
        prompt_tokens=wire.prompt_tokens,
        reused_tokens=wire.reused_tokens,
        drafted_tokens=wire.drafted_tokens,
        accepted_tokens=wire.accepted_tokens,
    )


def _gpu_to_wire(gpu: Gpu) -> pb.Gpu:
    return pb.Gpu(
        uuid=gpu.uuid,
        name=gpu.name,
        index=gpu.index,
        total_bytes=gpu.total_bytes,
        used_bytes=gpu.used_bytes,
        free_bytes=gpu.free_bytes,
        temperature_c=gpu.temperature_c,
        power_w=gpu.power_w,
        utilisation=gpu.utilisation,
        compute_capability=gpu.compute_capability or "",
        parent_uuid=gpu.parent_uuid or "",
        error=gpu.error or "",
        throttled=gpu.throttled,
        throttled_to=gpu.throttled_to,
        dtypes=gpu.dtypes,
    )


def _gpu_from_wire(wire: pb.Gpu) -> Gpu:
    return Gpu(
        uuid=wire.uuid,
        name=wire.name,
        index=wire.index,
        total_bytes=wire.total_bytes,
        used_bytes=wire.used_bytes,
        free_bytes=wire.free_bytes,
        temperature_c=wire.temperature_c if wire.HasField("temperature_c") else None,
        power_w=wire.power_w if wire.HasField("power_w") else None,
        utilisation=wire.utilisation if wire.HasField("utilisation") else None,
        compute_capability=wire.compute_capability or None,
        parent_uuid=wire.parent_uuid or None,
        error=wire.error or None,
        throttled=wire.throttled,
        throttled_to=wire.throttled_to or 1.0,
        dtypes=tuple(wire.dtypes),
    )


def _orchestrator_to_wire(record: OrchestratorRecord) -> pb.Orchestrator:
    return pb.Orchestrator(
        id=record.id,
        name=record.name,
        host=record.host,
        pid=record.pid,
        endpoint=record.endpoint,
        version=record.version,
        rules_version=record.rules_version,
        fallback=record.fallback,
        started_at=record.started_at,
        instance=record.instance,
        ticket_key=record.ticket_key,
        updated_at=record.updated_at,
    )


def _orchestrator_from_wire(wire: pb.Orchestrator) -> OrchestratorRecord:
    return OrchestratorRecord(
        id=OrchestratorId(wire.id),
        instance=wire.instance,
        name=wire.name,
        host=wire.host,
        pid=wire.pid,
        endpoint=wire.endpoint,
        version=wire.version,
        rules_version=wire.rules_version,
        fallback=wire.fallback,
        ticket_key=wire.ticket_key,
        started_at=wire.started_at,
        updated_at=wire.updated_at,
    )


def _state(kind: type[S], text: str) -> S:
    try:
        return kind(text)
    except ValueError:
        raise ProtocolError(
            f"the orchestrator lists the unknown state {text!r}; upgrade this client"
        ) from None
