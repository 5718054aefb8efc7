"""Does what the planner says: loads and unloads, keeps the lines, and tells what it knows.

One turn (``_turn``) looks at everything, plans, acts and wakes who waits, without a wait of its
own; so nothing can come between the decision that a model is idle and its unloading.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from mesh.clock import Clock
from mesh.errors import Draining, MeshError, Overloaded
from mesh.fleet.records import Gpu, Memory, ModelLoad, ModelRecord, ModelState
from mesh.types import ModelId
from node import threads
from node.engines.base import ModelSpec
from node.engines.estimate import CPU
from node.engines.registry import traits_of
from node.models.fit import Corrections
from node.models.hosted import HostedModel, RunningSequence
from node.models.prepared import Prepared
from node.models.residency import measure
from node.models.residency.devices import Devices
from node.models.residency.line import Presence, Waiter, WaitingLine
from node.models.residency.needs import most_bytes, needs, ram_bytes, sums
from node.models.residency.plan import plan
from node.models.residency.seat import Seat
from node.models.residency.state import Fail, Load, ModelPhase, ResidencyPlan, State, Unload, Wait

log = logging.getLogger(__name__)

TICK_S = 0.25  # between two turns while somebody waits
PREPARE_GRACE_S = 2.0  # for all files to be looked at before the first of them takes memory
HOPELESS_RETRY_S = 5.0
DRAINING = "the node is draining and loads nothing more"


class Residency:
    """``on_change`` is called when something that a heartbeat or a record says may have changed.
    ``memory`` reads the box's; ``limit_bytes``, ``reserve_bytes``: see ``NodeSettings``."""

    def __init__(
        self,
        models: Sequence[HostedModel] = (),
        *,
        clock: Clock,
        on_change: Callable[[], None],
        memory: Callable[[], Memory],
        limit_bytes: int | None = None,
        reserve_bytes: int = 0,
        corrections: Corrections,
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._corrections = corrections
        self._corrected = 0
        self._devices = Devices(memory, limit_bytes, reserve_bytes)
        self._seats: dict[ModelId, Seat] = {}
        self._closed: frozenset[ModelId] = frozenset()
        self._moved = asyncio.Event()
        self._pressing = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._begun = clock.now()
        self._draining = False
        for model in models:
            self.add(model)

    async def run(self) -> None:
        """Takes turns until cancelled."""
        self._begun = self._clock.now()
        self.changed()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._tick(), name="residency-tick")
                while True:
                    await self._moved.wait()
                    self._moved.clear()
                    self._turn()
        finally:
            self._group = None

    def add(self, model: HostedModel) -> None:
        """From now on it is resident when the plan says so. Before it runs."""
        model.hold()
        self._seats[model.id] = Seat(model, WaitingLine(model.id, model.settings.slots))
        self.changed()

    def drop(self, model: ModelId) -> None:
        """It has ended, and nobody waits for it. Idempotent."""
        self._seats.pop(model, None)
        self.changed()

    def changed(self) -> None:
        """A model, its slots or its line may be different: there will be a turn soon."""
        self._moved.set()

    def see(self, gpus: Sequence[Gpu], accelerator: str, at: float) -> None:
        """A reading of the GPUs, begun at ``at`` (monotonic seconds)."""
        if self._devices.see(gpus, accelerator, at):
            for seat in self._seats.values():
                # Also one whose engine crashed on the GPU before NVML showed it as lost.
                if seat.hidden or (seat.needs is not None and seat.needs.for_gpu):
                    seat.hidden = False
                    seat.model.retry()
        self.changed()

    def drain(self) -> None:
        """Whoever waits is told to go elsewhere."""
        self._draining = True
        for seat in self._seats.values():
            seat.line.refuse_all(Draining(DRAINING))

    def must_wait(self, model: ModelId) -> bool:
        """Whether a request for it has to stand in line; else opening it says at once."""
        seat = self._seats[model]
        if self._draining or seat.model.closed or seat.refused_now:
            return False
        if seat.model.state is ModelState.RESIDENT:
            return bool(seat.line) or model in self._closed
        return True

    def cold(self, model: ModelId) -> bool:
        """Whether a request for it would have to wait for a load."""
        seat = self._seats.get(model)
        return (
            seat is not None
            and not self._draining
            and not seat.model.closed
            and not seat.refused_now
            and seat.model.state is not ModelState.RESIDENT
        )

    def join(self, model: ModelId, open_sequence: Callable[[], RunningSequence]) -> Waiter:
        """Stands in line for a slot; ``leave`` whatever comes. Raises ``Overloaded`` when the line
        is full, or no room can be made for the model."""
        seat = self._seats[model]
        if seat.phase is ModelPhase.COLD and seat.wait is not None and seat.wait.hopeless:
            raise Overloaded(
                f"model '{model}' cannot be loaded now: {seat.wait.reason}",
                retry_after_s=HOPELESS_RETRY_S,
            )
        waiter = Waiter(open_sequence, self._clock.now())
        seat.line.join(waiter)
        self._tell(seat)
        self._pressing.set()
        self.changed()
        self._on_change()
        return waiter

    def want(self, model: ModelId) -> Waiter:
        """Stands in line for the model itself and no slot of it: it is loaded, and others make room
        for it, as for a request. Raises as ``join`` does, and ``Draining``."""
        if self._draining:
            raise Draining(DRAINING)
        return self.join(model, Presence)

    def leave(self, model: ModelId, waiter: Waiter) -> None:
        """Idempotent; gives back a slot that was granted and not taken."""
        seat = self._seats.get(model)
        if seat is not None:
            seat.line.leave(waiter)
        self.changed()
        self._on_change()

    def why_waiting(self, model: ModelId) -> str:
        """In plain words, for whoever waited in vain."""
        seat = self._seats.get(model)
        if seat is None:
            return "it has gone from this node"
        if seat.phase is ModelPhase.RESIDENT:
            return "it has no slot free"
        return seat.wait.reason if seat.wait is not None else "it is being loaded"

    def waits(self, model: ModelId) -> Wait | None:
        """Why it is not loaded now, as the last plan said."""
        seat = self._seats.get(model)
        return seat.wait if seat is not None else None

    def queued(self, model: ModelId) -> int:
        """How many stand in its line."""
        seat = self._seats.get(model)
        return len(seat.line) if seat is not None else 0

    def record(self, model: ModelId) -> ModelRecord | None:
        seat = self._seats.get(model)
        return seat.record() if seat is not None else None

    def records(self) -> tuple[ModelRecord, ...]:
        """Nobody is to choose what is about to go."""
        return tuple(seat.record() for seat in self._seats.values() if not seat.model.retired)

    def loads(self) -> tuple[ModelLoad, ...]:
        return tuple(seat.hot() for seat in self._seats.values() if not seat.model.retired)

    async def _tick(self) -> None:
        while True:
            await self._pressing.wait()
            await self._clock.sleep(TICK_S)
            self._moved.set()

    def _turn(self) -> None:
        for seat in self._seats.values():
            self._observe(seat)
        state = self._state()
        decided = plan(state, self._clock.now())
        news = decided.closed != self._closed or bool(decided.actions)
        self._closed = decided.closed
        for action in decided.actions:
            seat = self._seats[action.model]
            match action:
                case Load():
                    self._load(seat, action)
                case Unload(reason=reason):
                    log.info("model %s is unloaded: %s", seat.model.id, reason)
                    seat.model.unload()
                case Fail():
                    self._fail(seat, action, state)
        for seat in self._seats.values():
            news |= self._settle(seat, decided)
        if any(seat.line for seat in self._seats.values()):
            self._pressing.set()
        else:
            self._pressing.clear()
        if news:
            self._on_change()

    def _observe(self, seat: Seat) -> None:
        before = seat.phase
        idle = seat.observe(self._clock)
        if idle and self._group is not None and seat.measurable(self._clock.now()):
            seat.measuring = True
            self._group.create_task(self._measure(seat), name=f"measure-{seat.model.id}")
        if seat.phase is ModelPhase.RESIDENT and before is not ModelPhase.RESIDENT:
            seat.check_device()
        if seat.phase is ModelPhase.COLD:
            self._look_up(seat)

    def _look_up(self, seat: Seat) -> None:
        """Works out what it would take, when what that depends on has changed."""
        model, prepared = seat.model, seat.model.prepared
        if prepared is None or (_sized(prepared) and not self._devices.seen):
            return
        basis = (prepared, self._devices.usable, self._corrected)
        if seat.needs is not None and seat.needs_of == basis:
            return
        try:
            seat.needs = needs(
                model.settings,
                prepared,
                gpus=self._devices.gpus,
                accelerator=self._devices.accelerator,
                corrections=self._corrections,
            )
        except MeshError as error:
            seat.hidden = True
            model.fail(error.message)
        except OSError as error:
            model.fail(f"cannot read model file {prepared.file}: {error.strerror}")
        else:
            seat.needs_of = basis
            seat.note = seat.needs.note

    def _state(self) -> State:
        seats = self._seats.values()
        waited = self._clock.now() - self._begun >= PREPARE_GRACE_S
        eager = waited or all(
            seat.needs is not None or seat.phase is not ModelPhase.COLD for seat in seats
        )
        models = tuple(
            seat.as_seen(eager=eager, closed=seat.model.id in self._closed) for seat in seats
        )
        return State(models=models, devices=self._devices.now(models, self._clock.now()))

    def _load(self, seat: Seat, action: Load) -> None:
        seat.option = action.option
        seat.phase, seat.since = ModelPhase.LOADING, self._clock.now()
        where = f" on {action.option.device}" if action.option.device else ""
        log.info("model %s is loaded%s", seat.model.id, where)
        seat.model.load(self._spec(seat, action))

    def _spec(self, seat: Seat, action: Load) -> ModelSpec | None:
        prepared = seat.model.prepared
        if prepared is None:
            return None
        device = action.option.device
        taken = ram_bytes(seat.model.settings, seat.needs, device)
        spec = replace(prepared.spec, memory_bytes=most_bytes(taken))
        if not _sized(prepared):
            return spec
        traits = traits_of(seat.model.settings.engine)
        if device == CPU and traits.splits_layers:
            return replace(spec, gpu_layers=0)
        if device == CPU and traits.needs_gpu:
            return prepared.spec  # to be refused by the engine, in its own words
        return replace(spec, options=spec.options | {"device": device})

    def _fail(self, seat: Seat, action: Fail, state: State) -> None:
        model, prepared, reason = seat.model, seat.model.prepared, action.reason
        if not action.too_large:
            seat.hidden = True
            model.fail(f"its device is lost: {reason}")
            return
        if model.settings.memory_bytes is not None:
            reason += "; lower its memory_bytes if it needs less, else use a smaller model"
        elif seat.needs is not None and prepared is not None and _sized(prepared):
            wanted = {option.device for option in seat.needs.options}
            largest = max(
                (device for device in state.devices if device.id in wanted),
                key=lambda device: device.total_bytes,
                default=None,
            )
            if largest is not None:
                gpu = next((g for g in self._devices.gpus if g.uuid == largest.id), None)
                reason = sums(model.settings, prepared, seat.needs, largest, gpu, self._corrections)
        model.fail(reason)

    def _settle(self, seat: Seat, decided: ResidencyPlan) -> bool:
        """Refuses, grants and tells its line; whether a heartbeat would say something new."""
        model, before = seat.model, (seat.wait, len(seat.line))
        seat.wait = decided.waits.get(model.id)
        if model.eager and seat.phase is ModelPhase.COLD and seat.wait is not None:
            model.eager = False  # no room for it without a request: cold, not about to be loaded
        if model.closed:
            seat.line.refuse_all(Overloaded(model.closed, retry_after_s=TICK_S))
        if seat.line and (seat.refused_now or model.state is ModelState.FAILED):
            seat.line.refuse_all(
                Overloaded(
                    f"model '{model.id}' could not be loaded on this node: {model.error}",
                    retry_after_s=None if model.state is ModelState.FAILED else TICK_S,
                )
            )
        while (
            seat.line
            and model.state is ModelState.RESIDENT
            and model.id not in self._closed
            and model.used_slots < model.slots
        ):
            seat.line.grant_next()
            seat.observe(self._clock)
        self._tell(seat)
        return before != (seat.wait, len(seat.line))

    def _tell(self, seat: Seat) -> None:
        now, percent = self._clock.now(), seat.model.load_percent
        if seat.model.state is ModelState.LOADING and percent:
            seat.line.tell("loading", now, done=percent, total=100)
        else:
            loading = seat.model.state is ModelState.LOADING
            seat.line.tell("loading" if loading else "queued", now)

    async def _measure(self, seat: Seat) -> None:
        """What it takes now; kept for the next estimate."""
        model, option, prepared, pid = seat.model, seat.option, seat.model.prepared, seat.model.pid
        try:
            if option is None or prepared is None or pid is None:
                return
            estimate = seat.needs.estimates.get(option.device) if seat.needs is not None else None

            def read() -> tuple[int | None, int | None]:
                vram = measure.vram_bytes(pid, option.device) if on_gpu else None
                return measure.ram_bytes(
                    pid, traits_of(model.settings.engine), prepared, estimate
                ), vram

            on_gpu = seat.on_gpu
            ram, vram = await threads.run(read, name=f"measure-{model.id}")
            if seat.phase is not ModelPhase.RESIDENT or model.pid != pid:
                return
            seat.measured = (vram if on_gpu else ram) or seat.measured
            seat.measured_in_use |= seat.used
            if seat.used and estimate is not None and seat.needs is not None:
                self._corrections.record(
                    estimate,
                    model=seat.needs.fingerprint,
                    engine=seat.needs.engine_version,
                    ram_bytes=ram,
                    vram_bytes=vram,
                )
                self._corrected += 1
            self._on_change()
        finally:
            seat.measuring, seat.measured_at = False, self._clock.now()


def _sized(prepared: Prepared) -> bool:
    """Whether what it takes can be worked out, once the devices are known."""
    return prepared.files is not None
