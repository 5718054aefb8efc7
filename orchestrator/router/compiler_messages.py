"""What the rules' compiler and its parent say to each other, in frames
(``mesh/child/frames.py``)."""

from __future__ import annotations

import msgspec

from mesh.child import frames
from mesh.child.frames import FrameReader
from orchestrator.router.rule_file import MAX_FILE_BYTES

RULES = "rules"  # what the pieces of the rule set itself are called
# So that taking one in never holds the parent's event loop; a database may have megabytes.
PIECE_BYTES = 256 * 1024
_MAX_TO_COMPILER = MAX_FILE_BYTES + 64 * 1024
_MAX_FROM_COMPILER = PIECE_BYTES + 1024


class Compile(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="compile"):
    """Parent -> child, once. ``where``: what errors call the rules' source; ``folder``: of the
    cache; ``cpu_s``: after so many seconds of CPU time the kernel ends the child; ``nice``: how far
    it stands behind others who want the CPU."""

    content: bytes
    where: str
    folder: str
    cpu_s: int
    nice: int = 0


class Piece(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="piece"):
    """Child -> parent: the next bytes of ``RULES`` (a ``RuleSet``), or of the database that the
    cache knows by this name."""

    of: str
    data: bytes


class Done(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="done"):
    """Child -> parent: all pieces are sent, and it ends."""


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="refused"):
    """Child -> parent: the rules are wrong, and it ends. ``message``: of the ``RuleError``."""

    message: str


FromCompiler = Piece | Done | Refused

_TO_COMPILER = msgspec.msgpack.Decoder(Compile)
_FROM_COMPILER = msgspec.msgpack.Decoder(FromCompiler)


def encode(message: Compile | FromCompiler) -> bytes:
    """As ``frames.encode``."""
    return frames.encode(message, max(_MAX_TO_COMPILER, _MAX_FROM_COMPILER))


def at_child() -> FrameReader[Compile]:
    """What the parent asks, read by the child."""
    return FrameReader(_TO_COMPILER.decode, "to the rules' compiler", _MAX_TO_COMPILER)


def at_parent() -> FrameReader[FromCompiler]:
    """What the child says, read by its parent."""
    return FrameReader(_FROM_COMPILER.decode, "from the rules' compiler", _MAX_FROM_COMPILER)
