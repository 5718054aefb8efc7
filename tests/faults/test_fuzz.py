"""Nothing that a peer or a client can send breaks more than its own session or call.

A few thousand inputs; ``python -m tests.faults.fuzz`` does the same with a million.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.fuzz_grpc import METHODS, Gateway
from tests.faults.fuzzing import DataPlane, decoding, errors_of
from tests.faults.moved_time import LoopClock, run_moved
from tests.faults.mutation import (
    altered_message,
    good_frame,
    mutated_bytes,
    mutated_frame,
    random_message,
)

RANDOMS = st.randoms(use_true_random=False)
TRANSPORT = "mesh.transport"


@settings(max_examples=1_500, deadline=None)
@given(RANDOMS)
def test_only_protocol_error_escapes_from_frames_broken_in_their_structure(
    rng: random.Random,
) -> None:
    assert decoding(mutated_frame(rng)) is None


def _said(rng: random.Random, most: int) -> list[bytes]:
    """Frames of which some are good, so that sessions get to their later states."""
    return [
        good_frame(rng, stream=rng.choice((1, 2, 3)) if rng.random() < 0.8 else None)
        if rng.random() < 0.5
        else mutated_frame(rng)
        for _ in range(rng.randint(1, most))
    ]


@settings(max_examples=150, deadline=None)
@given(RANDOMS)
def test_a_listener_and_its_other_sessions_live_on_whatever_a_peer_says(
    rng: random.Random,
) -> None:
    async def fire() -> list[str]:
        async with DataPlane(LoopClock()) as plane:
            for _ in range(6):
                await plane.strike(_said(rng, 12), greet=rng.random() < 0.9)
                await plane.check()
            return plane.findings

    with errors_of(TRANSPORT) as logged:
        assert run_moved(fire()) + logged == []


@settings(max_examples=150, deadline=None)
@given(RANDOMS)
def test_a_dialer_and_its_other_links_live_on_whatever_a_node_says(rng: random.Random) -> None:
    async def fire() -> list[str]:
        async with DataPlane(LoopClock()) as plane:
            for _ in range(6):
                await plane.answer(_said(rng, 12))
                await plane.check()
            return plane.findings

    with errors_of(TRANSPORT) as logged:
        assert run_moved(fire()) + logged == []


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway() as serving:
        yield serving


FIRE = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("method", METHODS)
@FIRE
@given(rng=RANDOMS)
def test_a_broken_message_is_the_clients_mistake(
    gateway: Gateway, method: str, rng: random.Random
) -> None:
    data = mutated_bytes(rng, gateway.good(method).SerializeToString())
    assert gateway.ask(method, data) is None


@pytest.mark.parametrize("method", METHODS)
@FIRE
@given(rng=RANDOMS)
def test_a_good_request_with_an_odd_field_gets_a_proper_status(
    gateway: Gateway, method: str, rng: random.Random
) -> None:
    data = altered_message(rng, gateway.good(method)).SerializeToString()
    assert gateway.ask(method, data) is None


@pytest.mark.parametrize("method", METHODS)
@FIRE
@given(rng=RANDOMS)
def test_any_valid_message_gets_a_proper_status(
    gateway: Gateway, method: str, rng: random.Random
) -> None:
    assert gateway.ask(method, random_message(rng, METHODS[method]).SerializeToString()) is None


@settings(parent=FIRE, max_examples=100)
@given(data=st.binary(max_size=100))
def test_any_bytes_get_a_proper_status(gateway: Gateway, data: bytes) -> None:
    for method in METHODS:
        assert gateway.ask(method, data) is None


def test_the_orchestrator_answers_as_before(gateway: Gateway) -> None:
    assert gateway.ask("Generate", b"\xff") is None
    assert gateway.sound() is None
