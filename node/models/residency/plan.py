"""What to load, what to unload, what to leave. Pure: of (state, now).

Rules, in their order:

1. A device that is lost fails its idle models; busy ones take nothing new and fail by themselves.
2. Memory that others took (negative free) is given back by unloading idle models.
3. Idle models go when their ``ttl_s`` is over.
4. Who waits longest is loaded first. What is free is used first; else idle models make room, the
   cheapest to bring back first. A model just loaded stays ``stay_s``, unless nobody uses it.
5. Whoever waits ``FAIR_S`` and finds only busy models in the way closes as many of them as it
   needs: they finish what they have, their new requests wait in line, and so have their own turn.
   Two models that share the memory of one thus alternate, whatever the load on either.
6. Eager models fill what is free and make nobody go.

Never: a busy model unloaded, a pinned model unloaded, memory promised twice (a load in flight has
its bytes reserved until the readings show them).
"""

from __future__ import annotations

from collections.abc import Iterable

from mesh.types import ModelId
from node.models.residency.state import (
    Action,
    Device,
    Fail,
    Load,
    Model,
    ModelPhase,
    Option,
    ResidencyPlan,
    State,
    Unload,
    Wait,
)

STAY_LEAST_S, STAY_MOST_S = 0.5, 30.0
STAY_FACTOR = 4.0  # so that loading takes at most a fifth of the time, however models alternate
IDLE_S = 2.0  # without use: what was just loaded may go after all
FAIR_S = 5.0
_MIB = 1024 * 1024
_GIB = 1024 * _MIB
_STEP = 64 * _MIB
_IDLE_FLOOR_S = 0.1
_LOAD_FLOOR_S = 0.01


def plan(state: State, now: float) -> ResidencyPlan:
    """The decision for this moment; ``now``: monotonic seconds, as all times in ``state``."""
    return _Board(state, now).decide()


def stay_s(load_s: float) -> float:
    """Seconds that a model stays once it is loaded, though others wait: a load that took long is
    not thrown away for one request."""
    return min(STAY_MOST_S, max(STAY_LEAST_S, STAY_FACTOR * load_s))


def eviction_cost(model: Model, freed: int, now: float) -> float:
    """What it costs to let ``model`` go, per byte that it frees: seconds to load it again, over GiB
    freed and seconds since its last use. As in GreedyDual-Size (Cao and Irani, 1997), a victim is
    cheap that comes back quickly, frees much, and was not used for long."""
    idle = max(_IDLE_FLOOR_S, now - model.used_at)
    return max(_LOAD_FLOOR_S, model.load_s) / (max(1, freed) / _GIB) / idle


class _Board:
    """One planning round. ``free``: after what loads in flight, and those decided now, will take.
    ``coming``: bytes of models on their way out."""

    def __init__(self, state: State, now: float) -> None:
        self.state = state
        self.now = now
        self.devices: dict[str, Device] = {device.id: device for device in state.devices}
        self.free = {device.id: device.free_bytes for device in state.devices}
        self.coming = dict.fromkeys(self.free, 0)
        self.promised = dict.fromkeys(self.free, 0)  # to loads decided now that may go again
        self.leaving: set[ModelId] = set()
        self.closed: set[ModelId] = set()
        self.actions: list[Action] = []
        self.waits: dict[ModelId, Wait] = {}
        for model in state.models:
            for device, size in model.holds:
                if device not in self.free:
                    continue
                if model.phase is ModelPhase.LOADING:
                    self.free[device] -= size
                elif model.phase is ModelPhase.UNLOADING:
                    self.coming[device] += size

    def decide(self) -> ResidencyPlan:
        residents = [m for m in self.state.models if m.phase is ModelPhase.RESIDENT]
        self._lost(residents)
        self._pressure(residents)
        self._expired(residents)
        cold = [m for m in self.state.models if m.phase is ModelPhase.COLD and m.options]
        wanted = sorted((m for m in cold if m.waiting), key=lambda m: m.waiting_since)
        pinned = [m for m in cold if m.pinned and not m.waiting]
        unmet = False
        for model in (*wanted, *pinned):
            if self._impossible(model):
                continue
            unmet |= not self._bring(model)
        for model in cold:
            if model.waiting or model.pinned or self._impossible(model):
                continue
            option = self._fitting(model)
            # What is free is being gathered for somebody who waits.
            if model.eager and option is not None and not unmet:
                self._load(model, option)
            elif option is None:
                self.waits[model.id] = self._why(model)
        return ResidencyPlan(
            actions=tuple(self.actions),
            closed=frozenset(self.closed - self.leaving),
            waits=self.waits,
        )

    def _lost(self, residents: Iterable[Model]) -> None:
        for model in residents:
            device = self.devices.get(model.device)
            if device is None or not device.error:
                continue
            if model.busy:
                self.closed.add(model.id)
            else:
                self.leaving.add(model.id)
                self.actions.append(Fail(model.id, device.error))

    def _pressure(self, residents: Iterable[Model]) -> None:
        for device in self.state.devices:
            lack = -device.free_bytes - self.coming[device.id]
            if lack <= 0 or device.error:
                continue
            idle = [m for m in residents if not m.waiting and self._may_go(m)]
            for victim in self._chosen(idle, {device.id: lack}) or self._all(idle, device.id):
                self._unload(
                    victim, f"others use the memory of {device.id}: {_size(lack)} too little left"
                )

    def _expired(self, residents: Iterable[Model]) -> None:
        for model in residents:
            ttl = model.ttl_s
            if ttl is None or model.waiting or not self._may_go(model):
                continue
            if self.now - max(model.used_at, model.since) >= ttl:
                self._unload(model, f"not used for {ttl:g} s (ttl_s)")

    def _impossible(self, model: Model) -> bool:
        """Whether no device could hold it, were it empty; then it fails."""
        best: tuple[int, str] | None = None
        for option in model.options:
            lacks = [
                (size - self.devices[device].total_bytes, device)
                for device, size in option.takes
                if device in self.devices
            ]
            worst = max(lacks, default=(0, option.device))
            if worst[0] <= 0:
                return False
            best = min(best or worst, worst)
        if best is None:
            return False
        reason = f"it is {_size(best[0])} larger than all that {best[1]} may hold"
        self.actions.append(Fail(model.id, reason, too_large=True))
        return True

    def _bring(self, model: Model) -> bool:
        """Loads it or makes room for it; whether it loads now."""
        option = self._fitting(model)
        if option is not None:
            self._load(model, option)
            return True
        for option in self._usable(model):
            lack = self._lack(option)
            if not lack:
                self.waits[model.id] = Wait(reason="memory is being freed for it")
                return False
            victims = self._chosen([v for v in self._residents() if self._yields(v, model)], lack)
            if victims:
                for victim in victims:
                    self._unload(victim, f"makes room for {model.id}")
                names = ", ".join(victim.id for victim in victims)
                self.waits[model.id] = Wait(reason=f"{names} makes room for it")
                return False
        if model.waiting and self.now - model.waiting_since >= FAIR_S:
            self._close_for(model)
        self.waits.setdefault(model.id, self._why(model))
        return False

    def _close_for(self, model: Model) -> None:
        yielding = [v for v in self._residents() if self._yields(v, model, busy=True)]
        # Those that were closed before stay the ones, else they would have drained for nothing.
        closed = [v for v in yielding if v.closed]
        for among in (closed, yielding):
            for option in self._usable(model):
                victims = self._chosen(among, self._lack(option), closed_first=True)
                if victims:
                    self.closed.update(victim.id for victim in victims)
                    names = ", ".join(victim.id for victim in victims)
                    self.waits[model.id] = Wait(reason=f"waits until {names} has finished")
                    return

    def _fitting(self, model: Model) -> Option | None:
        """The option that fits as things are and leaves the most; None: none does."""
        fits = [
            option
            for option in self._usable(model)
            if all(size <= max(0, self.free[device]) for device, size in option.takes)
        ]
        return max(fits, key=lambda o: self.free.get(o.device, 0), default=None)

    def _usable(self, model: Model) -> list[Option]:
        """Options whose devices are there and could hold it."""
        return [
            option
            for option in model.options
            if all(
                device in self.devices
                and not self.devices[device].error
                and size <= self.devices[device].total_bytes
                for device, size in option.takes
            )
        ]

    def _lack(self, option: Option) -> dict[str, int]:
        """Bytes that are missing, beyond what is coming free already."""
        lacks = {
            device: size - self.free[device] - self.coming[device]
            for device, size in option.takes
            if size > 0
        }
        return {device: size for device, size in lacks.items() if size > 0}

    def _residents(self) -> list[Model]:
        return [
            m
            for m in self.state.models
            if m.phase is ModelPhase.RESIDENT and m.id not in self.leaving and not m.pinned
        ]

    def _may_go(self, model: Model) -> bool:
        return not (model.pinned or model.busy or model.id in self.leaving)

    def _yields(self, victim: Model, to: Model, *, busy: bool = False) -> bool:
        """Whether ``victim`` may go for ``to``. ``busy``: once it is idle."""
        if victim.waiting and to.waiting and victim.waiting_since <= to.waiting_since:
            return False
        if victim.waiting and not to.waiting:
            return False
        if victim.busy and not busy:
            return False
        used = victim.busy or self.now - max(victim.used_at, victim.since) < IDLE_S
        return not used or self.now - victim.since >= stay_s(victim.load_s)

    def _chosen(
        self, models: Iterable[Model], lack: dict[str, int], *, closed_first: bool = False
    ) -> list[Model]:
        """The cheapest of ``models`` that together free what is lacking, none of them needless; []
        when all together do not."""

        def rank(m: Model) -> tuple[bool, float, float, ModelId]:
            cost = eviction_cost(m, _frees(m, lack), self.now)
            return closed_first and not m.closed, cost, m.used_at, m.id

        chosen: list[Model] = []
        left = dict(lack)
        for model in sorted((m for m in models if _frees(m, lack)), key=rank):
            if all(size <= 0 for size in left.values()):
                break
            if not any(left.get(device, 0) > 0 for device, size in model.holds if size):
                continue
            chosen.append(model)
            _take(left, model, -1)
        if any(size > 0 for size in left.values()):
            return []
        for model in reversed(chosen.copy()):  # the dearest first
            _take(left, model, 1)
            if all(size <= 0 for size in left.values()):
                chosen.remove(model)
            else:
                _take(left, model, -1)
        return chosen

    def _all(self, models: Iterable[Model], device: str) -> list[Model]:
        return [m for m in models if _frees(m, {device: 1})]

    def _why(self, model: Model) -> Wait:
        """Why there is no room, and whether the node's own models could ever make it."""
        worst: tuple[int, str] | None = None
        for option in self._usable(model):
            lack = {d: size - self.promised[d] for d, size in self._lack(option).items()}
            for other in self.state.models:
                gone = other.id in self.leaving or other.pinned
                if not gone and other.phase in (ModelPhase.RESIDENT, ModelPhase.LOADING):
                    _take(lack, other, -1)
            lacks = max(((size, device) for device, size in lack.items()), default=(0, ""))
            if lacks[0] <= 0:
                if not model.waiting:
                    return Wait(
                        reason=f"loaded on demand; others on {option.device} make room then"
                    )
                return Wait(reason=f"no room on {option.device} beside the models that are in use")
            worst = min(worst or lacks, lacks)
        if worst is None:
            errors = [self.devices[o.device].error for o in model.options if o.device in self.free]
            reason = next((error for error in errors if error), "its device is not there")
            return Wait(reason=reason, hopeless=True)
        pins = [
            m.id
            for m in self.state.models
            if m.pinned and m.phase is ModelPhase.RESIDENT and dict(m.holds).get(worst[1])
        ]
        others = f"pinned {', '.join(pins)} and others hold" if pins else "others hold"
        return Wait(
            reason=f"{_size(_coarse(worst[0]))} too little on {worst[1]}: {others} the memory",
            hopeless=True,
        )

    def _load(self, model: Model, option: Option) -> None:
        for device, size in option.takes:
            self.free[device] -= size
            self.promised[device] += 0 if model.pinned else size
        self.actions.append(Load(model.id, option))

    def _unload(self, model: Model, reason: str) -> None:
        self.leaving.add(model.id)
        for device, size in model.holds:
            if device in self.coming:
                self.coming[device] += size
        self.actions.append(Unload(model.id, reason))


def _frees(model: Model, lack: dict[str, int]) -> int:
    return sum(size for device, size in model.holds if device in lack)


def _take(lack: dict[str, int], model: Model, sign: int) -> None:
    for device, size in model.holds:
        if device in lack:
            lack[device] += sign * size


def _coarse(size: int) -> int:
    """Upwards, in steps: what others use moves all the time, and records tell of this."""
    return -(-size // _STEP) * _STEP


def _size(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"
