"""Tickets: what a signature covers, whom and when one is for, and the key on disk."""

from __future__ import annotations

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import BadTicket, ConfigError, from_code
from mesh.protobuf.errors import status_of
from mesh.security.tickets import (
    CLOCK_SKEW_S,
    MAX_LIFETIME_S,
    MAX_TICKET_CHARS,
    MAX_TICKET_STREAMS,
    Signer,
    Ticket,
    check,
    verify,
)
from mesh.types import ModelId, NodeId, OrchestratorId, Specialty

NODE = NodeId("node-0000000000000001")
ISSUER = OrchestratorId("orch-1")
NOW = 1_700_000_000.0
TICKET = Ticket(
    id="ab" * 16,
    issuer=ISSUER,
    node=NODE,
    instance="first",
    endpoint="127.0.0.1:7801",
    model=ModelId("toy"),
    specialty=Specialty("math"),
    issued_at=NOW,
    expires_at=NOW + 60,
    max_tokens=100,
    max_streams=2,
    conversation="c1",
)
SIGNER = Signer.generate()
KEYS = {ISSUER: SIGNER.public_key}


def passes(
    ticket: Ticket, *, now: float = NOW, node: NodeId = NODE, instance: str = "first"
) -> None:
    check(ticket, node=node, instance=instance, now=now)


def test_a_signed_ticket_reads_back_as_it_was() -> None:
    assert verify(SIGNER.sign(TICKET), KEYS) == TICKET
    passes(TICKET)


@pytest.mark.parametrize("part", [0, 1], ids=["claims", "signature"])
def test_a_ticket_changed_anywhere_is_refused(part: int) -> None:
    parts = SIGNER.sign(TICKET).split(".")
    for index in range(0, len(parts[part]), 7):
        changed = list(parts[part])
        changed[index] = "A" if changed[index] != "A" else "B"
        token = ".".join([*parts[:part], "".join(changed), *parts[part + 1 :]])
        with pytest.raises(BadTicket):
            verify(token, KEYS)


def test_claims_widened_under_an_old_signature_are_refused_by_name() -> None:
    claims, _, signature = SIGNER.sign(TICKET).partition(".")
    data = json.loads(base64.urlsafe_b64decode(claims + "=="))
    data["max_tokens"] = 1_000_000
    forged = base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()
    with pytest.raises(BadTicket, match="signature is wrong"):
        verify(f"{forged}.{signature}", KEYS)


def test_an_unknown_signer_and_a_known_one_with_another_key_are_told_apart() -> None:
    with pytest.raises(BadTicket, match="no orchestrator that this node knows"):
        verify(SIGNER.sign(TICKET), {})
    with pytest.raises(BadTicket, match="signature is wrong"):
        verify(SIGNER.sign(TICKET), {ISSUER: Signer.generate().public_key})
    with pytest.raises(BadTicket, match="no orchestrator"):
        verify(SIGNER.sign(TICKET), {ISSUER: ""})  # an older version's record


def test_a_record_with_a_key_that_is_none_lets_nobody_in() -> None:
    for key in ("nonsense!", "AAAA", SIGNER.public_key + "AAAA"):
        with pytest.raises(BadTicket):
            verify(SIGNER.sign(TICKET), {ISSUER: key})


@pytest.mark.parametrize(
    ("token", "names"),
    [
        ("", "cannot be read"),
        (".", "cannot be read"),
        ("x" * (MAX_TICKET_CHARS + 1), "characters"),
        ("ü.ü", "cannot be read"),
        (base64.urlsafe_b64encode(b'{"id": 1}').decode().rstrip("=") + ".AA", "cannot be read"),
    ],
)
def test_what_is_no_ticket_is_refused_with_a_clear_line(token: str, names: str) -> None:
    with pytest.raises(BadTicket, match=names):
        verify(token, KEYS)


@given(st.text(max_size=300))
def test_no_text_but_a_signed_one_passes(text: str) -> None:
    with pytest.raises(BadTicket):
        verify(text, KEYS)


def test_every_token_has_one_spelling() -> None:
    token = SIGNER.sign(TICKET)
    for other in (token + "=", token + "\n", " " + token, token + "."):
        with pytest.raises(BadTicket):
            verify(other, KEYS)


@pytest.mark.parametrize(
    ("change", "given", "names"),
    [
        ({}, {"node": NodeId("node-2")}, "is for node 'node-0000000000000001'"),
        ({}, {"instance": "second"}, "restarted"),
        ({}, {"now": NOW + 60 + CLOCK_SKEW_S + 1}, "expired 6 s ago"),
        ({}, {"now": NOW - CLOCK_SKEW_S - 1}, "6 s in this node's future"),
        ({"expires_at": NOW + MAX_LIFETIME_S + 1}, {}, "more than any may"),
        ({"expires_at": NOW}, {}, "more than any may"),
        ({"max_streams": 0}, {}, "more than any may"),
        ({"max_streams": MAX_TICKET_STREAMS + 1}, {}, "more than any may"),
    ],
)
def test_a_ticket_holds_here_and_now_only(
    change: dict[str, Any], given: dict[str, Any], names: str
) -> None:
    with pytest.raises(BadTicket, match=names):
        passes(replace(TICKET, **change), **given)


def test_clocks_may_differ_by_the_stated_seconds() -> None:
    passes(TICKET, now=NOW - CLOCK_SKEW_S)
    passes(TICKET, now=NOW + 60 + CLOCK_SKEW_S)


def test_a_bad_ticket_is_permission_denied_and_keeps_its_code() -> None:
    assert status_of(BadTicket("no")).name == "PERMISSION_DENIED"
    assert isinstance(from_code("bad_ticket", "no"), BadTicket)


def test_the_key_is_made_once_kept_and_private(tmp_path: Path) -> None:
    path = tmp_path / "orchestrators" / "one" / "ticket.key"
    first = Signer.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Signer.load(path).public_key == first.public_key
    assert [p.name for p in path.parent.iterdir()] == ["ticket.key"]
    assert Signer.load(tmp_path / "other.key").public_key != first.public_key


def test_starts_at_the_same_moment_end_with_one_key(tmp_path: Path) -> None:
    path = tmp_path / "ticket.key"
    with ThreadPoolExecutor(8) as pool:
        keys = {signer.public_key for signer in pool.map(lambda _: Signer.load(path), range(16))}
    assert len(keys) == 1


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAA==\n"])
def test_a_damaged_key_file_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ticket.key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="delete it to let a new one be made"):
        Signer.load(path)
