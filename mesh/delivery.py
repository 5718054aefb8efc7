"""The pieces that a client has, and what of an attempt's tokens is new to it. Pure.

Both ends keep one: the orchestrator for resumes on other nodes, the client for resumes through
other orchestrators. It is their side of invariant 1: only the next expected piece is passed on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.errors import ProtocolError
from mesh.transport.base import Tokens
from mesh.types import Piece


@dataclass(slots=True)
class Delivery:
    """``tokenizer``: the hash whose ids all pieces have, "" when they come from several tokenizers,
    or none is known: then only their text means anything."""

    pieces: list[Piece] = field(default_factory=list)
    tokenizer: str = ""

    def accept(self, tokens: Tokens, tokenizer: str) -> Tokens | None:
        """What of it is new, None when nothing is. Raises ``ProtocolError`` on a gap."""
        expected = len(self.pieces)
        if tokens.first > expected:
            raise ProtocolError(
                f"the node skipped from token {expected} to {tokens.first}; its stream is dropped"
            )
        fresh = (
            tokens.pieces[expected - tokens.first :] if tokens.first < expected else tokens.pieces
        )
        if not fresh:
            return None
        if not self.pieces:
            self.tokenizer = tokenizer
        elif self.tokenizer != tokenizer:
            self.tokenizer = ""
        self.pieces.extend(fresh)
        return tokens if len(fresh) == len(tokens.pieces) else Tokens(first=expected, pieces=fresh)
