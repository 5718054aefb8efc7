"""What the agent and a process that tries forms say to each other, in frames
(``mesh/child/frames.py``)."""

from __future__ import annotations

import msgspec

from mesh.child import frames
from mesh.child.frames import FrameReader
from mesh.types import Sampling

MAX_MESSAGE_BYTES = 4 * 1024 * 1024


class Try(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="try"):
    """Agent -> child. ``cpu_s``: after so many seconds of CPU time the kernel ends the child."""

    number: int
    sampling: Sampling
    cpu_s: int


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="ready"):
    """Child -> agent, once: the vocabulary is loaded."""


class Unable(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="unable"):
    """Child -> agent: it cannot serve at all, and exits."""

    message: str


class Tried(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="tried"):
    """Child -> agent. ``wrong``: what is, "" for nothing; ``explodes``: that it met a limit."""

    number: int
    wrong: str
    explodes: bool = False


FromTrial = Ready | Unable | Tried

_TO_TRIAL = msgspec.msgpack.Decoder(Try)
_FROM_TRIAL = msgspec.msgpack.Decoder(FromTrial)


def encode(message: Try | FromTrial) -> bytes:
    """As ``frames.encode``."""
    return frames.encode(message, MAX_MESSAGE_BYTES)


def at_trial() -> FrameReader[Try]:
    """What the agent asks, read by the child."""
    return FrameReader(_TO_TRIAL.decode, "to a trial", MAX_MESSAGE_BYTES)


def at_agent() -> FrameReader[FromTrial]:
    """What the child says, read by the agent."""
    return FrameReader(_FROM_TRIAL.decode, "from a trial", MAX_MESSAGE_BYTES)
