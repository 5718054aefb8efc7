"""The data plane's transport is chosen per node: its settings, its record, and who dials it how."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from typing import Any

import pytest

from mesh.clock import SystemClock
from mesh.errors import ConfigError
from mesh.fleet.placement import rank
from mesh.fleet.reasons import candidates
from mesh.fleet.records import (
    TRANSPORTS,
    FleetView,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    NodeView,
)
from mesh.fleet.work import Work
from mesh.settings.load import load
from mesh.settings.node import NodeSettings
from mesh.settings.timing import PRESETS
from mesh.transport.dialers import all_dialers
from mesh.transport.links import Links
from mesh.types import ModelId, NodeId, Specialty
from tests.fleet_rig import HandLink

MATH = Specialty("math")
RECORD = NodeRecord(
    id=NodeId("n"),
    instance="i",
    name="box",
    host="h",
    pid=1,
    state=NodeState.READY,
    reason="",
    endpoint="tcp://127.0.0.1:1",
    models=(
        ModelRecord(
            id=ModelId("m"),
            engine="simulated",
            specialties=(MATH,),
            state=ModelState.RESIDENT,
            slots=1,
            used_slots=0,
            context_length=64,
            device="cpu",
        ),
    ),
)


class Dialed:
    """A dialer that remembers what it was to dial."""

    def __init__(self) -> None:
        self.endpoints: list[str] = []

    def link(self, endpoint: str, *rest: Any) -> HandLink:
        self.endpoints.append(endpoint)
        return HandLink(endpoint, *rest)


def links(**dialers: Dialed) -> Links:
    return Links(
        dialers,  # type: ignore[arg-type]
        SystemClock(),
        on_heartbeat=lambda _: None,
        on_link=lambda _, __: None,
    )


def test_zeromq_is_the_default_and_grpc_can_be_chosen() -> None:
    assert load(NodeSettings, {"name": "n"}).transport == "zeromq"
    assert load(NodeSettings, {"name": "n", "transport": "grpc"}).transport == "grpc"


def test_an_unknown_transport_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'carrier-pigeon' is unknown; one of zeromq, grpc"):
        load(NodeSettings, {"name": "n", "transport": "carrier-pigeon"})


@pytest.mark.parametrize("bind", ["tcp://192.0.2.1:7000", "grpc://192.0.2.1:7000"])
def test_no_transport_listens_beyond_loopback_unless_told(bind: str) -> None:
    with pytest.raises(ConfigError, match="--insecure"):
        load(NodeSettings, {"name": "n", "transport": "grpc", "bind": bind})


def test_there_is_a_dialer_for_every_transport_that_settings_allow() -> None:
    dialers = all_dialers("n", PRESETS["local"], SystemClock(), random.Random(1))
    assert tuple(dialers) == TRANSPORTS


def test_a_node_is_dialed_over_the_transport_that_its_record_names() -> None:
    zeromq, grpc = Dialed(), Dialed()
    both = links(zeromq=zeromq, grpc=grpc)
    both.want(RECORD)
    both.want(replace(RECORD, id=NodeId("o"), transport="grpc", endpoint="grpc://127.0.0.1:2"))
    assert (zeromq.endpoints, grpc.endpoints) == (["tcp://127.0.0.1:1"], ["grpc://127.0.0.1:2"])


def test_a_node_with_an_unknown_transport_is_not_linked_and_both_log_and_placement_say_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dialer = Dialed()
    strange = replace(RECORD, transport="quic")
    with caplog.at_level(logging.WARNING):
        links(zeromq=dialer).want(strange)
    assert dialer.endpoints == []
    assert "node box is not linked: it speaks 'quic'" in caplog.text
    view = FleetView(nodes={strange.id: NodeView(record=strange)})
    ranking = rank(view, Work(specialty=MATH, model=None, prompt_bytes=1), now=0.0)
    (row,) = candidates(ranking, ranking.explained())
    assert not row.eligible
    assert "speaks 'quic', which this version does not" in row.reason
