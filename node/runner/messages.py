"""What agent and runner say to each other, in frames (``mesh/child/frames.py``): maps that name
their type, but for ``Pieces``, which are an array. A sequence is named by ``sequence``, a number
the agent never reuses for one runner.
"""

from __future__ import annotations

import msgspec

from mesh.child import frames
from mesh.child.frames import FrameReader
from mesh.fleet.records import ModelCounts
from mesh.types import FinishReason, Message, Piece, Sampling, Usage
from node.engines.base import ModelFacts, ModelSpec

MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class ToRunner(msgspec.Struct, frozen=True, kw_only=True, tag_field="t"):
    """Agent -> runner."""


class Load(ToRunner, frozen=True, kw_only=True, tag="load"):
    engine: str
    spec: ModelSpec


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a sequence is opened with, from the node's server to the engine's runner.

    ``delivered``: pieces a resume starts after, made by the tokenizer of ``tokenizer_hash``.
    ``texts``: to embed, instead of messages to answer; ``credit`` (pieces) is then their number.
    ``traceparent``: W3C trace context, "" for none."""

    messages: tuple[Message, ...]
    sampling: Sampling
    credit: int
    delivered: tuple[Piece, ...] = ()
    tokenizer_hash: str = ""
    traceparent: str = ""
    texts: tuple[str, ...] = ()

    def by_ids(self, tokenizer_hash: str) -> bool:
        """Whether the ids of what was delivered are that tokenizer's. Two tokenizers that nobody
        knows are not the same one."""
        return bool(tokenizer_hash) and tokenizer_hash == self.tokenizer_hash


class Open(ToRunner, frozen=True, kw_only=True, tag="open"):
    sequence: int
    opening: Opening


class Credit(ToRunner, frozen=True, kw_only=True, tag="credit"):
    sequence: int
    pieces: int


class Cancel(ToRunner, frozen=True, kw_only=True, tag="cancel"):
    sequence: int


class Shutdown(ToRunner, frozen=True, kw_only=True, tag="shutdown"):
    pass


class FromRunner(msgspec.Struct, frozen=True, kw_only=True, tag_field="t"):
    """Runner -> agent."""


class Loading(FromRunner, frozen=True, kw_only=True, tag="loading"):
    percent: int


class Loaded(FromRunner, frozen=True, kw_only=True, tag="loaded"):
    facts: ModelFacts
    seconds: float


class LoadFailed(FromRunner, frozen=True, kw_only=True, tag="load_failed"):
    code: str
    message: str


class Opened(FromRunner, frozen=True, kw_only=True, tag="opened"):
    sequence: int
    prompt_tokens: int


class Rejected(FromRunner, frozen=True, kw_only=True, tag="rejected"):
    """The sequence cannot be served as asked (context overflow, bad parameters, an upstream that is
    full). Also after ``Opened``, before the first piece."""

    sequence: int
    code: str
    message: str
    retry_after_s: float | None = None


class Prefill(FromRunner, frozen=True, kw_only=True, tag="prefill"):
    sequence: int
    done: int
    total: int


class Pieces(
    msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True
):
    """Nearly all messages are this one, so it is an array instead of a map that names its type."""

    sequence: int
    first: int
    pieces: tuple[Piece, ...]


class Vectors(FromRunner, frozen=True, kw_only=True, tag="vectors"):
    """As ``node.engines.base.Embedded``."""

    sequence: int
    first: int
    dimension: int
    data: bytes


class Done(FromRunner, frozen=True, kw_only=True, tag="done"):
    sequence: int
    reason: FinishReason
    usage: Usage


class Failed(FromRunner, frozen=True, kw_only=True, tag="failed"):
    """The sequence is lost and its slot free; the model is well."""

    sequence: int
    code: str
    message: str


class Closed(FromRunner, frozen=True, kw_only=True, tag="closed"):
    """A cancelled sequence's slot is free."""

    sequence: int


class Counts(FromRunner, frozen=True, kw_only=True, tag="counts"):
    """Since this runner began; before the message that ends a sequence."""

    counts: ModelCounts


class Broken(FromRunner, frozen=True, kw_only=True, tag="broken"):
    """The engine is lost; the runner exits after this."""

    message: str


ToRunnerMessage = Load | Open | Credit | Cancel | Shutdown
_Named = (
    Loading
    | Loaded
    | LoadFailed
    | Opened
    | Rejected
    | Prefill
    | Vectors
    | Done
    | Failed
    | Closed
    | Counts
    | Broken
)
FromRunnerMessage = _Named | Pieces
Event = Opened | Rejected | Prefill | Pieces | Vectors | Done | Failed  # of one sequence


_PIECES_MARK = b"\x93"  # an array of three; every other message is a map
_PIECES = msgspec.msgpack.Decoder(Pieces)
_TO_RUNNER = msgspec.msgpack.Decoder(ToRunnerMessage)
_FROM_RUNNER = msgspec.msgpack.Decoder(_Named)


def encode(message: ToRunner | FromRunner | Pieces) -> bytes:
    """As ``frames.encode``."""
    return frames.encode(message, MAX_MESSAGE_BYTES)


def at_runner() -> FrameReader[ToRunnerMessage]:
    """What the agent says, read by the runner."""
    return FrameReader(_TO_RUNNER.decode, "to a runner", MAX_MESSAGE_BYTES)


def at_agent() -> FrameReader[FromRunnerMessage]:
    """What a runner says, read by the agent."""
    return FrameReader(_from_runner, "from a runner", MAX_MESSAGE_BYTES)


def _from_runner(body: bytes) -> FromRunnerMessage:
    if body[:1] == _PIECES_MARK:
        return _PIECES.decode(body)
    message: FromRunnerMessage = _FROM_RUNNER.decode(body)
    return message
