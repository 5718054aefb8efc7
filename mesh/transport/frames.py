"""The wire format: one frame is ``[type: 1 byte][stream id: 8 bytes, big-endian][body: msgpack]``.

A frame travels as one ZeroMQ message part (behind the routing id on a ROUTER). Stream id 0 is the
session's own; the dialing side numbers its streams upwards from 1 and never reuses a number within
a session. Sizes are capped per type and checked before a body is looked at; bodies are validated
by typed decoders, so what comes out can be used as it is. This module alone knows the bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Annotated, Any, NamedTuple

import msgspec

from mesh.embedding import count_of
from mesh.errors import ProtocolError
from mesh.fleet.records import Heartbeat
from mesh.transport.base import (
    Accepted,
    Attempt,
    AttemptEvent,
    Failed,
    Finished,
    Progress,
    Refused,
    Tokens,
    Vectors,
)
from mesh.types import Piece
from mesh.validation import MAX_TEXTS

HEADER_BYTES = 9
MAX_OPEN_BYTES = 8 * 1024 * 1024
MAX_TOKENS_BYTES = 256 * 1024
MAX_VECTORS_BYTES = 256 * 1024
MAX_OTHER_BYTES = 64 * 1024
MAX_FRAME_BYTES = HEADER_BYTES + MAX_OPEN_BYTES
MAX_CREDIT = 1_000_000  # pieces, of one attempt or one grant
MAX_STREAM = 2**63 - 1
MAX_HOPS = 16
MIN_SILENCE_BEATS = 3  # whoever beats slowly is given at least that many of its own beats
MAX_ERROR_TEXT = 4_096  # characters of a Refused's or Failed's message; the rest is cut off


class FrameType(IntEnum):
    """Append-only: a number is never given a second meaning."""

    HELLO = 1  # dialer -> node, first frame of a session: who I am, which protocol
    WELCOME = 2  # node -> dialer: the session stands
    REJECT = 3  # node -> dialer: handshake refused, with the reason
    PING = 4  # both: still there?
    PONG = 5  # both: yes
    BYE = 6  # both: the session is over (or there is none), with the reason
    OPEN = 7  # dialer -> node: an attempt
    CREDIT = 8  # dialer -> node: that many more pieces may be sent on this stream
    CANCEL = 9  # dialer -> node: end this stream's handler
    ACCEPTED = 10  # node -> dialer: the attempt has a slot
    PROGRESS = 11  # node -> dialer: a sign of life before the first token
    TOKENS = 12  # node -> dialer: consecutive pieces
    FINISHED = 13  # node -> dialer, terminal: good end
    REFUSED = 14  # node -> dialer, terminal: not taken
    FAILED = 15  # node -> dialer, terminal: broke
    HEARTBEAT = 16  # node -> dialer, stream 0: the node's hot signals
    VECTORS = 17  # node -> dialer: vectors of consecutive texts


_Seconds = Annotated[float, msgspec.Meta(gt=0, le=60)]
_Label = Annotated[str, msgspec.Meta(max_length=256)]


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Every field but ``protocol`` has a default, so that another version's greeting still decodes
    and can be answered with a reason. ``heartbeat_s``: seconds between the dialer's pings."""

    protocol: int
    name: _Label = ""
    instance: _Label = ""
    heartbeat_s: _Seconds = 1.0


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """``heartbeat_s``: seconds between the node's own signs of life."""

    protocol: int
    node: _Label
    instance: _Label
    heartbeat_s: _Seconds


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    reason: str


class Bye(msgspec.Struct, frozen=True, kw_only=True):
    reason: str


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    pieces: Annotated[int, msgspec.Meta(gt=0, le=MAX_CREDIT)]


Body = Hello | Welcome | Reject | Bye | Attempt | Credit | AttemptEvent | Heartbeat | None


class Frame(NamedTuple):
    kind: FrameType
    stream: int
    body: Body


class _Form(NamedTuple):
    kind: FrameType
    limit: int  # bytes of the body
    read: Callable[[bytes], Any]


_HEADER = struct.Struct(">BQ")
_ENCODER = msgspec.msgpack.Encoder()


def _read_open(data: bytes) -> Attempt:
    attempt = _ATTEMPT.decode(data)
    if not 0 < len(attempt.request_id) <= 64:
        raise ProtocolError("the request id must have 1 to 64 characters")
    if not 0 <= attempt.credit <= MAX_CREDIT:
        raise ProtocolError(f"credit must be 0 to {MAX_CREDIT}, not {attempt.credit}")
    if not (math.isfinite(attempt.timeout_s) and attempt.timeout_s > 0):
        raise ProtocolError(f"timeout_s must be a positive number, not {attempt.timeout_s}")
    if attempt.number < 0 or len(attempt.hops) > MAX_HOPS:
        raise ProtocolError("attempt number below 0 or too many hops")
    if len(attempt.texts) > MAX_TEXTS or (attempt.texts and attempt.credit != len(attempt.texts)):
        raise ProtocolError(
            f"{len(attempt.texts)} texts to embed come with {attempt.credit} credit"
        )
    return attempt


def _read_vectors(data: bytes) -> Vectors:
    vectors: Vectors = _VECTORS.decode(data)
    if vectors.first < 0:
        raise ProtocolError(f"vectors begin at text {vectors.first}")
    count_of(vectors.data, vectors.dimension)
    return vectors


def _read_heartbeat(data: bytes) -> Heartbeat:
    heartbeat = _HEARTBEAT.decode(data)
    if math.isnan(heartbeat.expected_wait_s) or heartbeat.expected_wait_s < 0:
        raise ProtocolError("expected_wait_s must be a number of seconds, 0 or more")
    for load in heartbeat.models:
        wait = load.expected_wait_s
        if wait is not None and (math.isnan(wait) or wait < 0):
            raise ProtocolError(
                f"expected_wait_s of '{load.model}' must be a number of seconds, 0 or more"
            )
    return heartbeat


def _read_refused(data: bytes) -> Refused:
    refused = _REFUSED.decode(data)
    if refused.retry_after_s is not None and not math.isfinite(refused.retry_after_s):
        raise ProtocolError("retry_after_s must be a finite number of seconds")
    return refused


def _read_nothing(data: bytes) -> None:
    if data:
        raise ProtocolError("a body where none belongs")


def _decoder(kind: Any) -> Callable[[bytes], Any]:
    return msgspec.msgpack.Decoder(kind).decode


_ATTEMPT = msgspec.msgpack.Decoder(Attempt)
_HEARTBEAT = msgspec.msgpack.Decoder(Heartbeat)
_REFUSED = msgspec.msgpack.Decoder(Refused)
_VECTORS = msgspec.msgpack.Decoder(Vectors)
_READERS: dict[FrameType, Callable[[bytes], Any]] = {
    FrameType.HELLO: _decoder(Hello),
    FrameType.WELCOME: _decoder(Welcome),
    FrameType.REJECT: _decoder(Reject),
    FrameType.PING: _read_nothing,
    FrameType.PONG: _read_nothing,
    FrameType.BYE: _decoder(Bye),
    FrameType.OPEN: _read_open,
    FrameType.CREDIT: _decoder(Credit),
    FrameType.CANCEL: _read_nothing,
    FrameType.ACCEPTED: _decoder(Accepted),
    FrameType.PROGRESS: _decoder(Progress),
    FrameType.TOKENS: _decoder(Tokens),
    FrameType.FINISHED: _decoder(Finished),
    FrameType.REFUSED: _read_refused,
    FrameType.FAILED: _decoder(Failed),
    FrameType.HEARTBEAT: _read_heartbeat,
    FrameType.VECTORS: _read_vectors,
}
_LIMITS = {
    FrameType.OPEN: MAX_OPEN_BYTES,
    FrameType.TOKENS: MAX_TOKENS_BYTES,
    FrameType.VECTORS: MAX_VECTORS_BYTES,
}
_FORMS = {
    int(kind): _Form(kind, _LIMITS.get(kind, MAX_OTHER_BYTES), read)
    for kind, read in _READERS.items()
}
_EVENT_TYPES: dict[type, FrameType] = {
    Accepted: FrameType.ACCEPTED,
    Progress: FrameType.PROGRESS,
    Tokens: FrameType.TOKENS,
    Vectors: FrameType.VECTORS,
    Finished: FrameType.FINISHED,
    Refused: FrameType.REFUSED,
    Failed: FrameType.FAILED,
}


def encode(kind: FrameType, stream: int, body: Body = None) -> bytes:
    """The frame's bytes. Raises ``ProtocolError`` when the body is over its type's cap, or holds
    what no wire can carry (a lone surrogate) or what ``decode`` would refuse: a slip of this
    process fails here, in its own stream, and not as a broken protocol at the other end."""
    match body:
        case Tokens():
            return encode_tokens(stream, body.first, body.pieces)
        case None:
            return _HEADER.pack(kind, stream)
        case _:
            data = _encode(kind, stream, body)
            decode(data)
            return data


def encode_event(stream: int, event: AttemptEvent) -> bytes:
    """As ``encode``, with the type taken from the event. Over-long error texts are cut off."""
    match event:
        case Refused(message=message) if len(message) > MAX_ERROR_TEXT:
            event = Refused(
                code=event.code,
                message=message[:MAX_ERROR_TEXT],
                retry_after_s=event.retry_after_s,
            )
        case Failed(message=message) if len(message) > MAX_ERROR_TEXT:
            event = Failed(code=event.code, message=message[:MAX_ERROR_TEXT])
        case _:
            pass
    return encode(_EVENT_TYPES[type(event)], stream, event)


def encode_tokens(stream: int, first: int, pieces: Sequence[Piece]) -> bytes:
    """A TOKENS frame, not read back: this runs for every token. Raises ``ProtocolError`` when it is
    over the cap or no wire can carry it."""
    return _encode(FrameType.TOKENS, stream, (first, pieces))


def _encode(kind: FrameType, stream: int, body: Any) -> bytes:
    try:
        data = _HEADER.pack(kind, stream) + _ENCODER.encode(body)
    except (msgspec.MsgspecError, struct.error, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"{kind.name} cannot be written to the wire: {error}") from None
    limit = _FORMS[kind].limit
    if len(data) - HEADER_BYTES > limit:
        raise ProtocolError(
            f"{kind.name} has {len(data) - HEADER_BYTES} bytes; the limit is {limit}"
        )
    return data


def decode(data: bytes) -> Frame:
    """Reads and validates one frame. Raises ``ProtocolError`` with the reason, and nothing else."""
    if len(data) < HEADER_BYTES:
        raise ProtocolError(f"a frame of {len(data)} bytes is shorter than its header")
    number, stream = _HEADER.unpack_from(data)
    form = _FORMS.get(number)
    if form is None:
        raise ProtocolError(f"frame type {number} is unknown")
    size = len(data) - HEADER_BYTES
    if size > form.limit:
        raise ProtocolError(f"{form.kind.name} has {size} bytes; the limit is {form.limit}")
    if stream > MAX_STREAM:
        raise ProtocolError(f"stream id {stream} is out of range")
    try:
        return Frame(form.kind, stream, form.read(data[HEADER_BYTES:]))
    except ProtocolError as error:
        raise ProtocolError(f"bad {form.kind.name}: {error.message}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError, MemoryError) as error:
        raise ProtocolError(f"bad {form.kind.name}: {error}") from None
