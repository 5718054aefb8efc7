"""One hosted model as the planner is to see it: phase, what it holds, last use, line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from mesh.clock import Clock
from mesh.fleet.records import ModelLoad, ModelRecord, ModelState
from node.engines.estimate import CPU
from node.models.hosted import HostedModel
from node.models.residency.line import WaitingLine
from node.models.residency.needs import Needs
from node.models.residency.state import Model, ModelPhase, Option, Takes, Wait

MEASURE_EVERY_S = 60.0


@dataclass(slots=True, eq=False)
class Seat:
    """Times are monotonic seconds. ``option``: how it is loaded, None while it is not.
    ``needs_of``: what ``needs`` was worked out from. ``measured``: bytes on its device.
    ``unload_at``: Unix seconds. ``hidden``: no GPU for it was usable when it failed."""

    model: HostedModel
    line: WaitingLine
    phase: ModelPhase = ModelPhase.COLD
    option: Option | None = None
    needs: Needs | None = None
    needs_of: object = None
    since: float = 0.0
    used_at: float = 0.0
    load_s: float = 0.0
    busy: int = 0
    measured: int = 0
    measuring: bool = False
    measured_at: float = -inf
    measured_in_use: bool = False
    unload_at: float = 0.0
    wait: Wait | None = None
    note: str = ""
    hidden: bool = False

    def observe(self, clock: Clock) -> bool:
        """Looks at the model; whether it has just become resident or idle, and may be measured."""
        now, phase, busy = clock.now(), self._phase_now(), self.model.used_slots
        arrived = phase is ModelPhase.RESIDENT and self.phase is not ModelPhase.RESIDENT
        if phase is not self.phase:
            if arrived:
                self.load_s = now - self.since
                self.used_at = now
            self.phase, self.since = phase, now
            if phase in (ModelPhase.COLD, ModelPhase.FAILED):
                self.option, self.measured, self.measured_in_use = None, 0, False
        idle = arrived or (self.busy > 0 and not busy)
        if busy or self.busy:
            self.used_at = now
        self.busy = busy
        ttl = self.model.settings.ttl_s
        if busy or phase is not ModelPhase.RESIDENT or ttl is None or self.model.settings.pinned:
            self.unload_at = 0.0
        elif idle or not self.unload_at:
            self.unload_at = round(clock.wall() + ttl - (now - self.used_at), 1)
        return idle and phase is ModelPhase.RESIDENT

    def check_device(self) -> None:
        """Once it is loaded: an engine's build without GPU support loads on the CPU and says
        nothing."""
        facts, option = self.model.facts, self.option
        if facts is None or option is None or not self.on_gpu or facts.device != CPU:
            return
        words = (
            f"it was to load on GPU {option.device} and its engine, as it is installed here, runs "
            "on the CPU only"
        )
        if not self.model.settings.allow_cpu:
            self.model.fail(
                f"{words}; install a build with GPU support, or set gpu_layers = 0 or "
                "allow_cpu = true to run it on the CPU"
            )
            return
        self.note = f"on the CPU, as allow_cpu says: {words}"
        on_cpu = [each for each in (self.needs.options if self.needs else ()) if each.device == CPU]
        self.option = on_cpu[0] if on_cpu else option

    def measurable(self, now: float) -> bool:
        """At its load, after its first use (buffers fill only then), and then now and again."""
        if self.measuring:
            return False
        first = self.measured_at < self.since or (self.used and not self.measured_in_use)
        return first or now - self.measured_at >= MEASURE_EVERY_S

    @property
    def used(self) -> bool:
        """Since its load."""
        return self.used_at > self.since

    @property
    def holds(self) -> Takes:
        """What was reserved for it, or what it was found to take where that is more: a load takes
        what it is going to use only bit by bit."""
        if self.option is None:
            return ()
        own = self.option.device
        return tuple(
            (device, max(size, self.measured) if device == own else size)
            for device, size in self.option.takes
        )

    @property
    def refused_now(self) -> bool:
        """Whether its line is of no use: it failed, or its last try to load did."""
        return self.phase is ModelPhase.FAILED or (
            self.model.state is ModelState.LOADING and self.model.error is not None
        )

    def as_seen(self, *, eager: bool, closed: bool) -> Model:
        """One that takes nothing new is not loaded either, and no pin keeps it."""
        settings, open_ = self.model.settings, not self.model.closed
        return Model(
            id=self.model.id,
            phase=self.phase,
            options=self.needs.options if self.needs is not None and open_ else (),
            device=self.option.device if self.option is not None else "",
            holds=self.holds,
            pinned=settings.pinned and open_,
            ttl_s=settings.ttl_s,
            eager=eager and self.model.eager,
            busy=self.busy,
            waiting=len(self.line),
            waiting_since=self.line.since,
            since=self.since,
            used_at=self.used_at,
            load_s=self.load_s,
            closed=closed,
        )

    def record(self) -> ModelRecord:
        device = self.option.device if self.option is not None else ""
        note = self.note
        if self.model.closed:
            note = self.model.closed
        elif self.phase is ModelPhase.COLD and self.wait is not None:
            note = self.wait.reason
        return replace(
            self.model.record(),
            estimated_bytes=self.needs.estimated(device) if self.needs is not None else 0,
            measured_bytes=self.measured,
            load_s=round(self.load_s, 2),
            note=note,
            cpu_fallback=self.cpu_fallback,
        )

    def hot(self) -> ModelLoad:
        """No slots where it takes nothing new, or cannot be loaded for what others hold: placement
        then looks elsewhere, or waits."""
        load = replace(self.model.load_now(), queued=len(self.line), unload_at=self.unload_at)
        hopeless = self.phase is ModelPhase.COLD and self.wait is not None and self.wait.hopeless
        if hopeless or self.model.closed:
            return replace(load, slots=0)
        return load

    @property
    def cpu_fallback(self) -> bool:
        """Whether it is resident on the CPU, which only ``allow_cpu`` allows, and was meant for a
        GPU."""
        facts = self.model.facts
        return (
            self.phase is ModelPhase.RESIDENT
            and facts is not None
            and facts.device == CPU
            and self.needs is not None
            and self.needs.for_gpu
        )

    @property
    def on_gpu(self) -> bool:
        return self.option is not None and self.option.device not in ("", CPU)

    def _phase_now(self) -> ModelPhase:
        model = self.model
        if model.leaving:
            return ModelPhase.UNLOADING
        match model.state:
            case ModelState.FAILED:
                return ModelPhase.UNLOADING if model.hosted else ModelPhase.FAILED
            case ModelState.RESIDENT:
                return ModelPhase.RESIDENT
            case ModelState.LOADING | ModelState.COLD:
                return ModelPhase.LOADING if model.hosted else ModelPhase.COLD
