"""The residency planner over time: any state, played through, and that nobody starves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.types import ModelId
from node.engines.estimate import CPU
from node.models.residency.plan import FAIR_S, plan
from node.models.residency.state import (
    Device,
    Fail,
    Load,
    Model,
    ModelPhase,
    Option,
    State,
    Unload,
)
from tests.residency_states import GIB, NOW, cold, state

SIZES = st.integers(1, 8)


@st.composite
def states(draw: st.DrawFn) -> State:
    devices = draw(st.sampled_from([(CPU,), (CPU, "GPU-1"), (CPU, "GPU-1", "GPU-2")]))
    totals = {device: draw(st.integers(4, 10)) * GIB for device in devices}
    free = dict(totals)
    models = []
    for index in range(draw(st.integers(1, 7))):
        sizes = {device: draw(SIZES) * GIB for device in devices}
        options = tuple(
            Option(
                device=device,
                takes=((device, size),) if device == CPU else ((device, size), (CPU, GIB // 4)),
            )
            for device, size in sizes.items()
        )
        phase = draw(
            st.sampled_from(
                [ModelPhase.COLD, ModelPhase.RESIDENT, ModelPhase.LOADING, ModelPhase.UNLOADING]
            )
        )
        option = draw(st.sampled_from(options))
        if phase is not ModelPhase.COLD:
            if any(free[device] < size for device, size in option.takes):
                phase = ModelPhase.COLD
            else:
                for device, size in option.takes:
                    free[device] -= size
        live = phase is not ModelPhase.COLD
        waiting = draw(st.integers(0, 3))
        models.append(
            Model(
                id=ModelId(f"m{index}"),
                phase=phase,
                options=options,
                device=option.device if live else "",
                holds=option.takes if live else (),
                pinned=draw(st.booleans()),
                ttl_s=draw(st.sampled_from([None, 1.0, 1_000.0])),
                eager=draw(st.booleans()),
                busy=draw(st.integers(0, 2)) if phase is ModelPhase.RESIDENT else 0,
                waiting=waiting,
                waiting_since=NOW - draw(st.floats(0, 60)),
                since=NOW - draw(st.floats(0, 60)),
                used_at=NOW - draw(st.floats(0, 60)),
                load_s=draw(st.floats(0, 20)),
            )
        )
    loading_holds = {
        device: sum(dict(m.holds).get(device, 0) for m in models if m.phase is ModelPhase.LOADING)
        for device in devices
    }
    taken = {device: draw(st.integers(-2, 6)) * GIB for device in devices}
    return State(
        models=tuple(models),
        devices=tuple(
            Device(
                id=device,
                total_bytes=totals[device],
                free_bytes=free[device] + loading_holds[device] - max(0, taken[device]),
                error=draw(st.sampled_from(["", "", "", "lost"])) if device != CPU else "",
            )
            for device in devices
        ),
    )


@settings(max_examples=600, deadline=None)
@given(states())
def test_never_more_is_promised_than_is_free_and_never_a_busy_or_pinned_model_unloaded(
    given_state: State,
) -> None:
    decided = plan(given_state, NOW)
    models = {model.id: model for model in given_state.models}
    free = {device.id: device.free_bytes for device in given_state.devices}
    for model in given_state.models:
        if model.phase is ModelPhase.LOADING:
            for device, size in model.holds:
                free[device] -= size
    seen = set()
    for action in decided.actions:
        model = models[action.model]
        assert action.model not in seen, "one action a model"
        seen.add(action.model)
        match action:
            case Load(option=option):
                assert model.phase is ModelPhase.COLD
                for device, size in option.takes:
                    free[device] -= size
                    assert free[device] >= 0 or not size
            case Unload():
                assert model.phase is ModelPhase.RESIDENT
                assert not model.busy
                assert not model.pinned
            case Fail(too_large=True):
                assert model.phase is ModelPhase.COLD
            case Fail():
                assert not model.busy
    for name in decided.closed:
        assert models[name].phase is ModelPhase.RESIDENT
    assert plan(given_state, NOW) == decided, "a function of (state, now)"


@settings(max_examples=300, deadline=None)
@given(states())
def test_whoever_waits_is_loaded_in_time_whenever_room_can_be_made(given_state: State) -> None:
    """Everybody finishes what they have; nobody asks for anything new."""
    working = [d for d in given_state.devices if not d.error]
    world = World(replace(given_state, devices=tuple(working)))
    world.run(until=NOW + 60.0)
    for model in world.models.values():
        if model.waiting and model.phase is ModelPhase.COLD:
            wait = plan(world.state(), world.now).waits.get(model.id)
            assert wait is not None, "what waits and does not load says why"
            assert wait.hopeless, wait.reason


class World:
    """Does what plans say: loads and unloads take half a second, an answer a second."""

    def __init__(self, given: State) -> None:
        self.now = NOW
        self.models = {model.id: model for model in given.models}
        self.totals = {d.id: d.total_bytes for d in given.devices}
        self.others: dict[str, int] = {}
        for device in given.devices:
            held = self._held(device.id, ModelPhase.RESIDENT, ModelPhase.UNLOADING)
            self.others[device.id] = max(0, device.total_bytes - held - device.free_bytes)
        self.served: dict[str, list[float]] = {}

    def _held(self, device: str, *phases: ModelPhase) -> int:
        return sum(dict(m.holds).get(device, 0) for m in self.models.values() if m.phase in phases)

    def state(self) -> State:
        return State(
            models=tuple(self.models.values()),
            devices=tuple(
                Device(
                    id=device,
                    total_bytes=total,
                    free_bytes=total
                    - self.others[device]
                    - self._held(device, ModelPhase.RESIDENT, ModelPhase.UNLOADING),
                )
                for device, total in self.totals.items()
            ),
        )

    def run(self, until: float, arrivals: dict[str, float] | None = None) -> None:
        """``arrivals``: a new request for each of these every so many seconds."""
        while self.now < until:
            self.now += 0.25
            for name, every in (arrivals or {}).items():
                if int(self.now / every) != int((self.now - 0.25) / every):
                    self._arrive(ModelId(name))
            self._pass_time()
            decided = plan(self.state(), self.now)
            for action in decided.actions:
                self._do(action)
            for model in list(self.models.values()):
                self.models[model.id] = replace(model, closed=model.id in decided.closed)
            self._grant(decided.closed)
            for device, total in self.totals.items():
                ours = self._held(
                    device, ModelPhase.LOADING, ModelPhase.RESIDENT, ModelPhase.UNLOADING
                )
                assert ours <= total, "over-committed"

    def _arrive(self, name: ModelId) -> None:
        model = self.models[name]
        since = model.waiting_since if model.waiting else self.now
        self.models[name] = replace(model, waiting=model.waiting + 1, waiting_since=since)

    def _pass_time(self) -> None:
        for model in list(self.models.values()):
            aged = self.now - model.since >= 0.5
            if model.phase is ModelPhase.LOADING and aged:
                model = replace(
                    model, phase=ModelPhase.RESIDENT, since=self.now, used_at=self.now, load_s=0.5
                )
            elif model.phase is ModelPhase.UNLOADING and aged:
                model = replace(model, phase=ModelPhase.COLD, holds=(), device="", since=self.now)
            elif model.busy:
                done = self.now - model.used_at >= 1.0
                model = replace(
                    model,
                    busy=0 if done else model.busy,
                    used_at=self.now if done else model.used_at,
                )
            self.models[model.id] = model

    def _do(self, action: Load | Unload | Fail) -> None:
        model = self.models[action.model]
        match action:
            case Load(option=option):
                model = replace(
                    model, phase=ModelPhase.LOADING, holds=option.takes, device=option.device
                )
            case Unload():
                model = replace(model, phase=ModelPhase.UNLOADING)
            case Fail():
                model = replace(model, phase=ModelPhase.FAILED, waiting=0)
        self.models[action.model] = replace(model, since=self.now)

    def _grant(self, closed: frozenset[ModelId]) -> None:
        for model in list(self.models.values()):
            if model.phase is ModelPhase.RESIDENT and model.waiting and model.id not in closed:
                self.served.setdefault(model.id, []).append(self.now)
                self.models[model.id] = replace(
                    model, waiting=0, busy=model.waiting, used_at=self.now
                )


@pytest.mark.parametrize("every", [0.25, 1.0, 3.0])
def test_two_models_in_the_room_of_one_are_both_served_however_busy_either_is(
    every: float,
) -> None:
    world = World(state(cold("a", 6 * GIB), cold("b", 6 * GIB)))
    world.run(until=NOW + 120.0, arrivals={"a": every, "b": 2.0})
    for name in ("a", "b"):
        times = [NOW, *world.served[name], world.now]
        longest = max(later - earlier for earlier, later in pairwise(times))
        assert longest <= 4 * FAIR_S, (name, longest)


def test_five_models_in_the_room_of_two_are_all_served() -> None:
    world = World(state(*(cold(name, 3 * GIB) for name in "abcde")))
    world.run(until=NOW + 200.0, arrivals=dict.fromkeys("abcde", 1.0))
    for name in "abcde":
        times = [NOW, *world.served[name], world.now]
        longest = max(later - earlier for earlier, later in pairwise(times))
        assert longest <= 6 * FAIR_S, (name, longest)
