"""What the planner looks at and what it decides, as plain data: bytes, and monotonic seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from mesh.types import ModelId

Takes = tuple[tuple[str, int], ...]  # (device, bytes), each device once


class ModelPhase(Enum):
    COLD = "cold"
    LOADING = "loading"
    RESIDENT = "resident"
    UNLOADING = "unloading"  # its memory is not free yet
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A GPU by its UUID, or ``cpu`` for the box's memory.

    ``total_bytes``: what models may use of it at most, the reserve taken off. ``free_bytes``: what
    nobody uses now, the reserve taken off too: residents are out of it, loads in flight are not
    (the planner takes those off itself). Negative: so much must be given back to others.
    ``error``: it cannot be used, in plain words.
    """

    id: str
    total_bytes: int
    free_bytes: int
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One way to load a model. ``takes``: of its own ``device``, and perhaps of ``cpu`` beside."""

    device: str
    takes: Takes = ()

    @property
    def bytes(self) -> int:
        """Of its own device."""
        return dict(self.takes).get(self.device, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """``options``: ways to load it, the preferred first; empty while they are not known.
    ``holds``: what it takes, or has reserved, while it is loading, resident or unloading.

    ``eager``: to be loaded without a request, where that costs nobody anything. ``busy``: slots in
    use. ``waiting``: requests in its line, the oldest since ``waiting_since``. ``since``: when its
    phase began; ``used_at``: when a slot was last in use. ``load_s``: seconds its last load took.
    ``closed``: takes no new sequence, as the last plan said.
    """

    id: ModelId
    phase: ModelPhase
    options: tuple[Option, ...] = ()
    device: str = ""
    holds: Takes = ()
    pinned: bool = False
    ttl_s: float | None = None
    eager: bool = False
    busy: int = 0
    waiting: int = 0
    waiting_since: float = 0.0
    since: float = 0.0
    used_at: float = 0.0
    load_s: float = 0.0
    closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """``models`` in the order of the settings, which is their priority at start."""

    models: tuple[Model, ...]
    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True)
class Load:
    model: ModelId
    option: Option


@dataclass(frozen=True, slots=True)
class Unload:
    model: ModelId
    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """It cannot be resident. ``too_large``: it would not fit if nothing else were there."""

    model: ModelId
    reason: str
    too_large: bool = False


Action = Load | Unload | Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a model that is wanted, or could be, is not loaded now. ``hopeless``: no room can be made
    for it by waiting for the node's own models; others use the memory, or pinned models do."""

    reason: str
    hopeless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidencyPlan:
    """``closed``: residents that take no new sequence, so that they may go once they are idle."""

    actions: tuple[Action, ...] = ()
    closed: frozenset[ModelId] = frozenset()
    waits: Mapping[ModelId, Wait] = field(default_factory=dict)
