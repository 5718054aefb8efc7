"""What agent and runner say to each other: msgpack over a Unix socket pair.

Each message has its length in front and is decoded straight into its type by ``msgspec``: maps that
name their type, but for ``Pieces``, which are an array. A sequence is named by ``sequence``, a
number the agent never reuses for one runner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from mesh.errors import ProtocolError
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


_PIECES_MARK = b"\x93"  # an array of three; every other message is a map
_HEADER_BYTES = 4  # the body's length, big-endian
_ENCODER = msgspec.msgpack.Encoder()
_PIECES = msgspec.msgpack.Decoder(Pieces)
_TO_RUNNER = msgspec.msgpack.Decoder(ToRunnerMessage)
_FROM_RUNNER = msgspec.msgpack.Decoder(_Named)

M = TypeVar("M")


def encode(message: ToRunner | FromRunner | Pieces) -> bytes:
    """The message with its length in front. Raises ``UnicodeEncodeError`` for text that is none."""
    data = bytearray(_HEADER_BYTES)
    _ENCODER.encode_into(message, data, _HEADER_BYTES)
    data[:_HEADER_BYTES] = (len(data) - _HEADER_BYTES).to_bytes(_HEADER_BYTES)
    return bytes(data)


class MessageReader(Generic[M]):
    """Bytes in, whole messages out. What is kept is less than one message of the largest size."""

    def __init__(self, decode: Callable[[bytes], M]) -> None:
        self._decode = decode
        self._buffer = bytearray()

    def read(self, data: bytes) -> list[M]:
        """The messages that ``data`` completes. Raises ``ProtocolError``."""
        buffer = self._buffer
        buffer += data
        messages: list[M] = []
        begin = 0
        while len(buffer) - begin >= _HEADER_BYTES:
            body = begin + _HEADER_BYTES
            size = int.from_bytes(buffer[begin:body])
            if size > MAX_MESSAGE_BYTES:
                raise ProtocolError(f"a message of {size:,} bytes; at most {MAX_MESSAGE_BYTES:,}")
            if len(buffer) < body + size:
                break
            messages.append(self._decode(bytes(buffer[body : body + size])))
            begin = body + size
        del buffer[:begin]
        return messages


def at_runner() -> MessageReader[ToRunnerMessage]:
    """What the agent says, read by the runner."""
    return MessageReader(_to_runner)


def at_agent() -> MessageReader[FromRunnerMessage]:
    """What a runner says, read by the agent."""
    return MessageReader(_from_runner)


def _to_runner(body: bytes) -> ToRunnerMessage:
    try:
        message: ToRunnerMessage = _TO_RUNNER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"bad message to a runner: {error}") from None
    return message


def _from_runner(body: bytes) -> FromRunnerMessage:
    try:
        if body[:1] != _PIECES_MARK:
            message: FromRunnerMessage = _FROM_RUNNER.decode(body)
            return message
        return _PIECES.decode(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise ProtocolError(f"bad message from a runner: {error}") from None
