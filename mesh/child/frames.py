"""Messages between a parent and its child: msgpack, each with its length in front, decoded straight
into its type by ``msgspec``. No side keeps or decodes more than the largest message it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from mesh.errors import ProtocolError

HEADER_BYTES = 4  # the body's length, big-endian
READ_BYTES = 256 * 1024  # at once

M = TypeVar("M")
_ENCODER = msgspec.msgpack.Encoder()


class Gone(Exception):
    """The other side has ended, or closed its socket."""


def encode(message: object, max_bytes: int) -> bytes:
    """The message with its length in front. Raises ``ProtocolError`` for one of more than
    ``max_bytes``, ``UnicodeEncodeError`` for text that is none."""
    data = bytearray(HEADER_BYTES)
    _ENCODER.encode_into(message, data, HEADER_BYTES)
    size = len(data) - HEADER_BYTES
    _check(size, max_bytes)
    data[:HEADER_BYTES] = size.to_bytes(HEADER_BYTES)
    return bytes(data)


class FrameReader(Generic[M]):
    """Bytes in, whole messages out. What is kept is less than one message of the largest size.

    ``decode`` makes a message of a body, or raises what ``msgspec`` does or ``ValueError``;
    ``direction`` is for errors, such as "from a runner".
    """

    def __init__(self, decode: Callable[[bytes], M], direction: str, max_bytes: int) -> None:
        self._decode = decode
        self._direction = direction
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def read(self, data: bytes) -> list[M]:
        """The messages that ``data`` completes. Raises ``ProtocolError``."""
        buffer = self._buffer
        buffer += data
        messages: list[M] = []
        begin = 0
        while len(buffer) - begin >= HEADER_BYTES:
            body = begin + HEADER_BYTES
            size = int.from_bytes(buffer[begin:body])
            _check(size, self._max_bytes)
            if len(buffer) < body + size:
                break
            try:
                messages.append(self._decode(bytes(buffer[body : body + size])))
            except (msgspec.DecodeError, ValueError) as error:
                raise ProtocolError(f"bad message {self._direction}: {error}") from None
            begin = body + size
        del buffer[:begin]
        return messages


def _check(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise ProtocolError(f"a message of {size:,} bytes; at most {max_bytes:,}")
