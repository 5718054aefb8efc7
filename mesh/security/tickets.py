"""Tickets: short-lived, signed permissions to stream straight from one node.

An orchestrator signs with its own Ed25519 key (RFC 8032); the public half is in its registry
record, so a node verifies without sharing a secret with anybody, and whoever may write orchestrator
records is who is trusted. A ticket is a bearer token: who holds it may use it, within its limits,
for the minute it lives. On the wire it is ``<claims>.<signature>``, both base64url without padding;
the claims are JSON, and what is signed are their bytes behind a fixed prefix, so that a signature
made for anything else can never pass for one.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from mesh.errors import BadTicket, ConfigError
from mesh.types import ModelId, NodeId, OrchestratorId, Specialty

# How far the clocks of two boxes may differ, seconds. Boxes with NTP differ by milliseconds; a
# laptop that just woke up, by seconds.
CLOCK_SKEW_S = 5.0
# No ticket lives longer, whatever its signer wrote: it bounds what a leaked one is worth.
MAX_LIFETIME_S = 600.0
MAX_TICKET_CHARS = 4096
MAX_TICKET_STREAMS = 64  # at once, on one ticket

_PREFIX = b"squadron ticket v1\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The claims. ``node`` and ``instance`` are the audience: a restarted node is another one.

    ``endpoint``: the node's ``host:port`` of gRPC. ``specialty``: what was decided; a peer with
    another model of it may answer when this node cannot, unless ``model_only`` (the client had
    named the model). ``conversation``: what it was issued for, "" for nothing in particular.
    ``issued_at``, ``expires_at``: Unix seconds; streams that began before the end go on.
    ``max_tokens``: of each answer. ``max_streams``: at once; the node counts.
    """

    id: str
    issuer: OrchestratorId
    node: NodeId
    instance: str
    endpoint: str
    model: ModelId
    specialty: Specialty
    issued_at: float
    expires_at: float
    max_tokens: int
    max_streams: int
    model_only: bool = False
    conversation: str = ""


class Signer:
    """An orchestrator's key pair. The private half never leaves the box it was made on."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = _text(key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Signer:
        """A key for as long as the process lives."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> Signer:
        """The key in ``path`` (PEM, PKCS #8, mode 0600), made at first use. Blocks on the disk.
        Raises ``ConfigError`` for a damaged file or a folder without permission."""
        try:
            if not path.exists():
                _make(path)
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"cannot keep the ticket key in {path}: {error.strerror}; give another state_dir"
            ) from None
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(
                f"{path} is damaged: it does not hold an Ed25519 key in PEM; delete it to let a "
                "new one be made (tickets in use then end, and clients ask again)"
            )
        return cls(key)

    def sign(self, ticket: Ticket) -> str:
        """The token a client hands to the node."""
        claims = msgspec.json.encode(ticket)
        return f"{_text(claims)}.{_text(self._key.sign(_PREFIX + claims))}"


def verify(token: str, keys: Mapping[OrchestratorId, str]) -> Ticket:
    """The claims, when the signature is that of an orchestrator in ``keys`` (public keys by id, as
    records have them). Times and audience are ``check``'s. Raises ``BadTicket``."""
    if len(token) > MAX_TICKET_CHARS:
        raise BadTicket(f"the ticket has {len(token):,} characters, at most {MAX_TICKET_CHARS:,}")
    head, _, tail = token.partition(".")
    try:
        claims, signature = _bytes(head), _bytes(tail)
        ticket = msgspec.json.decode(claims, type=Ticket)
    except (ValueError, msgspec.MsgspecError):
        raise BadTicket("the ticket cannot be read; ask an orchestrator for another") from None
    key = keys.get(ticket.issuer)
    if not key:
        raise BadTicket(
            f"the ticket's signer '{ticket.issuer[:64]}' is no orchestrator that this node knows; "
            "ask an orchestrator of this mesh for another"
        )
    try:
        Ed25519PublicKey.from_public_bytes(_bytes(key)).verify(signature, _PREFIX + claims)
    except (InvalidSignature, ValueError):
        raise BadTicket(
            "the ticket's signature is wrong: it was changed on its way, or its signer has a new "
            "key; ask an orchestrator for another"
        ) from None
    return ticket


def check(ticket: Ticket, *, node: NodeId, instance: str, now: float) -> None:
    """Whether a verified ticket is for this node and this moment. ``now``: Unix seconds; clocks may
    differ by ``CLOCK_SKEW_S``. Raises ``BadTicket``."""
    if ticket.node != node:
        raise BadTicket(
            f"the ticket is for node '{ticket.node}', and this is '{node}'; ask an orchestrator "
            "for one to this node"
        )
    if ticket.instance != instance:
        raise BadTicket("the node was restarted since the ticket was issued; ask for another")
    lifetime = ticket.expires_at - ticket.issued_at
    if not 0 < lifetime <= MAX_LIFETIME_S or not 1 <= ticket.max_streams <= MAX_TICKET_STREAMS:
        raise BadTicket(
            f"the ticket claims more than any may: at most {MAX_LIFETIME_S:.0f} s and "
            f"{MAX_TICKET_STREAMS} streams"
        )
    if now < ticket.issued_at - CLOCK_SKEW_S:
        raise BadTicket(
            f"the ticket was issued {ticket.issued_at - now:.0f} s in this node's future: the "
            "clocks of its box and the orchestrator's differ; set them by NTP"
        )
    if now > ticket.expires_at + CLOCK_SKEW_S:
        raise BadTicket(f"the ticket expired {now - ticket.expires_at:.0f} s ago; ask for another")


def _make(path: Path) -> None:
    """Written beside, synced, then linked into place: two processes of one state folder end with
    one key, and after a power cut there is a whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster: its key is the one
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes:
    """Raises ``ValueError``; one text for one value, so that a token has one spelling."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if _text(data) != text:
        raise ValueError("not canonical base64url")
    return data
