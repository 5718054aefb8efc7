"""The residency planner: what goes, what stays, what is never done, and that nobody starves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.types import ModelId
from node.models.residency.plan import FAIR_S, IDLE_S, STAY_LEAST_S, STAY_MOST_S, plan, stay_s
from node.models.residency.state import (
    CPU,
    Device,
    Fail,
    Load,
    Model,
    Option,
    Phase,
    State,
    Unload,
)

GIB = 2**30
NOW = 1_000.0


def on(device: str, size: int) -> tuple[Option, ...]:
    return (Option(device=device, takes=((device, size),)),)


def cold(name: str, size: int, device: str = CPU, **changes: Any) -> Model:
    return Model(id=ModelId(name), phase=Phase.COLD, options=on(device, size), **changes)


def wanted(name: str, size: int, since: float, device: str = CPU, **changes: Any) -> Model:
    return cold(name, size, device, waiting=1, waiting_since=since, **changes)


def resident(name: str, size: int, device: str = CPU, **changes: Any) -> Model:
    given: dict[str, Any] = {"since": NOW - 500, "used_at": NOW - 100, "load_s": 2.0}
    return Model(
        id=ModelId(name),
        phase=Phase.RESIDENT,
        options=on(device, size),
        device=device,
        holds=((device, size),),
        **(given | changes),
    )


def loading(name: str, size: int, device: str = CPU) -> Model:
    return replace(resident(name, size, device), phase=Phase.LOADING)


def state(*models: Model, total: int = 8 * GIB, free: int | None = None, error: str = "") -> State:
    """One device, ``cpu``; ``free`` None: what residents leave."""
    held = sum(
        size
        for model in models
        if model.phase in (Phase.RESIDENT, Phase.UNLOADING)
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


def test_at_start_all_that_fits_is_loaded_in_the_order_of_the_settings() -> None:
    models = [cold(name, 3 * GIB, eager=True) for name in "abc"]
    decided = plan(state(*models), NOW)
    assert [a.model for a in decided.actions] == ["a", "b"]
    assert "c" in decided.waits
    assert not decided.waits[ModelId("c")].hopeless


def test_two_loads_cannot_both_take_the_last_gigabyte() -> None:
    both = state(wanted("a", 5 * GIB, NOW - 2), wanted("b", 5 * GIB, NOW - 1))
    assert loads(both) == ["a"]
    assert loads(state(loading("a", 5 * GIB), wanted("b", 5 * GIB, NOW))) == []


def test_a_wanted_model_takes_what_is_free_before_anybody_goes() -> None:
    given = state(resident("a", 3 * GIB), wanted("b", 4 * GIB, NOW))
    assert (loads(given), unloads(given)) == (["b"], [])


def test_an_idle_model_makes_room_and_its_memory_is_taken_only_when_it_is_free() -> None:
    asked = wanted("b", 6 * GIB, NOW)
    given = state(resident("a", 6 * GIB), asked)
    assert (loads(given), unloads(given)) == ([], ["a"])
    going = replace(resident("a", 6 * GIB), phase=Phase.UNLOADING)
    assert plan(state(going, asked), NOW).actions == ()
    assert loads(state(replace(going, phase=Phase.COLD, holds=()), asked)) == ["b"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"pinned": True}, "pinned"),
        ({"busy": 1}, "busy"),
        ({"since": NOW - 0.1, "used_at": NOW - 0.05}, "just loaded"),
        ({"waiting": 1, "waiting_since": NOW - 50}, "somebody waited for it for longer"),
    ],
)
def test_who_does_not_make_room(changes: dict[str, Any], why: str) -> None:
    given = state(resident("a", 6 * GIB, **changes), wanted("b", 6 * GIB, NOW))
    assert plan(given, NOW).actions == (), why


def test_who_is_pinned_is_the_reason_when_no_room_can_be_made() -> None:
    decided = plan(state(resident("a", 6 * GIB, pinned=True), wanted("b", 6 * GIB, NOW)), NOW)
    assert decided.waits[ModelId("b")].hopeless
    assert "pinned a" in decided.waits[ModelId("b")].reason


def test_the_one_unused_for_longest_goes_among_equals() -> None:
    given = state(
        resident("a", 3 * GIB, used_at=NOW - 10),
        resident("b", 3 * GIB, used_at=NOW - 300),
        wanted("c", 4 * GIB, NOW),
    )
    assert unloads(given) == ["b"]


def test_the_one_that_is_quick_to_load_again_goes_among_equally_idle_ones() -> None:
    given = state(
        resident("a", 3 * GIB, load_s=30.0),
        resident("b", 3 * GIB, load_s=1.0),
        wanted("c", 4 * GIB, NOW),
    )
    assert unloads(given) == ["b"]


def test_no_more_go_than_are_needed() -> None:
    given = state(
        resident("small", 1 * GIB, used_at=NOW - 400),
        resident("large", 6 * GIB),
        wanted("c", 6 * GIB, NOW),
    )
    assert unloads(given) == ["large"]


def test_a_just_loaded_model_goes_once_its_stay_is_over_or_nobody_uses_it() -> None:
    asked = wanted("b", 6 * GIB, NOW - 1)
    used = resident("a", 6 * GIB, since=NOW - 4, used_at=NOW, load_s=2.0)
    assert unloads(state(used, asked)) == []
    assert unloads(state(replace(used, since=NOW - stay_s(2.0)), asked)) == ["a"]
    idle = replace(used, used_at=NOW - IDLE_S)
    assert unloads(state(idle, asked)) == ["a"]


def test_stays_are_bounded() -> None:
    assert (stay_s(0.0), stay_s(3_600.0)) == (STAY_LEAST_S, STAY_MOST_S)


def test_an_idle_model_goes_when_its_time_is_over_and_a_pinned_one_never() -> None:
    assert unloads(state(resident("a", GIB, ttl_s=100.0))) == ["a"]
    assert unloads(state(resident("a", GIB, ttl_s=100.5))) == []
    assert unloads(state(resident("a", GIB, ttl_s=1.0, busy=1))) == []
    assert unloads(state(resident("a", GIB, ttl_s=1.0, pinned=True))) == []


def test_memory_that_others_take_is_given_back_by_idle_models_only() -> None:
    models = (resident("busy", 2 * GIB, busy=1), resident("a", 2 * GIB), resident("b", 2 * GIB))
    assert unloads(state(*models, free=-GIB)) == ["a"]
    assert unloads(state(*models, free=-3 * GIB)) == ["a", "b"]
    assert unloads(state(*models, free=-9 * GIB)) == ["a", "b"]


def test_a_lost_device_fails_its_idle_models_and_closes_the_busy_ones() -> None:
    given = state(resident("a", GIB), resident("b", GIB, busy=1), error="GPU 0 has vanished")
    decided = plan(given, NOW)
    assert decided.actions == (Fail(ModelId("a"), "GPU 0 has vanished"),)
    assert decided.closed == {"b"}


def test_what_is_larger_than_every_device_fails_and_says_by_how_much() -> None:
    (action,) = plan(state(cold("a", 9 * GIB)), NOW).actions
    assert isinstance(action, Fail)
    assert action.too_large
    assert "1,024 MiB larger" in action.reason


def test_a_gpu_load_needs_its_ram_too() -> None:
    both = Option(device="GPU-1", takes=(("GPU-1", 4 * GIB), (CPU, GIB)))
    asked = replace(wanted("a", 0, NOW), options=(both,))
    gpu = Device(id="GPU-1", total_bytes=8 * GIB, free_bytes=8 * GIB)
    scarce = Device(id=CPU, total_bytes=8 * GIB, free_bytes=GIB // 2)
    assert loads(State(models=(asked,), devices=(gpu, scarce))) == []
    assert loads(State(models=(asked,), devices=(gpu, replace(scarce, free_bytes=GIB)))) == ["a"]


def test_the_emptier_of_two_gpus_is_taken() -> None:
    options = tuple(Option(device=g, takes=((g, GIB),)) for g in ("GPU-1", "GPU-2"))
    asked = replace(wanted("a", 0, NOW), options=options)
    devices = tuple(
        Device(id=name, total_bytes=8 * GIB, free_bytes=free)
        for name, free in (("GPU-1", 2 * GIB), ("GPU-2", 6 * GIB))
    )
    (action,) = plan(State(models=(asked,), devices=devices), NOW).actions
    assert isinstance(action, Load)
    assert action.option.device == "GPU-2"


def test_after_a_fair_wait_busy_models_take_nothing_new_until_there_is_room() -> None:
    busy = resident("a", 6 * GIB, busy=2, used_at=NOW)
    assert plan(state(busy, wanted("b", 6 * GIB, NOW - 1)), NOW).closed == frozenset()
    decided = plan(state(busy, wanted("b", 6 * GIB, NOW - FAIR_S)), NOW)
    assert decided.closed == {"a"}
    assert decided.actions == ()
    assert "a has finished" in decided.waits[ModelId("b")].reason


def test_the_one_that_was_closed_stays_the_one() -> None:
    models = (
        resident("a", 4 * GIB, busy=1, used_at=NOW, load_s=0.1),
        resident("b", 4 * GIB, busy=1, used_at=NOW, load_s=9.0, closed=True),
        wanted("c", 4 * GIB, NOW - FAIR_S),
    )
    assert plan(state(*models), NOW).closed == {"b"}


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
        phase = draw(st.sampled_from([Phase.COLD, Phase.RESIDENT, Phase.LOADING, Phase.UNLOADING]))
        option = draw(st.sampled_from(options))
        if phase is not Phase.COLD:
            if any(free[device] < size for device, size in option.takes):
                phase = Phase.COLD
            else:
                for device, size in option.takes:
                    free[device] -= size
        live = phase is not Phase.COLD
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
                busy=draw(st.integers(0, 2)) if phase is Phase.RESIDENT else 0,
                waiting=waiting,
                waiting_since=NOW - draw(st.floats(0, 60)),
                since=NOW - draw(st.floats(0, 60)),
                used_at=NOW - draw(st.floats(0, 60)),
                load_s=draw(st.floats(0, 20)),
            )
        )
    loading_holds = {
        device: sum(dict(m.holds).get(device, 0) for m in models if m.phase is Phase.LOADING)
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
        if model.phase is Phase.LOADING:
            for device, size in model.holds:
                free[device] -= size
    seen = set()
    for action in decided.actions:
        model = models[action.model]
        assert action.model not in seen, "one action a model"
        seen.add(action.model)
        match action:
            case Load(option=option):
                assert model.phase is Phase.COLD
                for device, size in option.takes:
                    free[device] -= size
                    assert free[device] >= 0 or not size
            case Unload():
                assert model.phase is Phase.RESIDENT
                assert not model.busy
                assert not model.pinned
            case Fail(too_large=True):
                assert model.phase is Phase.COLD
            case Fail():
                assert not model.busy
    for name in decided.closed:
        assert models[name].phase is Phase.RESIDENT
    assert plan(given_state, NOW) == decided, "a function of (state, now)"


@settings(max_examples=300, deadline=None)
@given(states())
def test_whoever_waits_is_loaded_in_time_whenever_room_can_be_made(given_state: State) -> None:
    """Everybody finishes what they have; nobody asks for anything new."""
    working = [d for d in given_state.devices if not d.error]
    world = World(replace(given_state, devices=tuple(working)))
    world.run(until=NOW + 60.0)
    for model in world.models.values():
        if model.waiting and model.phase is Phase.COLD:
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
            held = self._held(device.id, Phase.RESIDENT, Phase.UNLOADING)
            self.others[device.id] = max(0, device.total_bytes - held - device.free_bytes)
        self.served: dict[str, list[float]] = {}

    def _held(self, device: str, *phases: Phase) -> int:
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
                    - self._held(device, Phase.RESIDENT, Phase.UNLOADING),
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
                ours = self._held(device, Phase.LOADING, Phase.RESIDENT, Phase.UNLOADING)
                assert ours <= total, "over-committed"

    def _arrive(self, name: ModelId) -> None:
        model = self.models[name]
        since = model.waiting_since if model.waiting else self.now
        self.models[name] = replace(model, waiting=model.waiting + 1, waiting_since=since)

    def _pass_time(self) -> None:
        for model in list(self.models.values()):
            aged = self.now - model.since >= 0.5
            if model.phase is Phase.LOADING and aged:
                model = replace(
                    model, phase=Phase.RESIDENT, since=self.now, used_at=self.now, load_s=0.5
                )
            elif model.phase is Phase.UNLOADING and aged:
                model = replace(model, phase=Phase.COLD, holds=(), device="", since=self.now)
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
                    model, phase=Phase.LOADING, holds=option.takes, device=option.device
                )
            case Unload():
                model = replace(model, phase=Phase.UNLOADING)
            case Fail():
                model = replace(model, phase=Phase.FAILED, waiting=0)
        self.models[action.model] = replace(model, since=self.now)

    def _grant(self, closed: frozenset[ModelId]) -> None:
        for model in list(self.models.values()):
            if model.phase is Phase.RESIDENT and model.waiting and model.id not in closed:
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
