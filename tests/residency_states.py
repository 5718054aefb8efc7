"""States of a node's memory as the residency planner sees them, in few words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mesh.types import ModelId
from node.engines.estimate import CPU
from node.models.residency.plan import plan
from node.models.residency.state import Device, Load, Model, ModelPhase, Option, State, Unload

GIB = 2**30
NOW = 1_000.0


def on(device: str, size: int) -> tuple[Option, ...]:
    return (Option(device=device, takes=((device, size),)),)


def cold(name: str, size: int, device: str = CPU, **changes: Any) -> Model:
    return Model(id=ModelId(name), phase=ModelPhase.COLD, options=on(device, size), **changes)


def wanted(name: str, size: int, since: float, device: str = CPU, **changes: Any) -> Model:
    return cold(name, size, device, waiting=1, waiting_since=since, **changes)


def resident(name: str, size: int, device: str = CPU, **changes: Any) -> Model:
    given: dict[str, Any] = {"since": NOW - 500, "used_at": NOW - 100, "load_s": 2.0}
    return Model(
        id=ModelId(name),
        phase=ModelPhase.RESIDENT,
        options=on(device, size),
        device=device,
        holds=((device, size),),
        **(given | changes),
    )


def loading(name: str, size: int, device: str = CPU) -> Model:
    return replace(resident(name, size, device), phase=ModelPhase.LOADING)


def state(*models: Model, total: int = 8 * GIB, free: int | None = None, error: str = "") -> State:
    """One device, ``cpu``; ``free`` None: what residents leave."""
    held = sum(
        size
        for model in models
        if model.phase in (ModelPhase.RESIDENT, ModelPhase.UNLOADING)
        for device, size in model.holds
        if device == CPU
    )
    room = total - held if free is None else free
    return State(
        models=models,
        devices=(Device(id=CPU, total_bytes=total, free_bytes=room, error=error),),
    )


def loads(given: State, now: float = NOW) -> list[str]:
    return [a.model for a in plan(given, now).actions if isinstance(a, Load)]


def unloads(given: State, now: float = NOW) -> list[str]:
    return [a.model for a in plan(given, now).actions if isinstance(a, Unload)]
