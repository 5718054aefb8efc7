"""A request under which engines are lost: tried once more elsewhere, then refused everywhere."""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter

import pytest

from mesh.clock import ManualClock
from mesh.errors import EngineFailed, EngineLost, MeshError, Quarantined
from mesh.quarantine.marks import marks_of
from mesh.types import Sampling
from tests.mesh.fakes import Mesh, manual_node, request
from tests.mesh.scripted import ScriptedNode, answer, fail, hang

BOUND = Sampling(max_tokens=100, grammar='root ::= "a"')


async def three(mesh: Mesh, code: str) -> list[ScriptedNode]:
    nodes = [await mesh.node(name) for name in "abc"]
    for node in nodes:
        node.scripts = [fail(3, code, "the engine hangs")] * 9
    return nodes


def lost(nodes: list[ScriptedNode]) -> int:
    return sum(len(node.attempts) for node in nodes)


async def test_the_second_engine_that_is_lost_ends_it_and_the_third_time_costs_no_node() -> None:
    async with Mesh() as mesh:
        nodes = await three(mesh, "engine_lost")
        with pytest.raises(Quarantined, match=r"2 times.*the engine hangs") as ended:
            await mesh.collect(request())
        assert ended.value.retry_after_s is not None
        assert lost(nodes) == 2
        began = perf_counter()
        with pytest.raises(Quarantined, match="is refused"):
            async for _ in mesh.answered(request()):
                pass
        assert perf_counter() - began < 0.005
        assert lost(nodes) == 2


async def test_a_form_that_engines_were_lost_at_is_refused_with_another_prompt() -> None:
    async with Mesh() as mesh:
        nodes = await three(mesh, "form_lost")
        with pytest.raises(Quarantined):
            await mesh.collect(request(sampling=BOUND))
        with pytest.raises(Quarantined):
            async for _ in mesh.answered(request("and what is 2 + 2?", sampling=BOUND)):
                pass
        assert lost(nodes) == 2
        for node in nodes:
            node.scripts = [answer()]
        assert [event async for event in mesh.answered(request())]


async def test_what_nodes_found_out_meanwhile_ends_it_before_the_next_is_asked() -> None:
    async with Mesh() as mesh:
        nodes = await three(mesh, "node_lost")
        quarantine, asked = mesh.dispatch.failover.quarantine, request()
        found = marks_of(asked.messages, asked.sampling)
        for _ in range(2):  # as two nodes do, after the attempts had been moved away
            quarantine.strike(found, EngineLost("the engine hangs"))
        with pytest.raises(Quarantined):
            await mesh.collect(asked)
        assert lost(nodes) == 1


async def test_who_was_beside_it_is_never_held_to_account() -> None:
    async with Mesh(max_attempts=3) as mesh:
        nodes = await three(mesh, "engine_failed")
        for _ in range(2):
            with pytest.raises(EngineFailed):
                await mesh.collect(request())
        for node in nodes:
            node.scripts = [answer()]
        whole = [event async for event in mesh.answered(request())]
        assert whole


@pytest.mark.parametrize(("sampling", "third"), [(BOUND, False), (Sampling(max_tokens=100), True)])
async def test_no_third_node_is_asked_for_a_form_that_two_stood_still_at(
    sampling: Sampling, third: bool
) -> None:
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        nodes = [await manual_node(mesh, clock, name) for name in "abc"]
        for node in nodes:
            node.scripts = [hang()] * 9
        mesh.start(_left_alone(mesh, sampling), "request")
        for _ in range(200):
            await clock.advance(1.0)
        assert lost(nodes) >= 2
        assert (lost(nodes) > 2) is third


async def _left_alone(mesh: Mesh, sampling: Sampling) -> None:
    with suppress(MeshError):
        await mesh.collect(request(sampling=sampling), timeout_s=1000.0)


async def test_standing_still_and_then_losing_an_engine_is_two() -> None:
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        nodes = [await manual_node(mesh, clock, name) for name in "abc"]
        ended: list[MeshError] = []

        async def asked() -> None:
            try:
                await mesh.collect(request(sampling=BOUND), timeout_s=1000.0)
            except MeshError as error:
                ended.append(error)

        for node in nodes:
            node.scripts = [hang()] * 9
        mesh.start(asked(), "request")
        await clock.advance(1.0)
        for node in nodes:
            node.scripts = [fail(0, "form_lost", "the engine hangs")] * 9
        for _ in range(100):
            await clock.advance(1.0)
        assert [error.code for error in ended] == ["form_lost"]
        assert lost(nodes) == 2
