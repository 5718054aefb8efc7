"""The wire is msgpack as anybody reads and writes it: the `msgpack` package is the reference."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest

from mesh.transport import frames
from mesh.transport.base import Tokens
from mesh.transport.frames import HEADER_BYTES, Frame, FrameType
from mesh.types import Piece
from node.runner import messages
from tests.unit.test_frames import EXAMPLES

WITH_BODY = [(kind, body) for kind, body in EXAMPLES if body is not None]


@pytest.mark.parametrize(("kind", "body"), WITH_BODY)
def test_the_reference_reads_what_a_frame_says(kind: FrameType, body: Any) -> None:
    read = msgpack.unpackb(frames.encode(kind, 7, body)[HEADER_BYTES:])
    assert read == _plain(body)


@pytest.mark.parametrize(("kind", "body"), WITH_BODY)
def test_a_frame_that_the_reference_wrote_is_read(kind: FrameType, body: Any) -> None:
    header = bytes([kind]) + (7).to_bytes(8)
    assert frames.decode(header + msgpack.packb(_plain(body))) == Frame(kind, 7, body)


def test_pieces_are_pairs_of_an_id_and_a_text() -> None:
    pieces = (Piece(id=7, text="a"), Piece(id=2**32 - 1, text="é"))
    said = frames.encode(FrameType.TOKENS, 1, Tokens(first=3, pieces=pieces))
    assert said[:HEADER_BYTES] == b"\x0c" + bytes(7) + b"\x01"
    assert msgpack.unpackb(said[HEADER_BYTES:]) == [3, [[7, "a"], [2**32 - 1, "é"]]]
    between = messages.encode(messages.Pieces(sequence=5, first=3, pieces=pieces))
    assert int.from_bytes(between[:4]) == len(between) - 4
    assert msgpack.unpackb(between[4:]) == [5, 3, [[7, "a"], [2**32 - 1, "é"]]]


def _plain(body: Any) -> Any:
    """Maps, lists, texts and numbers: what any msgpack library speaks of."""
    return _listed(msgspec.to_builtins(body, builtin_types=(bytes,)))


def _listed(value: Any) -> Any:
    match value:
        case dict():
            return {key: _listed(each) for key, each in value.items()}
        case list() | tuple():
            return [_listed(each) for each in value]
    return value
