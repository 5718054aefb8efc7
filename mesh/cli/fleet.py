"""The fleet as a table of 80 columns, and as the data that ``--json`` prints."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from mesh.cli.screen import age, gigabytes, megabytes, table
from mesh.records import Gpu, ModelRecord, ModelState, NodeRecord, NodeState
from mesh.stream import FleetStatus, NodeStatus

MEMORY = "GiB used\n/free/total"

_MODEL_STYLE = {
    ModelState.RESIDENT: "green",
    ModelState.LOADING: "yellow",
    ModelState.COLD: "",
    ModelState.FAILED: "red",
}
_STATE_STYLE = {
    NodeState.READY: "green",
    NodeState.STARTING: "yellow",
    NodeState.DRAINING: "yellow",
    NodeState.FAILED: "red",
}


def as_data(fleet: FleetStatus) -> dict[str, Any]:
    """Fields are added, never renamed. Sizes in bytes, times in Unix seconds."""
    return {
        "nodes": [_node_data(node) for node in fleet.nodes],
        "orchestrators": [msgspec.to_builtins(each) for each in fleet.orchestrators],
        "registry_connected": fleet.registry_connected,
    }


def _node_data(node: NodeStatus) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(node.record)
    used, total = slots(node.record)
    return data | {
        "slots": {"used": used, "total": total},
        "memory": data["memory"] or {"total_bytes": None, "available_bytes": None},
        "reason": reason(node),
        "last_seen": node.last_seen,
        "last_seen_age_s": node.last_seen_age_s,
        "in_flight": node.in_flight,
        "link_up": node.link_up,
    }


def render(fleet: FleetStatus) -> RenderableType:
    """Nodes, what keeps some of them from taking work, orchestrators."""
    parts: list[RenderableType] = [_nodes(fleet) if fleet.nodes else Text("no node is known")]
    parts.append(Text())
    parts += [
        Text.assemble((f"{node.record.name} takes no work: ", "yellow"), why)
        for node in fleet.nodes
        if (why := reason(node))
    ]
    parts += [
        Text.assemble((f"{node.record.name}: model {model.id} failed: ", "red"), model.error or "")
        for node in fleet.nodes
        for model in node.record.models
        if model.state is ModelState.FAILED and not reason(node)
    ]
    for each in fleet.orchestrators:
        rules = f", rules {each.rules_version}" if each.rules_version else ""
        fallback = f", fallback {each.fallback}" if each.fallback else ""
        parts.append(
            Text(f"orchestrator {each.name} at {each.endpoint} (pid {each.pid}{rules}{fallback})")
        )
    if not fleet.registry_connected:
        parts.append(Text("the registry is away: this is what was seen last", style="yellow"))
    return Group(*parts)


def render_models(fleet: FleetStatus, wall: float) -> RenderableType:
    """Every model of every node, with what there is to say about some of them below. NEEDS is what
    was estimated before the load, TAKES what was measured. ``wall``: Unix seconds now."""
    made = table(
        *("NODE", "MODEL", "STATE", "SLOTS", "NEEDS", "TAKES", "DEVICE", "TTL"),
        right=("NEEDS", "TAKES", "TTL"),
        fixed=("STATE", "SLOTS", "NEEDS", "TAKES", "TTL"),
        at_most={"NODE": 12, "DEVICE": 12},
    )
    said: list[Text] = []
    for node in sorted(fleet.nodes, key=lambda each: (each.record.name, each.record.id)):
        record = node.record
        for model in record.models:
            made.add_row(
                Text(record.name),
                Text(model.id),
                Text(_model_state(model), style=_MODEL_STYLE[model.state]),
                _model_slots(model),
                megabytes(model.estimated_bytes) if model.estimated_bytes else "-",
                megabytes(model.measured_bytes) if model.measured_bytes else "-",
                Text(_model_device(record, model)),
                _ttl(model, wall),
            )
            said += _model_words(record.name, model)
    parts: list[RenderableType] = [made if made.row_count else Text("no model is known"), Text()]
    return Group(*parts, *said)


def _model_state(model: ModelRecord) -> str:
    if model.state is ModelState.LOADING and model.load_percent:
        return f"loading {model.load_percent}%"
    return str(model.state)


def _model_slots(model: ModelRecord) -> str:
    """``3/4 +2``: used, all, and requests that wait on the node."""
    waiting = f" +{model.queued}" if model.queued else ""
    return f"{model.used_slots}/{model.slots}{waiting}"


def _model_device(record: NodeRecord, model: ModelRecord) -> str:
    found = next((gpu for gpu in record.gpus if gpu.uuid == model.device), None)
    if found is not None:
        return found.name.removeprefix("NVIDIA ").removeprefix("GeForce ")
    return "CPU" if model.device == "cpu" else model.device


def _ttl(model: ModelRecord, wall: float) -> str:
    """Time left, ``pinned``, or ``stays``; with its whole time while it is in use."""
    if model.pinned:
        return "pinned"
    if model.ttl_s is None:
        return "stays"
    if model.unload_at:
        return f"{age(max(0.0, model.unload_at - wall))} left"
    return age(model.ttl_s)


def _model_words(node: str, model: ModelRecord) -> list[Text]:
    name = f"{node}: {model.id}"
    if model.error:
        return [Text.assemble((f"{name}: ", "red"), model.error)]
    words = [Text(f"{name}: {model.note}")] if model.note else []
    if model.last_error:
        words.append(Text(f"{name}: failed before: {model.last_error}", style="yellow"))
    return words


def reason(node: NodeStatus) -> str:
    """Why it takes no work, "" when it does."""
    if node.record.reason:
        return node.record.reason
    if node.record.state is not NodeState.READY:
        return str(node.record.state)
    return "" if node.link_up else f"no connection to {node.record.endpoint}"


def slots(record: NodeRecord) -> tuple[int, int]:
    """Used and total, of all models that could run."""
    usable = [model for model in record.models if model.state is not ModelState.FAILED]
    return sum(model.used_slots for model in usable), sum(model.slots for model in usable)


def _nodes(fleet: FleetStatus) -> RenderableType:
    made = table(
        *("NODE", "STATE", "SERVES", "MODELS", "SLOTS", "DEVICE", MEMORY, "SEEN"),
        right=("SEEN",),
        fixed=("STATE", "SLOTS", MEMORY, "SEEN"),
        at_most={"NODE": 12, "SERVES": 10, "DEVICE": 10},  # the rest is for the models' long names
    )
    for node in sorted(fleet.nodes, key=lambda each: (each.record.name, each.record.id)):
        record = node.record
        used, total = slots(record)
        made.add_row(
            Text(record.name),
            Text(record.state, style=_STATE_STYLE[record.state]),
            Text(", ".join(record.specialties)),
            Text("\n".join(_model_line(m.id, m.state) for m in record.models)),
            f"{used}/{total}",
            Text(_device(record)),
            Text(_memory(record)),
            age(node.last_seen_age_s),
        )
    return made


def _model_line(name: str, state: ModelState) -> str:
    return name if state is ModelState.RESIDENT else f"{name} ({state})"


def _device(record: NodeRecord) -> str:
    if not record.gpus:
        return "CPU"
    return "\n".join(
        gpu.name.removeprefix("NVIDIA ").removeprefix("GeForce ") for gpu in record.gpus
    )


def _memory(record: NodeRecord) -> str:
    if record.gpus:
        return "\n".join(_vram(gpu) for gpu in record.gpus)
    if record.memory is None:
        return "unknown"
    free, total = record.memory.available_bytes, record.memory.total_bytes
    return "RAM " + "/".join(gigabytes(size) for size in (max(0, total - free), free, total))


def _vram(gpu: Gpu) -> str:
    if gpu.error:
        return gpu.error
    sizes = (gpu.used_bytes, gpu.free_bytes, gpu.total_bytes)
    return "VRAM " + "/".join(gigabytes(size) for size in sizes)
