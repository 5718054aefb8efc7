"""Who makes room: the cheapest, none of them needless, and nobody for what comes free anyway."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.types import ModelId
from node.engines.estimate import CPU
from node.models.residency.plan import FAIR_S, IDLE_S, eviction_cost, plan, stay_s
from node.models.residency.state import Device, Model, ModelPhase, Option, State, Unload
from tests.residency_states import GIB, NOW, cold, loads, resident, state, unloads, wanted

GPU, OTHER = "GPU-1", "GPU-2"


def holding(name: str, *, gpu: int = 0, cpu: int = 0, **changes: Any) -> Model:
    """GiB on the GPU and beside it."""
    return replace(
        resident(name, 0, GPU, **changes), holds=((GPU, gpu * GIB), (CPU, cpu * GIB)), device=GPU
    )


def two(*models: Model, gpu: int = 0, cpu: int = 0, total: int = 8) -> State:
    """A GPU and the box's memory, with so many GiB free."""
    return State(
        models=models,
        devices=(
            Device(id=GPU, total_bytes=total * GIB, free_bytes=gpu * GIB),
            Device(id=CPU, total_bytes=total * GIB, free_bytes=cpu * GIB),
        ),
    )


def asked(name: str, *takes: tuple[str, int], since: float = NOW, **changes: Any) -> Model:
    option = Option(device=takes[0][0], takes=tuple((device, n * GIB) for device, n in takes))
    return replace(wanted(name, 0, since, **changes), options=(option,))


@pytest.mark.parametrize(
    ("load_s", "idle_s", "freed", "cost"),
    [
        (2.0, 100.0, GIB, 0.02),
        (2.0, 100.0, 4 * GIB, 0.005),
        (2.0, 10.0, GIB, 0.2),
        (0.0, 1.0, GIB, 0.01),  # a load always costs something
        (1.0, 0.0, GIB, 10.0),  # and nobody is idle for no time at all
        (1.0, 1.0, 0, 1.0 * GIB),
    ],
)
def test_what_it_costs_to_let_a_model_go(
    load_s: float, idle_s: float, freed: int, cost: float
) -> None:
    model = resident("a", freed, load_s=load_s, used_at=NOW - idle_s)
    assert eviction_cost(model, freed, NOW) == pytest.approx(cost)


def test_only_what_it_frees_where_room_is_lacking_counts_for_a_victim() -> None:
    mostly_elsewhere = holding("a", gpu=2, cpu=6)
    here = holding("b", gpu=4)
    given = two(mostly_elsewhere, here, asked("c", (GPU, 2)))
    assert unloads(given) == ["b"], "4 GiB where it lacks are cheaper than 2"


@pytest.mark.parametrize(
    ("residents", "gone"),
    [
        # Cheapest first until there is room, then who was not needed stays, the dearest first.
        ([(1, 400), (2, 300), (6, 100)], ["c"]),
        ([(3, 400), (3, 300), (3, 200)], ["a", "b"]),
        ([(3, 200), (3, 300), (3, 400)], ["b", "c"]),
        ([(2, 400), (2, 400), (2, 400)], ["a", "b", "c"]),
        ([(1, 900), (3, 800), (3, 100)], ["b", "c"]),
        # Equal in all: by name.
        ([(6, 100), (6, 100)], ["a"]),
        ([(2, 400), (5, 300), (1, 100)], ["a", "b"]),
        # All together are too small: nobody goes for nothing.
        ([(2, 400), (3, 300)], []),
    ],
)
def test_who_makes_room_for_six_gigabytes(
    residents: list[tuple[int, float]], gone: list[str]
) -> None:
    """GiB, and seconds since the last use, for the models a, b, c."""
    models = [
        resident(name, size * GIB, used_at=NOW - idle)
        for name, (size, idle) in zip("abc", residents, strict=False)
    ]
    assert sorted(unloads(state(*models, wanted("z", 6 * GIB, NOW), free=0))) == gone


def test_at_equal_cost_the_one_used_longest_ago_goes() -> None:
    given = state(
        resident("a", 6 * GIB, used_at=NOW - 100, load_s=1.0),
        resident("b", 6 * GIB, used_at=NOW - 200, load_s=2.0),
        wanted("c", 6 * GIB, NOW),
        free=0,
    )
    assert unloads(given) == ["b"]


def test_room_is_made_on_every_device_that_lacks_it_and_nobody_goes_who_frees_none() -> None:
    on_gpu, beside = holding("a", gpu=4), holding("b", cpu=4, used_at=NOW - 200)
    more_of_the_same = holding("c", cpu=1, used_at=NOW - 100)
    needs_both = asked("z", (GPU, 4), (CPU, 2))
    given = two(on_gpu, beside, more_of_the_same, needs_both)
    assert sorted(unloads(given)) == ["a", "b"]
    assert unloads(replace(given, models=(on_gpu, needs_both))) == [], "one device is not both"
    only_gpu = two(on_gpu, beside, needs_both, cpu=2)
    assert unloads(only_gpu) == ["a"]


def test_a_model_that_is_needed_on_either_device_goes_for_both() -> None:
    both, one = holding("a", gpu=4, cpu=2), holding("b", gpu=4, used_at=NOW - 300)
    assert unloads(two(both, one, asked("z", (GPU, 4), (CPU, 2)))) == ["a"]


@pytest.mark.parametrize(("coming", "gone"), [(6, []), (5, []), (4, []), (3, ["a"])])
def test_memory_on_its_way_is_waited_for_and_only_what_lacks_beyond_it_is_made(
    coming: int, gone: list[str]
) -> None:
    leaving = replace(resident("x", coming * GIB), phase=ModelPhase.UNLOADING)
    idle = resident("a", 2 * GIB)
    decided = plan(state(leaving, idle, wanted("b", 4 * GIB, NOW), free=0), NOW)
    assert [a.model for a in decided.actions] == gone
    wait = decided.waits[ModelId("b")]
    assert wait.reason == ("a makes room for it" if gone else "memory is being freed for it")
    assert not wait.hopeless


def test_all_that_is_on_its_way_counts_together() -> None:
    leaving = [replace(resident(name, 2 * GIB), phase=ModelPhase.UNLOADING) for name in "xyz"]
    given = state(*leaving, resident("a", 2 * GIB), wanted("b", 6 * GIB, NOW), free=0)
    assert plan(given, NOW).actions == ()


def test_a_byte_too_little_is_too_little() -> None:
    models = (resident("a", 3 * GIB, used_at=NOW - 900), resident("b", GIB))
    assert unloads(state(*models, wanted("z", 3 * GIB, NOW), free=0)) == ["a"]
    assert unloads(state(*models, wanted("z", 3 * GIB + 1, NOW), free=0)) == ["a", "b"]
    assert unloads(state(*models, wanted("z", 4 * GIB + 1, NOW), free=0)) == []
    assert loads(state(*models, wanted("z", 3 * GIB, NOW), free=3 * GIB)) == ["z"]
    assert loads(state(*models, wanted("z", 3 * GIB + 1, NOW), free=3 * GIB)) == []


def test_whoever_goes_in_this_round_makes_room_for_the_next_who_waits_too() -> None:
    given = state(
        resident("a", 6 * GIB),
        resident("b", 2 * GIB, used_at=NOW - 20),
        wanted("first", 3 * GIB, NOW - 2),
        wanted("second", 3 * GIB, NOW - 1),
        free=0,
    )
    decided = plan(given, NOW)
    assert [a.model for a in decided.actions] == ["a"]
    assert decided.waits[ModelId("first")].reason == "a makes room for it"
    assert decided.waits[ModelId("second")].reason == "memory is being freed for it"


def test_what_a_load_in_flight_will_take_is_not_there_for_others() -> None:
    flying = replace(resident("x", 4 * GIB), phase=ModelPhase.LOADING)
    assert loads(state(flying, wanted("b", 4 * GIB, NOW), total=8 * GIB)) == ["b"]
    assert loads(state(flying, wanted("b", 5 * GIB, NOW), total=8 * GIB)) == []


def test_what_a_model_holds_on_a_device_that_is_gone_is_passed_over() -> None:
    flying = replace(
        resident("x", 0), phase=ModelPhase.LOADING, holds=(("GPU-gone", GIB), (CPU, 4 * GIB))
    )
    assert loads(state(flying, wanted("b", 5 * GIB, NOW))) == []
    going = replace(flying, phase=ModelPhase.UNLOADING)
    given = state(going, wanted("b", 5 * GIB, NOW), free=4 * GIB)
    assert plan(given, NOW).waits[ModelId("b")].reason == "memory is being freed for it"
    held = replace(flying, phase=ModelPhase.RESIDENT)
    assert unloads(state(held, wanted("b", 5 * GIB, NOW), free=4 * GIB)) == ["x"]


def test_others_pressure_is_met_first_by_what_is_on_its_way_out() -> None:
    leaving = replace(resident("x", 2 * GIB), phase=ModelPhase.UNLOADING)
    idle = resident("a", 2 * GIB)
    assert unloads(state(leaving, idle, free=-2 * GIB)) == []
    assert unloads(state(leaving, idle, free=-2 * GIB - 1)) == ["a"]
    assert unloads(state(idle, free=0)) == []
    assert unloads(state(idle, free=-1)) == ["a"]
    (action,) = plan(state(idle, free=-GIB), NOW).actions
    assert isinstance(action, Unload)
    assert action.reason == "others use the memory of cpu: 1,024 MiB too little left"


def test_pressure_takes_nobody_whose_memory_is_elsewhere_or_who_is_waited_for() -> None:
    here, elsewhere = holding("a", gpu=2), holding("b", cpu=2)
    needed = holding("c", gpu=2, waiting=1, waiting_since=NOW)
    assert unloads(two(elsewhere, needed, here, gpu=-9)) == ["a"]
    assert unloads(two(here, elsewhere, cpu=-1)) == ["b"]
    lost = two(here, replace(elsewhere, device=CPU), gpu=-1, cpu=-1)
    lost = replace(lost, devices=(replace(lost.devices[0], error="gone"), lost.devices[1]))
    assert unloads(lost) == ["b"], "a lost device has no pressure, and the next one is seen to"


@pytest.mark.parametrize(
    ("changes", "goes"),
    [
        ({}, True),
        ({"used_at": NOW - 9.9}, False),
        ({"used_at": NOW - 10.0}, True),
        ({"since": NOW - 9.9}, False),  # nobody has used it yet
        ({"waiting": 1, "waiting_since": NOW}, False),
        ({"ttl_s": None}, False),
        ({"busy": 1}, False),
        ({"pinned": True}, False),
    ],
)
def test_who_is_past_its_time(changes: dict[str, Any], goes: bool) -> None:
    other = resident("b", GIB, ttl_s=10.0)
    given: dict[str, Any] = {"ttl_s": 10.0} | changes
    assert unloads(state(resident("a", GIB, **given), other)) == (["a", "b"] if goes else ["b"])


def test_who_went_for_pressure_does_not_go_again_for_its_time() -> None:
    given = state(resident("a", GIB, ttl_s=1.0), resident("b", GIB, ttl_s=1.0), free=-GIB)
    assert unloads(given) == ["a", "b"]
    reasons = [a.reason for a in plan(given, NOW).actions if isinstance(a, Unload)]
    assert reasons[1] == "not used for 1 s (ttl_s)"


@pytest.mark.parametrize(
    ("victim", "waiting_since", "goes"),
    [
        ({}, NOW, True),
        # Who came first is served first, on either side.
        ({"waiting": 1, "waiting_since": NOW - 2}, NOW - 1, False),
        ({"waiting": 1, "waiting_since": NOW - 1}, NOW - 1, False),
        ({"waiting": 1, "waiting_since": NOW - 1}, NOW - 2, True),
        ({"busy": 1}, NOW, False),
        # Just loaded: it stays while it is used.
        ({"since": NOW - 7.9, "used_at": NOW - 1}, NOW, False),
        ({"since": NOW - stay_s(2.0), "used_at": NOW - 1}, NOW, True),
        ({"since": NOW - 7.9, "used_at": NOW - IDLE_S}, NOW, True),
        ({"since": NOW - 1.9, "used_at": NOW - 7}, NOW, False),
        ({"since": NOW - IDLE_S, "used_at": NOW - 7}, NOW, True),
    ],
)
def test_who_yields(victim: dict[str, Any], waiting_since: float, goes: bool) -> None:
    given = state(resident("a", 6 * GIB, **victim), wanted("b", 6 * GIB, waiting_since), free=0)
    assert unloads(given) == (["a"] if goes else [])


def test_a_pinned_model_that_nobody_waits_for_takes_the_place_of_nobody_waited_for() -> None:
    pinned = cold("p", 6 * GIB, pinned=True)
    assert unloads(state(resident("a", 6 * GIB), pinned)) == ["a"]
    needed = resident("a", 6 * GIB, waiting=1, waiting_since=NOW)
    assert unloads(state(needed, pinned)) == []


def test_room_is_made_by_the_second_way_to_load_it_where_the_first_has_none() -> None:
    ways = tuple(Option(device=d, takes=((d, 4 * GIB),)) for d in (GPU, CPU))
    model = replace(wanted("z", 0, NOW - FAIR_S), options=ways)
    given = two(holding("a", gpu=8, busy=1), holding("b", cpu=8), model)
    assert unloads(given) == ["b"]
