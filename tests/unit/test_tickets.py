"""Who gets a ticket, for what, and what those hear who get none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.fleet.records import (
    FleetView,
    Heartbeat,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    NodeView,
)
from mesh.security.tickets import Signer, check, verify
from mesh.stream import Grant, Route
from mesh.types import (
    Candidate,
    Decision,
    Message,
    ModelId,
    NodeId,
    OrchestratorId,
    Request,
    RequestId,
    Role,
    Specialty,
)
from orchestrator.picture.affinity import Affinity
from orchestrator.tickets import Tickets

NODE, TOY, MATH = NodeId("node-a"), ModelId("toy"), Specialty("math")
SIGNER = Signer.generate()
CLOCK = ManualClock()
REQUEST = Request(id=RequestId("0" * 32), messages=(Message.of(Role.USER, "1 + 1"),))
ROW = Candidate(node=NODE, node_name="a", model=TOY, eligible=True, reason="")


def model(**given: Any) -> ModelRecord:
    fields: dict[str, Any] = {
        "id": TOY,
        "engine": "x",
        "specialties": (MATH,),
        "state": ModelState.RESIDENT,
        "slots": 2,
        "used_slots": 0,
        "context_length": 512,
        "device": "cpu",
        "tokenizer_hash": "tok",
    }
    return ModelRecord(**(fields | given))


def view(*, direct: str = "127.0.0.1:7801", used: int | None = None, **given: Any) -> FleetView:
    record = NodeRecord(
        id=NODE,
        instance="first",
        name="a",
        host="h",
        pid=1,
        state=NodeState.READY,
        reason="",
        endpoint="tcp://127.0.0.1:1",
        direct_endpoint=direct,
        models=(model(**given),),
    )
    beat = None
    if used is not None:
        load = ModelLoad(model=TOY, state=ModelState.RESIDENT, slots=2, used_slots=used)
        beat = Heartbeat(node=NODE, state=NodeState.READY, models=(load,))
    return FleetView(nodes={NODE: NodeView(record=record, heartbeat=beat, link_up=True)})


def route(*rows: Candidate, specialty: str = "math") -> Route:
    decision = Decision(specialty=Specialty(specialty), stage="rules", rule=None, confidence=1.0)
    return Route(decision=decision, candidates=rows or (ROW,))


def issue(request: Request = REQUEST, on: Route | None = None, **given: Any) -> Grant | str:
    conversation = given.pop("conversation", "")
    tickets = Tickets(
        SIGNER, OrchestratorId("orch-1"), CLOCK, lifetime_s=60.0, max_tokens=100, max_streams=3
    )
    return tickets.issue(request, on or route(), view(**given), conversation=conversation)


def test_a_ticket_says_what_its_node_needs_to_know() -> None:
    grant = issue(conversation="c1")
    assert isinstance(grant, Grant)
    assert (grant.endpoint, grant.model, grant.node_name) == ("127.0.0.1:7801", TOY, "a")
    assert (grant.lifetime_s, grant.max_tokens, grant.max_streams) == (60.0, 100, 3)
    assert grant.tokenizer_hash == "tok"
    ticket = verify(grant.token, {OrchestratorId("orch-1"): SIGNER.public_key})
    check(ticket, node=NODE, instance="first", now=CLOCK.wall() + 59)
    assert (ticket.specialty, ticket.conversation, ticket.model_only) == (MATH, "c1", False)


def test_a_conversation_that_got_a_ticket_is_where_the_ticket_led() -> None:
    known = Affinity()
    tickets = Tickets(
        SIGNER,
        OrchestratorId("orch-1"),
        CLOCK,
        lifetime_s=60.0,
        max_tokens=100,
        max_streams=3,
        affinity=known,
    )
    answer = Message.of(Role.ASSISTANT, "2, as the node said")
    turn = (*REQUEST.messages, answer, Message.of(Role.USER, "and 1 + 2?"))
    assert isinstance(tickets.issue(REQUEST, route(), view(used=2)), str)
    assert known.homes("", turn) == ()
    assert isinstance(tickets.issue(REQUEST, route(), view()), Grant)
    assert known.homes("", turn) == ((NODE, TOY),)


def test_two_tickets_are_counted_apart() -> None:
    keys = {OrchestratorId("orch-1"): SIGNER.public_key}
    one, other = issue(), issue()
    assert isinstance(one, Grant)
    assert isinstance(other, Grant)
    assert verify(one.token, keys).id != verify(other.token, keys).id


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"on": route(replace(ROW, eligible=False))}, "no node can take it"),
        ({"direct": ""}, "serves no clients directly"),
        ({"used": 2}, "no free slot"),
        ({"state": ModelState.COLD}, "no free slot"),
        ({"on": route(replace(ROW, node=NodeId("gone")))}, "serves no clients directly"),
        ({"conversation": "x" * 129}, "longer than 128"),
    ],
)
def test_without_a_good_node_there_is_a_reason_instead(given: dict[str, Any], names: str) -> None:
    answer = issue(**given)
    assert isinstance(answer, str)
    assert names in answer


def test_the_heartbeat_counts_where_there_is_one() -> None:
    assert isinstance(issue(used=1, state=ModelState.LOADING), Grant)


def test_a_named_model_binds_and_a_fallback_is_called_what_it_is() -> None:
    keys = {OrchestratorId("orch-1"): SIGNER.public_key}
    named = issue(replace(REQUEST, model=TOY))
    stand_in = issue(on=route(specialty="poetry"))
    assert isinstance(named, Grant)
    assert isinstance(stand_in, Grant)
    assert verify(named.token, keys).model_only
    assert verify(stand_in.token, keys).specialty == MATH
