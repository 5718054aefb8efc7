"""What the residency planner says of who waits, who is closed for them, and what can never be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.types import ModelId
from node.engines.estimate import CPU
from node.models.residency.plan import FAIR_S, plan, stay_s
from node.models.residency.state import Device, Fail, Model, ModelPhase, Option, State, Wait
from tests.residency_states import GIB, NOW, cold, loading, loads, resident, state, wanted

GPU, OTHER = "GPU-1", "GPU-2"
LONG_AGO = NOW - FAIR_S


def wait(given: State, name: str = "z") -> Wait:
    return plan(given, NOW).waits[ModelId(name)]


def reason(given: State, name: str = "z") -> str:
    return wait(given, name).reason


def either(model: Model, *takes: tuple[str, int]) -> Model:
    """The same model, with a way to load it on each of the devices, GiB."""
    ways = tuple(Option(device=device, takes=((device, size * GIB),)) for device, size in takes)
    return replace(model, options=ways)


def busy(name: str, size: int, device: str = CPU, *, load_s: float = 2.0, **changes: bool) -> Model:
    """In use, and long enough there to yield."""
    return resident(name, size * GIB, device, busy=1, used_at=NOW, load_s=load_s, **changes)


def devices(*sizes: tuple[str, int, int]) -> tuple[Device, ...]:
    """Name, total and free, in GiB."""
    return tuple(
        Device(id=name, total_bytes=total * GIB, free_bytes=free * GIB)
        for name, total, free in sizes
    )


# Who is closed.


def test_as_many_are_closed_as_are_needed_and_the_cheapest() -> None:
    given = state(busy("a", 3), busy("b", 3, load_s=1.0), busy("c", 2), total=8 * GIB)
    decided = plan(replace(given, models=(*given.models, wanted("z", 5 * GIB, LONG_AGO))), NOW)
    assert decided.closed == {"a", "b"}
    assert decided.waits[ModelId("z")].reason == "waits until b, a has finished"


def test_who_was_closed_stays_closed_when_more_is_needed_than_it_has() -> None:
    """Otherwise it would take new sequences again, and what it drained would be for nothing."""
    models = (
        busy("a", 4, load_s=9.0, closed=True),
        busy("b", 4, load_s=0.1),
        busy("c", 4, load_s=0.2),
        wanted("z", 5 * GIB, LONG_AGO),
    )
    assert plan(state(*models, total=12 * GIB), NOW).closed == {"a", "b"}


def test_who_was_closed_is_not_opened_again_for_room_on_another_device() -> None:
    there, here = busy("a", 6, OTHER, closed=True), busy("b", 6, GPU)
    model = either(wanted("z", 0, LONG_AGO), (GPU, 6), (OTHER, 6))
    fleet = devices((GPU, 8, 2), (OTHER, 8, 2))
    assert plan(State(models=(there, here, model), devices=fleet), NOW).closed == {"a"}
    opened = replace(there, closed=False)
    assert plan(State(models=(opened, here, model), devices=fleet), NOW).closed == {"b"}


def test_nobody_is_closed_for_who_cannot_be_helped_by_it() -> None:
    pinned = busy("a", 6, pinned=True)
    assert plan(state(pinned, wanted("z", 6 * GIB, LONG_AGO)), NOW).closed == frozenset()
    earlier = replace(busy("a", 6), waiting=1, waiting_since=LONG_AGO - 1)
    assert plan(state(earlier, wanted("z", 6 * GIB, LONG_AGO)), NOW).closed == frozenset()
    staying = replace(busy("a", 6), since=NOW - stay_s(2.0) + 0.1)
    assert plan(state(staying, wanted("z", 6 * GIB, LONG_AGO)), NOW).closed == frozenset()


def test_nobody_is_closed_for_a_pinned_model_that_nobody_asked_for() -> None:
    given = state(busy("a", 6), cold("z", 6 * GIB, pinned=True))
    decided = plan(given, NOW)
    assert decided.closed == frozenset()
    assert decided.waits[ModelId("z")].reason.startswith("loaded on demand")


def test_who_is_closed_by_a_lost_device_is_not_told_of_as_leaving() -> None:
    lost = replace(state(busy("a", 6), total=8 * GIB, error="gone"))
    decided = plan(lost, NOW)
    assert (decided.actions, decided.closed) == ((), {"a"})


def test_all_models_of_a_lost_device_are_seen_to_and_no_others() -> None:
    models = (
        resident("b", GIB, "GPU-unknown"),
        resident("c", GIB, OTHER),
        busy("d", 1, GPU),
        resident("a", GIB, GPU),
    )
    known = devices((GPU, 8, 4), (OTHER, 8, 4))
    given = State(models=models, devices=(replace(known[0], error="fell off"), known[1]))
    decided = plan(given, NOW)
    assert decided.actions == (Fail(ModelId("a"), "fell off"),)
    assert decided.closed == {"d"}


# Who comes first.


def test_whoever_waits_longest_is_first_then_pinned_models_then_eager_ones() -> None:
    models = [
        cold("eager", GIB, eager=True),
        cold("pinned", GIB, pinned=True),
        wanted("second", GIB, NOW - 1),
        wanted("first", GIB, NOW - 2, pinned=True),
        cold("idle", GIB),
        replace(cold("unknown", GIB), options=()),
    ]
    assert loads(state(*models)) == ["first", "second", "pinned", "eager"]


def test_what_is_free_is_kept_for_who_waits_and_not_given_to_eager_models() -> None:
    eager = cold("e", GIB, eager=True)
    in_the_way = resident("a", 6 * GIB, busy=1)
    assert loads(state(in_the_way, eager)) == ["e"]
    # Nothing is said of one that would fit: it loads as soon as nobody waits.
    decided = plan(state(in_the_way, wanted("z", 4 * GIB, NOW), eager), NOW)
    assert (decided.actions, set(decided.waits)) == ((), {"z"})
    # What cannot be met at all keeps nothing from anybody.
    assert loads(state(in_the_way, wanted("z", 99 * GIB, NOW), eager)) == ["e"]
    met = (wanted("y", GIB, NOW), wanted("z", 4 * GIB, NOW - 1))
    assert loads(state(in_the_way, *met, eager)) == ["y"]


def test_a_way_that_takes_nothing_of_a_device_does_not_mind_that_it_is_overfull() -> None:
    way = Option(device=GPU, takes=((GPU, 4 * GIB), (CPU, 0)))
    model = replace(wanted("z", 0, NOW), options=(way,))
    given = State(models=(model,), devices=devices((GPU, 8, 4), (CPU, 8, -2)))
    assert loads(given) == ["z"]
    short = State(models=(model,), devices=devices((GPU, 8, 3), (CPU, 8, -2)))
    assert reason(short) == "1,024 MiB too little on GPU-1: others hold the memory"


# What can never be.


@pytest.mark.parametrize(
    ("takes", "said"),
    [
        (((GPU, 8),), None),
        (((GPU, 9),), "it is 1,024 MiB larger than all that GPU-1 may hold"),
        (((GPU, 9), (OTHER, 8)), None),
        (((GPU, 11), (OTHER, 10)), "it is 2,048 MiB larger than all that GPU-2 may hold"),
        (((OTHER, 10), (GPU, 11)), "it is 2,048 MiB larger than all that GPU-2 may hold"),
        # A device that is not there may come back.
        (((GPU, 9), ("GPU-gone", 1)), None),
    ],
)
def test_what_is_too_large_for_every_device(
    takes: tuple[tuple[str, int], ...], said: str | None
) -> None:
    model = either(wanted("z", 0, NOW), *takes)
    after = wanted("y", GIB, NOW, GPU)
    given = State(models=(model, after), devices=devices((GPU, 8, 8), (OTHER, 8, 8)))
    fails = [a for a in plan(given, NOW).actions if isinstance(a, Fail)]
    assert fails == ([Fail(ModelId("z"), said, too_large=True)] if said else [])
    assert "y" in loads(given) or not said, "it stands in nobody's way"


def test_a_way_is_as_much_too_large_as_on_the_device_where_it_is_worst() -> None:
    way = Option(device=GPU, takes=((GPU, 9 * GIB), (CPU, 11 * GIB)))
    model = replace(cold("z", 0), options=(way,))
    (fail,) = plan(State(models=(model,), devices=devices((GPU, 8, 8), (CPU, 8, 8))), NOW).actions
    assert isinstance(fail, Fail)
    assert fail.reason == "it is 3,072 MiB larger than all that cpu may hold"


# What is said of who waits.


def test_a_model_that_nobody_waits_for_is_loaded_on_demand() -> None:
    given = state(resident("a", 6 * GIB), cold("z", 6 * GIB))
    assert wait(given) == Wait(reason="loaded on demand; others on cpu make room then")
    assert wait(state(loading("a", 6 * GIB), cold("z", 6 * GIB))).hopeless is False


def test_models_in_use_are_no_reason_to_give_up() -> None:
    given = state(resident("a", 6 * GIB, busy=1), wanted("z", 6 * GIB, NOW))
    assert wait(given) == Wait(reason="no room on cpu beside the models that are in use")


@pytest.mark.parametrize(
    ("size", "others", "said"),
    [
        (4 * GIB, 6 * GIB, "2,048 MiB"),
        (4 * GIB, 6 * GIB + 1, "2,112 MiB"),  # told in steps: it moves all the time
        (4 * GIB, 6 * GIB - 1, "2,048 MiB"),
        (4 * GIB, 4 * GIB + 1, "64 MiB"),
    ],
)
def test_memory_that_others_hold_is_hopeless_and_said_in_steps(
    size: int, others: int, said: str
) -> None:
    given = state(wanted("z", size, NOW), free=8 * GIB - others)
    assert wait(given) == Wait(
        reason=f"{said} too little on cpu: others hold the memory", hopeless=True
    )


def test_pinned_models_that_hold_the_memory_are_named_and_no_others() -> None:
    models = (
        resident("p", 3 * GIB, GPU, pinned=True),
        resident("q", 3 * GIB, GPU, pinned=True),
        resident("elsewhere", 3 * GIB, CPU, pinned=True),
        resident("idle", GIB, GPU),
        replace(cold("absent", 3 * GIB, GPU, pinned=True), phase=ModelPhase.FAILED),
        wanted("z", 4 * GIB, NOW, GPU),
    )
    given = State(models=models, devices=devices((GPU, 8, 1), (CPU, 8, 5)))
    assert wait(given) == Wait(
        reason="2,048 MiB too little on GPU-1: pinned p, q and others hold the memory",
        hopeless=True,
    )


def test_the_way_that_lacks_least_is_told_of() -> None:
    model = either(wanted("z", 0, NOW), (GPU, 6), (OTHER, 6))
    for first, second in ((1, 2), (2, 1)):
        given = State(models=(model,), devices=devices((GPU, 8, first), (OTHER, 8, second)))
        least = GPU if first > second else OTHER
        assert reason(given) == f"4,096 MiB too little on {least}: others hold the memory"


def test_what_goes_in_this_round_is_room_that_comes_and_not_counted_twice() -> None:
    expired = resident("a", 4 * GIB, ttl_s=1.0)
    assert wait(state(expired, cold("z", 8 * GIB), free=2 * GIB)).hopeless
    assert not wait(state(expired, cold("z", 6 * GIB), free=2 * GIB)).hopeless


def test_what_is_loaded_in_this_round_may_go_again_unless_it_is_pinned() -> None:
    for pinned in (False, True):
        first = wanted("a", 6 * GIB, NOW - 1, pinned=pinned)
        given = state(first, wanted("z", 6 * GIB, NOW))
        assert loads(given) == ["a"]
        assert wait(given).hopeless is pinned


def test_a_device_that_is_lost_or_absent_is_the_reason() -> None:
    model = either(cold("z", 0), (GPU, 1))
    (gpu,) = devices((GPU, 8, 8))
    lost = State(models=(model,), devices=(replace(gpu, error="fell off the bus"),))
    assert wait(lost) == Wait(reason="fell off the bus", hopeless=True)
    assert loads(State(models=(replace(model, eager=True),), devices=lost.devices)) == []
    absent = State(models=(model,), devices=devices((CPU, 8, 8)))
    assert wait(absent) == Wait(reason="its device is not there", hopeless=True)
