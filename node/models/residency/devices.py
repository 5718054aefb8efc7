"""The node's devices as the planner sees them: from readings of NVML and of the box's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from mesh.fleet.records import Gpu, Memory
from node.engines.estimate import CPU
from node.models.residency.state import Device, Model, ModelPhase

DEFAULT_SHARE = 0.8  # of the RAM that is available at start, where settings give no limit
MEMORY_EVERY_S = 0.25
LOST_AFTER = 2  # readings in a row with an error: one may be a hiccup of the driver


class Devices:
    """``memory``: reads the box's, in well under a millisecond. ``limit_bytes``: of RAM for all
    models together; ``reserve_bytes``: of each device, never used."""

    def __init__(
        self, memory: Callable[[], Memory], limit_bytes: int | None, reserve_bytes: int
    ) -> None:
        self._memory = memory
        self._reserve = reserve_bytes
        if limit_bytes is None:
            limit_bytes = int(DEFAULT_SHARE * memory().available_bytes)
        self._limit = limit_bytes
        self._read_at = 0.0
        self._available = 0
        self._available_at = -inf
        self._errors: dict[str, int] = {}
        self.gpus: tuple[Gpu, ...] = ()
        self.accelerator = ""
        self.seen = False

    @property
    def usable(self) -> tuple[str, ...]:
        """UUIDs of the GPUs that work."""
        return tuple(gpu.uuid for gpu in self.gpus if gpu.error is None)

    def see(self, gpus: Sequence[Gpu], accelerator: str, at: float) -> bool:
        """Whether a GPU has come, or come back."""
        before = set(self.usable)
        self.gpus, self.accelerator, self._read_at = tuple(gpus), accelerator, at
        self._errors = {
            gpu.uuid: self._errors.get(gpu.uuid, 0) + 1 for gpu in gpus if gpu.error is not None
        }
        come = self.seen and not before.issuperset(self.usable)
        self.seen = True
        return come

    def now(self, models: Sequence[Model], now: float) -> tuple[Device, ...]:
        """``models``: for what they hold that a reading does not show yet. ``now``: monotonic
        seconds."""
        if now - self._available_at >= MEMORY_EVERY_S:
            self._available, self._available_at = self._memory().available_bytes, now
        ours = _held(models, CPU, lambda model: model.phase is not ModelPhase.LOADING)
        room = min(self._limit - ours, self._available - self._reserve)
        found = [Device(id=CPU, total_bytes=self._limit, free_bytes=room)]
        for gpu in self.gpus:
            lost = self._errors.get(gpu.uuid, 0) >= LOST_AFTER
            unseen = _held(
                models,
                gpu.uuid,
                lambda model: model.phase is ModelPhase.RESIDENT and model.since >= self._read_at,
            )
            free = 0 if gpu.error is not None else gpu.free_bytes - self._reserve - unseen
            found.append(
                Device(
                    id=gpu.uuid,
                    total_bytes=max(0, gpu.total_bytes - self._reserve),
                    free_bytes=free,
                    error=(gpu.error or "") if lost else "",
                )
            )
        return tuple(found)


def _held(models: Sequence[Model], device: str, counts: Callable[[Model], bool]) -> int:
    return sum(dict(model.holds).get(device, 0) for model in models if counts(model))
