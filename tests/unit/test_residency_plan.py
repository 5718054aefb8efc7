"""The residency planner: what is loaded, what goes, what is never done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.types import ModelId
from node.engines.estimate import CPU
from node.models.residency.plan import FAIR_S, IDLE_S, STAY_LEAST_S, STAY_MOST_S, plan, stay_s
from node.models.residency.state import Device, Fail, Load, ModelPhase, Option, State
from tests.residency_states import GIB, NOW, cold, loading, loads, resident, state, unloads, wanted


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
    going = replace(resident("a", 6 * GIB), phase=ModelPhase.UNLOADING)
    assert plan(state(going, asked), NOW).actions == ()
    assert loads(state(replace(going, phase=ModelPhase.COLD, holds=()), asked)) == ["b"]


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
