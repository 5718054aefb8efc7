"""Whom the fleet sets aside, for how long, and what takes a verdict back; moved time."""

from __future__ import annotations

import random

import pytest

from mesh.types import ModelId, NodeId
from orchestrator.picture.fleet import (
    LOOKS,
    SET_ASIDE_BASE_S,
    SET_ASIDE_CAP_S,
    TICK_S,
)
from tests.fleet_rig import TOY, A, B, Rig, load, record, rig

AFTER_S = 16.0  # of silence
LOOK_S = AFTER_S / LOOKS


async def test_a_failure_sets_the_node_aside_at_once_and_says_why() -> None:
    async with rig() as made:
        await made.linked(A)
        await made.linked(B)
        version = made.fleet.version
        made.fleet.failed(A, "the runner crashed")
        assert made.verdict == (3 * SET_ASIDE_BASE_S, "the runner crashed")
        assert made.seen(B).set_aside_until is None
        assert made.fleet.version == version + 1
        await made.clock.advance(3 * SET_ASIDE_BASE_S + TICK_S)
        assert made.fleet.version == version + 2, "the end of the pause is told"


async def test_each_pause_is_drawn_from_between_the_base_and_three_times_the_last_one() -> None:
    async with rig() as made:
        await made.linked()
        pauses = []
        for _ in range(6):
            made.fleet.failed(A, "again")
            pause, _ = made.verdict
            assert pause is not None
            pauses.append(pause)
            await made.clock.advance(pause + 0.001)
        assert pauses == [0.75, 2.25, 6.75, SET_ASIDE_CAP_S, SET_ASIDE_CAP_S, SET_ASIDE_CAP_S]
        assert made.rng.drawn[:4] == [
            (SET_ASIDE_BASE_S, 3 * SET_ASIDE_BASE_S),
            (SET_ASIDE_BASE_S, 2.25),
            (SET_ASIDE_BASE_S, 6.75),
            (SET_ASIDE_BASE_S, 20.25),
        ]


@pytest.mark.parametrize("seed", range(20))
async def test_no_pause_is_shorter_than_the_base_or_longer_than_the_cap(seed: int) -> None:
    made = Rig()
    drawn = random.Random(seed)
    made.rng.uniform = drawn.uniform  # type: ignore[method-assign]
    async with rig() as running:
        running.fleet._rng = made.rng
        await running.linked()
        for _ in range(20):
            running.fleet.failed(A, "again")
            pause, _ = running.verdict
            assert pause is not None
            assert SET_ASIDE_BASE_S <= pause <= SET_ASIDE_CAP_S
            await running.clock.advance(pause + 0.001)


async def test_failures_during_a_pause_do_not_lengthen_it() -> None:
    async with rig() as made:
        await made.linked()
        made.fleet.failed(A, "first")
        version = made.fleet.version
        await made.clock.advance(0.5)
        made.fleet.failed(A, "second")
        assert made.verdict == (0.25, "first")
        assert made.fleet.version == version
        await made.clock.advance(0.25)
        made.fleet.failed(A, "third")
        assert made.verdict == (2.25, "third"), "the pause was over at that very moment"


async def test_success_pardons_a_node_and_its_earlier_pauses() -> None:
    async with rig() as made:
        await made.linked()
        made.fleet.failed(A, "stalled")
        await made.clock.advance(1.0)
        made.fleet.failed(A, "stalled")
        version = made.fleet.version
        made.fleet.succeeded(A, TOY)
        assert made.verdict == (None, "")
        assert made.fleet.version == version + 1
        made.fleet.succeeded(A, TOY)
        assert made.fleet.version == version + 1, "there is nothing more to take back"
        made.fleet.failed(A, "once more")
        assert made.verdict == (3 * SET_ASIDE_BASE_S, "once more")


async def test_a_node_whose_record_went_owes_no_earlier_pause_when_it_is_back() -> None:
    async with rig() as made:
        await made.put(record())
        made.fleet.failed(A, "stalled")
        await made.delete()
        await made.put(record())
        assert made.verdict == (None, "")
        made.fleet.failed(A, "stalled")
        assert made.verdict == (3 * SET_ASIDE_BASE_S, "stalled")
        assert made.free() == 4, "and its probe is its own"


async def test_the_failure_of_a_node_that_is_gone_harms_nobody() -> None:
    async with rig() as made:
        made.fleet.failed(NodeId("gone"), "no such node")
        assert made.fleet.view.nodes == {}


async def test_what_is_said_of_a_node_after_it_left_is_not_kept_against_it() -> None:
    """Its attempts find out later than the fleet does."""
    async with rig() as made:
        await made.put(record())
        await made.delete()
        before = made.fleet.version
        assert A not in made.fleet.view.nodes
        made.fleet.failed(A, "lost")
        made.fleet.failed(A, "lost", TOY)
        made.fleet.refused(A, TOY, None)
        assert made.fleet.version == before
        await made.put(record())
        assert made.free() == 4
        with made.fleet.hold(A, TOY):
            assert made.free() == 3, "no attempt has to go alone"


# The probe.


async def test_after_a_failure_one_attempt_goes_alone_until_the_node_has_accepted_it() -> None:
    async with rig() as made:
        await made.linked()
        made.fleet.failed(A, "stalled")
        assert made.free() == 4
        with made.fleet.hold(A, TOY):
            assert made.free() == 0
            version = made.fleet.version
            made.fleet.accepted(A, TOY)
            assert made.free() == 3
            assert made.fleet.version == version + 1, "who waits for a slot is told"
            made.fleet.accepted(A, TOY)
            assert made.fleet.version == version + 1


async def test_attempts_from_before_the_failure_are_not_the_probe() -> None:
    async with rig() as made:
        await made.linked()
        with made.fleet.hold(A, TOY):
            with made.fleet.hold(A, TOY):
                made.fleet.failed(A, "one of them broke")
                made.fleet.failed(A, "and the other")
                assert made.free() == 2
                with made.fleet.hold(A, TOY):
                    assert made.free() == 0, "that was the probe"
            # One of the old ones has ended: one less may be there beside the probe.
            assert made.free() == 3
            with made.fleet.hold(A, TOY):
                assert made.free() == 0


async def test_a_probe_that_failed_is_followed_by_another() -> None:
    async with rig() as made:
        await made.linked()
        made.fleet.failed(A, "stalled")
        with made.fleet.hold(A, TOY):
            await made.clock.advance(1.0)
            made.fleet.failed(A, "again")
        assert made.free() == 4
        with made.fleet.hold(A, TOY):
            assert made.free() == 0


async def test_a_probe_is_of_one_node_and_a_success_elsewhere_ends_it_not() -> None:
    async with rig() as made:
        await made.linked(A)
        await made.linked(B)
        made.fleet.failed(A, "stalled")
        with made.fleet.hold(B, TOY):
            assert (made.free(A), made.free(B)) == (4, 3)
        with made.fleet.hold(A, TOY):
            made.fleet.accepted(B, TOY)
            assert (made.free(A), made.free(B)) == (0, 4)


async def test_a_new_start_of_the_node_owes_nothing_to_the_old_ones_failures() -> None:
    async with rig() as made:
        await made.linked(A)
        made.fleet.failed(A, "stalled")
        with made.fleet.hold(A, TOY):
            await made.put(record(A))
            assert (made.free(), made.verdict[1]) == (0, "stalled"), "the same start"
            await made.put(record(A, instance="second"))
            assert (made.free(), made.verdict) == (3, (None, ""))


# Silence.


async def test_a_node_that_falls_silent_is_a_suspect_until_it_is_heard() -> None:
    async with rig(suspect_after_s=AFTER_S) as made:
        silent, other = await made.linked(A), await made.linked(B)
        silent.beat()
        heard = made.clock.now()
        for _ in range(16):
            other.beat()
            await made.clock.advance(LOOK_S)
        assert not made.fleet.suspects
        version = made.fleet.version
        other.beat()
        await made.clock.advance(LOOK_S)
        assert made.fleet.suspects == {A: heard}
        assert made.fleet.version == version + 2, "the beat, and the verdict"
        left, why = made.verdict
        assert left == pytest.approx(SET_ASIDE_CAP_S)
        assert why == "nothing heard for 17.0 s"
        silent.beat()
        assert not made.fleet.suspects
        assert made.verdict == (None, "")


async def test_a_suspect_whose_link_goes_down_is_a_suspect_no_more() -> None:
    async with rig(suspect_after_s=AFTER_S) as made:
        link = await made.linked()
        link.beat()
        await made.clock.advance(20.0)
        link.move(False)
        assert not made.fleet.suspects
        assert made.verdict == (None, "")
        await made.clock.advance(600.0)
        assert not made.fleet.suspects


async def test_a_suspect_that_fails_is_judged_as_any_other() -> None:
    """The verdict for silence is long, since it ends with the next heartbeat; this one does not."""
    async with rig(suspect_after_s=AFTER_S) as made:
        link = await made.linked()
        link.beat()
        await made.clock.advance(20.0)
        made.fleet.failed(A, "nothing for too long")
        assert made.verdict == (3 * SET_ASIDE_BASE_S, "nothing for too long")
        assert not made.fleet.suspects
        link.beat()
        assert made.verdict == (3 * SET_ASIDE_BASE_S, "nothing for too long")


async def test_a_failures_verdict_outlasts_heartbeats_and_a_link_that_goes() -> None:
    async with rig(suspect_after_s=AFTER_S) as made:
        link = await made.linked()
        link.beat()
        made.fleet.failed(A, "stalled")
        link.beat(load())
        link.move(False)
        assert made.verdict == (3 * SET_ASIDE_BASE_S, "stalled")


async def test_without_a_limit_nobody_is_a_suspect() -> None:
    async with rig() as made:
        link = await made.linked()
        link.beat()
        await made.clock.advance(3_600.0)
        assert made.fleet.suspects == {}
        assert made.verdict == (None, "")
        link.move(False)
        await made.delete()


async def test_a_node_that_came_back_is_not_silent_since_before() -> None:
    async with rig(suspect_after_s=AFTER_S) as made:
        await made.put(record())
        made.link().beat()
        await made.clock.advance(10.0)
        await made.delete()
        await made.put(record())
        await made.clock.advance(100.0)
        assert not made.fleet.suspects


@pytest.mark.parametrize(("late", "suspected"), [(3.5, True), (4.5, False)])
async def test_time_in_which_this_process_did_not_run_is_nobodys_silence(
    late: float, suspected: bool
) -> None:
    async with rig(suspect_after_s=AFTER_S) as made:
        made.clock.late = late
        link = await made.linked()
        await made.clock.advance(10.0)  # a look that began before
        link.beat()
        await made.clock.advance(60.0)
        assert bool(made.fleet.suspects) is suspected


async def test_a_model_is_set_aside_on_its_node_alone_and_its_neighbours_are_not() -> None:
    other = ModelId("other")
    async with rig() as made:
        await made.linked(A)
        made.fleet.failed(A, "its upstream talks rubbish", TOY)
        assert made.verdict == (None, "")
        assert set(made.seen(A).models_aside) == {TOY}
        until, why = made.seen(A).models_aside[TOY]
        assert (until - made.clock.now(), why) == (0.75, "its upstream talks rubbish")
        made.fleet.failed(A, "again", TOY)
        assert made.seen(A).models_aside[TOY] == (until, why), "of the same cause"
        made.fleet.succeeded(A, other)
        assert set(made.seen(A).models_aside) == {TOY}, "a neighbour's success says nothing of it"
        made.fleet.succeeded(A, TOY)
        assert not made.seen(A).models_aside
