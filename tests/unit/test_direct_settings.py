"""Settings of tickets and of the node's own gRPC door."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import ConfigError, ProtocolError
from mesh.protobuf.direct import grant_from_wire, grant_to_wire
from mesh.settings.load import load
from mesh.settings.node import NodeSettings
from mesh.settings.orchestrator import OrchestratorSettings
from mesh.stream import Grant
from mesh.types import ModelId, NodeId
from mesh.v1 import mesh_pb2 as pb


@pytest.mark.parametrize("bind", ["", "off", "127.0.0.1:0", "[::1]:7801"])
def test_a_direct_door_on_loopback_or_none_is_fine(bind: str) -> None:
    assert load(NodeSettings, {"name": "n", "direct_bind": bind}).direct_bind == bind


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"direct_bind": "0.0.0.0:1"}, "reachable from other machines"),
        ({"direct_bind": "7801"}, "not HOST:PORT"),
        ({"direct_bind": "127.0.0.1:99999"}, "not HOST:PORT"),
    ],
)
def test_a_direct_door_to_the_world_takes_insecure(given: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        load(NodeSettings, {"name": "n"} | given)
    if "0.0.0.0" in str(given):
        load(NodeSettings, {"name": "n", "insecure": True} | given)


@pytest.mark.parametrize(
    "given",
    [
        {"ticket_lifetime_s": 0.5},
        {"ticket_lifetime_s": 601.0},
        {"ticket_streams": 0},
        {"ticket_streams": 65},
        {"ticket_max_tokens": 0},
    ],
)
def test_tickets_have_limits_that_settings_cannot_pass(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="ticket_"):
        load(OrchestratorSettings, {"name": "o"} | given)


def test_a_grant_reads_back_as_it_was_and_a_broken_one_is_a_protocol_error() -> None:
    grant = Grant(
        token="a.b",
        node=NodeId("node-1"),
        node_name="n",
        endpoint="127.0.0.1:1",
        model=ModelId("toy"),
        lifetime_s=60.0,
        max_tokens=5,
        max_streams=2,
        tokenizer_hash="tok",
    )
    wire = pb.RouteResponse(ticket=grant_to_wire(grant))
    assert grant_from_wire(wire) == grant
    assert grant_from_wire(pb.RouteResponse()) is None
    for broken in ({"token": ""}, {"endpoint": ""}, {"lifetime_s": float("nan")}):
        bad = pb.RouteResponse(ticket=grant_to_wire(grant))
        for name, value in broken.items():
            setattr(bad.ticket, name, value)
        with pytest.raises(ProtocolError):
            grant_from_wire(bad)
