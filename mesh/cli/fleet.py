"""The fleet as a table of 80 columns or more, and as the data that ``--json`` prints."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from mesh.cleaned import cleaned
from mesh.cli.screen import (
    PIPE_COLUMNS,
    Sized,
    age,
    fitted,
    gigabytes,
    in_lines,
    left_out,
    orchestrator_called,
    short_device,
    table,
)
from mesh.fleet.records import Gpu, ModelState, NodeRecord, NodeState
from mesh.stream import FleetStatus, NodeStatus

MEMORY = "GiB used\n/free/total"
SENSORS = "GPU NOW"
_WIDE = 118  # columns of a terminal that has room for them

ROWS = 1_000  # of a table; the rest is counted
_CELL_CHARS = 40
_MODELS_LISTED = 50

_STATE_STYLE = {
    "ready": "green",
    "starting": "yellow",
    "draining": "yellow",
    "failed": "red",
    "unreachable": "red",
    "gone": "red",
}


def as_data(fleet: FleetStatus) -> dict[str, Any]:
    """Fields are added, never renamed. Sizes in bytes, times in Unix seconds. ``state``: as the
    orchestrator sees it, ``gone`` and ``unreachable`` among them; ``told_state``: by the node's
    last word."""
    return {
        "nodes": [_node_data(node) for node in (*fleet.nodes, *fleet.gone)],
        "orchestrators": [msgspec.to_builtins(each) for each in fleet.orchestrators],
        "registry_connected": fleet.registry_connected,
        "registry_shortfall": fleet.registry_shortfall,
        "unreadable": [msgspec.to_builtins(each) for each in fleet.unreadable],
        "unreadable_more": fleet.unreadable_more,
    }


def _node_data(node: NodeStatus) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(node.record)
    used, total = slots(node.record)
    return data | {
        "state": node.standing,
        "told_state": data["state"],
        "unreachable_since": node.unreachable_since,
        "gone_since": node.gone_since,
        "slots": {"used": used, "total": total},
        "memory": data["memory"] or {"total_bytes": None, "available_bytes": None},
        "reason": reason(node),
        "last_seen": node.last_seen,
        "last_seen_age_s": node.last_seen_age_s,
        "in_flight": node.in_flight,
        "link_up": node.link_up,
    }


def render(fleet: FleetStatus) -> RenderableType:
    """Nodes, their GPUs, what keeps some nodes from taking work, orchestrators."""
    clean = shown(fleet)
    return Sized(lambda width: _fleet(clean, width))


def shown(fleet: FleetStatus) -> FleetStatus:
    """As it may go to a terminal: names and reasons come from other boxes, and what they hold of
    escape sequences would be obeyed, what they hold of line breaks would tear the table."""
    return in_lines(fleet)


def _fleet(fleet: FleetStatus, width: int) -> RenderableType:
    listed = fleet.nodes or fleet.gone
    parts: list[RenderableType] = [_nodes(fleet, width) if listed else Text("no node is known")]
    if len(fleet.nodes) + len(fleet.gone) > ROWS:
        more = len(fleet.nodes) + len(fleet.gone) - ROWS
        parts.append(Text(f"and {more:,} nodes more; --json has them all", style="yellow"))
    parts.append(Text())
    parts += [
        Text.assemble((f"{node.record.name} takes no work: ", "yellow"), why)
        for node in fleet.nodes[:ROWS]
        if (why := reason(node))
    ]
    parts += [
        Text.assemble((f"{node.record.name} is gone", "red"), f" since {_moment(node.gone_since)}")
        for node in fleet.gone
    ]
    parts += [
        Text.assemble((f"{node.record.name}: model {model.id} failed: ", "red"), model.error or "")
        for node in fleet.nodes
        for model in node.record.models
        if model.state is ModelState.FAILED and not reason(node)
    ]
    parts += [
        line
        for node in fleet.nodes
        for gpu in node.record.gpus
        if (line := _gpu_words(node.record.name, gpu, in_table=width >= _WIDE))
    ]
    parts += [
        Text.assemble((f"{node.record.name}: ", "yellow"), (words, "bold yellow"))
        for node in fleet.nodes
        if (words := _idle_gpu(node.record))
    ]
    for each in fleet.orchestrators:
        count = f" ({each.rules.count:,})" if each.rules is not None else ""
        rules = f", rules {each.rules_version}{count}" if each.rules_version else ""
        fallback = f", fallback {each.fallback}" if each.fallback else ""
        called = orchestrator_called(each.name)
        parts.append(Text(f"{called} at {each.endpoint} (pid {each.pid}{rules}{fallback})"))
        if each.rules is not None and (refused := each.rules.refused) is not None:
            which = f"newer rules {refused.version}" if refused.version else "newer rules"
            parts.append(
                Text.assemble((f"{each.name} does not use {which}: ", "yellow"), refused.why)
            )
    parts += [
        Text.assemble((f"registry key {each.key} is set aside: ", "yellow"), each.reason)
        for each in fleet.unreadable
    ]
    if fleet.unreadable_more:
        parts.append(Text(f"and {fleet.unreadable_more:,} keys more that are set aside"))
    if fleet.registry_shortfall:
        parts.append(Text(fleet.registry_shortfall, style="yellow"))
    if not fleet.registry_connected:
        parts.append(Text("the registry is away: this is what was seen last", style="yellow"))
    return Group(*parts)


def reason(node: NodeStatus) -> str:
    """Why it takes no work, "" when it does."""
    if node.record.reason:
        return node.record.reason
    if node.record.state is not NodeState.READY:
        return str(node.record.state)
    return "" if node.link_up else f"no connection to {node.record.endpoint}"


def _moment(wall: float | None) -> str:
    """``14:03:09``, this box's time."""
    return time.strftime("%H:%M:%S", time.localtime(wall)) if wall else "?"


def slots(record: NodeRecord) -> tuple[int, int]:
    """Used and total, of all models that could run."""
    usable = [model for model in record.models if model.state is not ModelState.FAILED]
    return sum(model.used_slots for model in usable), sum(model.slots for model in usable)


def _nodes(fleet: FleetStatus, width: int) -> RenderableType:
    nodes = sorted(fleet.nodes, key=lambda each: (each.record.name, each.record.id))
    nodes = [*nodes, *fleet.gone][:ROWS]
    records = [node.record for node in nodes]
    wide = width >= _WIDE
    between = ", " if width >= PIPE_COLUMNS else "\n"  # who reads rows wants a line each
    sensors = wide and any(_sensors(gpu) for record in records for gpu in record.gpus)
    made = table(
        *("NODE", "STATE", "SERVES", "MODELS", "SLOTS", "DEVICE", MEMORY),
        *([SENSORS] if sensors else []),
        "SEEN",
        right=("SEEN",),
        fixed=("STATE", "SLOTS", "DEVICE", MEMORY, SENSORS, "SEEN"),
    )
    for node in nodes:
        record = node.record
        used, total = slots(record)
        now = between.join(", ".join(_sensors(gpu)) or "-" for gpu in record.gpus)
        gone = node.gone_since is not None  # and with it what it had in use
        made.add_row(
            Text(record.name),
            Text(node.standing, style=_STATE_STYLE.get(node.standing, "")),
            Text(", ".join(record.specialties)),
            Text(between.join(_model_lines(record))),
            "-" if gone else f"{used}/{total}",
            Text(between.join(_devices(record))),
            Text("-" if gone else between.join(_memory(record))),
            *([Text("-" if gone else now)] if sensors else []),
            age(node.last_seen_age_s),
        )
    dropped = fitted(made, width, "SEEN", "DEVICE", MEMORY, "MODELS", "SERVES", "SLOTS")
    return Group(made, *left_out(dropped))


def _sensors(gpu: Gpu) -> list[str]:
    """``71 °C``, ``180 W``, ``93% busy``, as far as they are known."""
    told = []
    if gpu.error is None:
        if gpu.temperature_c is not None:
            told.append(f"{gpu.temperature_c:.0f} °C")
        if gpu.power_w is not None:
            told.append(f"{gpu.power_w:.0f} W")
        if gpu.utilisation is not None:
            told.append(f"{100 * gpu.utilisation:.0f}% busy")
    return told


def _gpu_words(node: str, gpu: Gpu, *, in_table: bool) -> Text | None:
    """What the table has no room for; ``in_table``: sensors have a column there."""
    told = ", ".join([] if in_table else _sensors(gpu))
    if not told and not gpu.throttled:
        return None
    line = Text(f"{node}: {short_device(gpu)}: {told}{'; ' if told and gpu.throttled else ''}")
    if gpu.throttled:
        line.append(f"throttled: {gpu.throttled}", style="yellow")
    return line


def _idle_gpu(record: NodeRecord) -> str:
    """Why a model of a box with a good GPU runs on its CPU, where it was not told to; "" for
    nothing of the kind."""
    if all(gpu.error is not None for gpu in record.gpus):
        return ""
    return next((m.note for m in record.models if m.device == "cpu" and m.note), "")


def _model_lines(record: NodeRecord) -> list[str]:
    lines = [_model_line(m.id, m.state) for m in record.models[:_MODELS_LISTED]]
    more = len(record.models) - len(lines)
    return [*lines, f"and {more:,} more"] if more else lines


def _model_line(name: str, state: ModelState) -> str:
    return name if state is ModelState.RESIDENT else f"{name} ({state})"


def _devices(record: NodeRecord) -> list[str]:
    """A line a GPU, whatever its name: sizes stand beside it."""
    return [cleaned(short_device(gpu), _CELL_CHARS) for gpu in record.gpus] or ["CPU"]


def _memory(record: NodeRecord) -> list[str]:
    if record.gpus:
        return [_vram(gpu) for gpu in record.gpus]
    if record.memory is None:
        return ["unknown"]
    free, total = record.memory.available_bytes, record.memory.total_bytes
    sizes = (max(0, total - free), free, total)
    return ["RAM " + "/".join(gigabytes(size) for size in sizes)]


def _vram(gpu: Gpu) -> str:
    if gpu.error:
        return cleaned(gpu.error, _CELL_CHARS)
    sizes = (gpu.used_bytes, gpu.free_bytes, gpu.total_bytes)
    return "VRAM " + "/".join(gigabytes(size) for size in sizes)
