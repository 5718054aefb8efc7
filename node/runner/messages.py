"""What agent and runner say to each other: msgpack maps over a Unix socket pair.

Written with ``msgpack`` (its streaming ``Unpacker`` with a size limit splits the stream), typed by
``msgspec``. A sequence is named by ``sequence``, a number the agent never reuses for one runner.
"""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec

from mesh.errors import ProtocolError
from mesh.types import FinishReason, Message, Piece, Sampling, Usage
from node.engines.base import ModelFacts, ModelSpec

MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class ToRunner(msgspec.Struct, frozen=True, kw_only=True, tag_field="t"):
    """Agent -> runner."""


class Load(ToRunner, frozen=True, kw_only=True, tag="load"):
    engine: str
    spec: ModelSpec


class Open(ToRunner, frozen=True, kw_only=True, tag="open"):
    """``delivered``: pieces a resume starts after; ``by_ids``: their ids are this tokenizer's."""

    sequence: int
    messages: tuple[Message, ...]
    sampling: Sampling
    credit: int
    delivered: tuple[Piece, ...] = ()
    by_ids: bool = True
    traceparent: str = ""


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
    """The sequence cannot be served as asked (context overflow, bad parameters)."""

    sequence: int
    code: str
    message: str


class Prefill(FromRunner, frozen=True, kw_only=True, tag="prefill"):
    sequence: int
    done: int
    total: int


class Pieces(FromRunner, frozen=True, kw_only=True, tag="pieces"):
    sequence: int
    first: int
    pieces: tuple[Piece, ...]


class Done(FromRunner, frozen=True, kw_only=True, tag="done"):
    sequence: int
    reason: FinishReason
    usage: Usage


class Closed(FromRunner, frozen=True, kw_only=True, tag="closed"):
    """A cancelled sequence's slot is free."""

    sequence: int


class Broken(FromRunner, frozen=True, kw_only=True, tag="broken"):
    """The engine is lost; the runner exits after this."""

    message: str


ToRunnerMessage = Load | Open | Credit | Cancel | Shutdown
FromRunnerMessage = (
    Loading | Loaded | LoadFailed | Opened | Rejected | Prefill | Pieces | Done | Closed | Broken
)


def encode(message: ToRunner | FromRunner) -> bytes:
    return msgspec.msgpack.encode(message)


def unpacker() -> msgpack.Unpacker:
    """Feed it bytes, iterate objects. A message over the limit raises ``msgpack.BufferFull``."""
    return msgpack.Unpacker(raw=False, max_buffer_size=MAX_MESSAGE_BYTES)


def to_runner(data: Any) -> ToRunnerMessage:
    """Raises ``ProtocolError``."""
    try:
        message: ToRunnerMessage = msgspec.convert(data, ToRunnerMessage)
        return message
    except msgspec.ValidationError as error:
        raise ProtocolError(f"bad message to a runner: {error}") from None


def from_runner(data: Any) -> FromRunnerMessage:
    """Raises ``ProtocolError``."""
    try:
        message: FromRunnerMessage = msgspec.convert(data, FromRunnerMessage)
        return message
    except msgspec.ValidationError as error:
        raise ProtocolError(f"bad message from a runner: {error}") from None
