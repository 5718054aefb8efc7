"""The node's door: tickets are counted, remembered no longer than their signer, and end in time."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace

import pytest

from mesh.clock import ManualClock
from mesh.errors import BadTicket
from mesh.fleet.records import OrchestratorRecord, encode_record
from mesh.registry.base import ORCHESTRATORS
from mesh.registry.twin import TwinRegistry, TwinStore
from mesh.security.tickets import CLOCK_SKEW_S, Signer, Ticket
from mesh.types import OrchestratorId
from node.serve.gate import KEY_GRACE_S, Keyring, TicketGate
from tests.unit.test_security import ISSUER, NODE, SIGNER, TICKET


class Door:
    """A gate under a clock that a test moves, and the keys it knows."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.keys = {ISSUER: SIGNER.public_key}
        self.gate = TicketGate(NODE, "first", lambda: self.keys, self.clock)
        now = self.clock.wall()
        self.ticket: Ticket = replace(TICKET, issued_at=now, expires_at=now + 60, max_streams=2)
        self.token = SIGNER.sign(self.ticket)


def test_a_ticket_allows_as_many_streams_at_once_as_it_says_and_no_more() -> None:
    door = Door()
    with ExitStack() as stack:
        assert stack.enter_context(door.gate.admit(door.token)) == door.ticket
        stack.enter_context(door.gate.admit(door.token))
        with pytest.raises(BadTicket, match="in use by 2 streams"):
            stack.enter_context(door.gate.admit(door.token))
        other = SIGNER.sign(replace(door.ticket, id="cd" * 16))
        stack.enter_context(door.gate.admit(other))
        assert door.gate.streams == 3
    assert door.gate.streams == 0
    with door.gate.admit(door.token):
        pass


def test_a_stream_that_ends_in_an_error_is_counted_out() -> None:
    door = Door()
    for _ in range(5):
        with pytest.raises(ValueError, match="broke"), door.gate.admit(door.token):
            raise ValueError("broke")
    assert door.gate.streams == 0


async def test_a_ticket_that_was_good_before_still_expires() -> None:
    door = Door()
    with door.gate.admit(door.token):
        await door.clock.advance(60 + CLOCK_SKEW_S + 1)
        with pytest.raises(BadTicket, match="expired"), door.gate.admit(door.token):
            pass


def test_a_ticket_that_was_good_before_ends_with_its_signers_key() -> None:
    door = Door()
    with door.gate.admit(door.token):
        pass
    door.keys = {ISSUER: Signer.generate().public_key}
    with pytest.raises(BadTicket, match="signature is wrong"), door.gate.admit(door.token):
        pass
    door.keys = {}
    with pytest.raises(BadTicket, match="no orchestrator"), door.gate.admit(door.token):
        pass


def test_a_tampered_ticket_takes_no_stream() -> None:
    door = Door()
    with pytest.raises(BadTicket), door.gate.admit(door.token[:-4] + "AAAA"):
        pass
    assert door.gate.streams == 0


async def test_keys_follow_the_registry_and_outlive_their_record_by_a_tickets_life() -> None:
    clock, store = ManualClock(), TwinStore()
    registry = TwinRegistry(store, lease_ttl_s=4, clock=clock)
    keyring = Keyring(registry, clock)
    record = OrchestratorRecord(
        id=OrchestratorId("orch-1"),
        instance="i",
        name="one",
        host="h",
        pid=1,
        endpoint="127.0.0.1:1",
        ticket_key="a key",
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(registry.run()), group.create_task(keyring.run())]
        registry.announce(f"{ORCHESTRATORS}orch-1", encode_record(record))
        await clock.advance(1)
        assert keyring.keys() == {"orch-1": "a key"}
        registry.announce(
            f"{ORCHESTRATORS}orch-1", encode_record(replace(record, ticket_key="a new key"))
        )
        await clock.advance(1)
        assert keyring.keys() == {"orch-1": "a new key"}, "a replaced key is worth nothing"
        registry.withdraw(f"{ORCHESTRATORS}orch-1")
        await clock.advance(1)
        assert keyring.keys() == {"orch-1": "a new key"}
        await clock.advance(KEY_GRACE_S + 1)
        assert keyring.keys() == {}
        for task in tasks:
            task.cancel()
