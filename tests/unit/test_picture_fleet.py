"""Records, links, slots and alarms as the fleet keeps them, on twins and moved time."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mesh.errors import NodeLost
from mesh.fleet.records import ModelState, OrchestratorRecord, encode_record
from mesh.registry.base import ORCHESTRATORS
from mesh.types import ModelId, NodeId, OrchestratorId
from orchestrator.picture.fleet import REFUSED_S, TICK_S
from tests.fleet_rig import TOY, A, B, HandLink, Rig, load, model, record, rig

OTHER = ModelId("other")


# Records and links.


async def test_a_record_brings_a_link_over_the_transport_that_it_names() -> None:
    async with rig() as made:
        assert made.fleet.registry_connected
        await made.put(record(A, transport="grpc"), record(B))
        assert [link.node for link in made.dialers["grpc"].links] == [A]
        assert [link.node for link in made.dialers["zeromq"].links] == [B]
        assert made.link(A).running
        assert not made.seen(A).link_up
        made.link(A).move(True)
        assert (made.seen(A).link_up, made.seen(B).link_up) == (True, False)
        made.link(A).move(False)
        assert not made.seen(A).link_up


async def test_one_dialer_serves_whatever_transport_a_record_names() -> None:
    made = Rig()
    dialer = made.dialers["grpc"]
    fleet = type(made.fleet)(made.registry, dialer, made.clock, made.rng)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(made.registry.run()), group.create_task(fleet.run())]
        await made.clock.settle()
        await made.put(record(A), record(B, transport="grpc"))
        assert [link.node for link in dialer.links] == [A, B]
        for task in tasks:
            task.cancel()


async def test_a_record_put_again_leaves_the_link_and_another_endpoint_brings_another() -> None:
    async with rig() as made:
        link = await made.linked(models=(model(slots=1),))
        await made.put(record(models=(model(slots=3),)))
        assert made.link() is link
        assert made.free() == 3
        await made.put(record(endpoint="elsewhere"))
        assert made.link() is not link
        assert (made.link().endpoint, link.running) == ("elsewhere", False)
        assert not made.seen().link_up, "the new link has not come up"
        link.beat(load(used=4))
        assert made.free() == 4, "the old link's words are nobody's"


async def test_a_record_of_no_use_is_told_and_the_others_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with rig() as made:
        with caplog.at_level(logging.WARNING):
            await made.registry.put("nodes/z", b"{")
            await made.put(record())
        assert set(made.fleet.view.nodes) == {A}
        assert "nodes/z" in caplog.text


async def test_orchestrators_are_seen_and_gone_with_their_records() -> None:
    other = OrchestratorRecord(
        id=OrchestratorId("o"), instance="1", name="o", host="h", pid=2, endpoint="e"
    )
    async with rig() as made:
        await made.registry.put(f"{ORCHESTRATORS}o", encode_record(other))
        await made.clock.settle()
        assert made.fleet.view.orchestrators == {other.id: other}
        made.store.erase(made.registry, f"{ORCHESTRATORS}o", None)
        await made.clock.settle()
        assert made.fleet.view.orchestrators == {}


async def test_a_node_that_still_answers_outlives_its_record_until_its_link_goes() -> None:
    async with rig() as made:
        link = await made.linked()
        await made.delete()
        assert A in made.fleet.view.nodes
        assert link.running
        link.beat(load(used=1))
        assert made.free() == 3
        link.move(False)
        assert A not in made.fleet.view.nodes
        await made.clock.settle()
        assert not link.running


async def test_a_record_that_came_back_holds_its_node_again() -> None:
    async with rig() as made:
        link = await made.linked()
        await made.delete()
        await made.put(record())
        link.move(False)
        assert A in made.fleet.view.nodes
        assert link.running
        link.move(True)
        assert made.seen().link_up


async def test_a_node_that_does_not_answer_goes_with_its_record() -> None:
    async with rig() as made:
        await made.linked(B)
        await made.put(record(A))
        await made.delete(A)
        await made.clock.settle()
        assert set(made.fleet.view.nodes) == {B}
        assert not made.link(A).running
        assert made.link(B).running


async def test_attempts_are_opened_on_the_nodes_link() -> None:
    async with rig() as made:
        attempt: object = object()
        with pytest.raises(NodeLost):
            made.fleet.open(A, attempt)  # type: ignore[arg-type]
        link = await made.linked()
        opened = made.fleet.open(A, attempt)  # type: ignore[arg-type]
        assert isinstance(opened, HandLink)
        assert link.opened == [attempt]


async def test_a_node_is_called_by_its_name_and_a_stranger_by_its_id() -> None:
    async with rig() as made:
        await made.put(record())
        assert made.fleet.name(A) == "box a"
        assert made.fleet.name(NodeId("nobody")) == "nobody"


# Slots.


async def test_free_slots_are_by_the_newest_word_of_the_node() -> None:
    async with rig() as made:
        assert made.free() == 0, "no such node"
        link = await made.linked(models=(model(OTHER, slots=9), model(TOY, slots=4)))
        assert (made.free(), made.free(name=OTHER)) == (4, 9)
        assert made.free(name=ModelId("none")) == 0
        link.beat(load(OTHER, used=2, slots=9), load(TOY, used=1))
        assert (made.free(), made.free(name=OTHER)) == (3, 7)
        link.move(False)
        assert made.free() == 4, "the record again"


@pytest.mark.parametrize(
    ("state", "slots"),
    [
        (ModelState.RESIDENT, 4),
        (ModelState.COLD, 4),  # the attempt is what makes the node load it
        (ModelState.LOADING, 0),
        (ModelState.FAILED, 0),
    ],
)
async def test_a_model_that_cannot_take_an_attempt_has_no_slot(
    state: ModelState, slots: int
) -> None:
    async with rig() as made:
        link = await made.linked(models=(model(state=state),))
        assert made.free() == slots
        link.beat(load(state=state))
        assert made.free() == slots


async def test_own_attempts_and_the_nodes_count_overlap() -> None:
    async with rig() as made:
        link = await made.linked()
        version = made.fleet.version
        with made.fleet.hold(A, TOY), made.fleet.hold(A, TOY):
            assert (made.free(), made.seen().in_flight) == (2, 2)
            link.beat(load(used=1))
            assert made.free() == 2, "its count is late"
            link.beat(load(used=3))
            assert made.free() == 1, "somebody else's are in it"
            link.beat()
            with made.fleet.hold(B, TOY), made.fleet.hold(A, OTHER):
                assert made.free() == 2, "those are other slots"
            version = made.fleet.version
        assert (made.free(), made.seen().in_flight) == (4, 0)
        assert made.fleet.version == version + 2, "each that ends is news to who waits"


async def test_a_slot_is_given_back_by_an_attempt_that_broke() -> None:
    async with rig() as made:
        await made.linked()
        with pytest.raises(NodeLost), made.fleet.hold(A, TOY):
            raise NodeLost("gone")
        assert (made.free(), made.seen().in_flight) == (4, 0)


# Refusals.


@pytest.mark.parametrize(
    ("retry_after_s", "for_s"),
    [(None, REFUSED_S), (0.0, REFUSED_S), (0.3, 0.3), (60.0, REFUSED_S)],
)
async def test_a_refusal_counts_for_as_long_as_it_says_and_never_for_long(
    retry_after_s: float | None, for_s: float
) -> None:
    async with rig() as made:
        await made.linked(models=(model(), model(OTHER)))
        made.fleet.refused(A, TOY, retry_after_s)
        assert (made.free(), made.free(name=OTHER)) == (0, 4)
        version = made.fleet.version
        await made.clock.advance(for_s - 0.01)
        assert (made.free(), made.fleet.version) == (0, version)
        await made.clock.advance(0.01 + TICK_S)
        assert made.free() == 4
        assert made.fleet.version == version + 1, "who waits is told"


async def test_a_refusal_is_over_at_the_very_moment_that_it_named() -> None:
    async with rig() as made:
        await made.linked()
        made.fleet.refused(A, TOY, 0.25)
        await made.clock.advance(0.25)
        assert made.free() == 4


async def test_a_refusal_is_over_at_the_nodes_next_word_of_that_model() -> None:
    async with rig() as made:
        link = await made.linked(models=(model(), model(OTHER)))
        made.fleet.refused(A, TOY, None)
        link.beat(load(OTHER))
        assert made.free() == 0, "it has said nothing of this one"
        link.beat(load(TOY, used=1))
        assert made.free() == 3


async def test_a_node_that_came_back_is_not_held_to_what_it_refused_before() -> None:
    async with rig() as made:
        await made.put(record(A), record(B))
        made.fleet.refused(A, TOY, None)
        made.fleet.refused(B, TOY, None)
        await made.delete(A)
        await made.put(record(A))
        assert (made.free(A), made.free(B)) == (4, 0)


# Changes and alarms.


async def test_whoever_waits_for_a_change_is_woken_by_the_next_one_only() -> None:
    async with rig() as made, asyncio.TaskGroup() as group:
        since = made.fleet.version
        waiting = group.create_task(made.fleet.changed(since))
        await made.clock.advance(100.0)
        assert not waiting.done()
        await made.put(record())
        assert waiting.result() == made.fleet.version > since
        assert await made.fleet.changed(since) == made.fleet.version, "at once: it is past that"


@pytest.mark.parametrize(
    "happens",
    [
        lambda link: link.move(False),
        lambda link: link.beat(),
        lambda link: link.beat(load()),
    ],
    ids=["link down", "heartbeat", "load"],
)
async def test_every_signal_is_a_change(happens: object) -> None:
    async with rig() as made:
        link = await made.linked()
        version = made.fleet.version
        happens(link)  # type: ignore[operator]
        assert made.fleet.version == version + 1


async def test_an_alarm_rings_at_its_tick_and_never_before_its_time() -> None:
    async with rig() as made:
        version = made.fleet.version
        now = made.clock.now()
        made.fleet.alarm(now + 0.12)
        await made.clock.advance(0.12)
        assert made.fleet.version == version
        await made.clock.advance(TICK_S)
        assert made.fleet.version == version + 1
        await made.clock.advance(10.0)
        assert made.fleet.version == version + 1, "once"


async def test_alarms_of_one_tick_share_a_timer_and_later_ones_have_their_own() -> None:
    async with rig() as made:
        version = made.fleet.version
        now = made.clock.now()
        for late in (0.11, 0.12, 0.13):
            made.fleet.alarm(now + late)
        made.fleet.alarm(now + 0.21)
        await made.clock.advance(0.16)
        assert made.fleet.version == version + 1
        await made.clock.advance(0.1)
        assert made.fleet.version == version + 2
        made.fleet.alarm(made.clock.now() - 1.0)
        await made.clock.settle()
        assert made.fleet.version == version + 3, "what is over rings at once"
        made.fleet.alarm(made.clock.now() - 1.0)
        await made.clock.settle()
        assert made.fleet.version == version + 4, "a tick that rang may ring again"


async def test_an_alarm_before_the_fleet_runs_is_none() -> None:
    made = Rig()
    made.fleet.alarm(made.clock.now() + 0.1)
    await made.clock.advance(1.0)
    assert made.fleet.version == 0
