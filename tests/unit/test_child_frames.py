"""Frames between parent and child: whole however they are cut, refused when they are wrong, and a
child's side of the socket that carries them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.child.frames import HEADER_BYTES, FrameReader, Gone, encode
from mesh.child.parent import Parent
from mesh.errors import ProtocolError

MAX_BYTES = 20  # of a body


def reader() -> FrameReader[str]:
    return FrameReader(msgspec.msgpack.Decoder(str).decode, "of a test", MAX_BYTES)


@given(st.lists(st.text(max_size=4), max_size=8), st.lists(st.integers(1, 9)))
def test_messages_come_out_whole_however_the_bytes_are_cut(
    said: list[str], sizes: list[int]
) -> None:
    data = b"".join(encode(each, MAX_BYTES) for each in said)
    read, got = reader(), []
    for size in [*sizes, len(data)]:
        got += read.read(data[:size])
        data = data[size:]
    assert got == said


def test_half_a_frame_is_no_message_until_the_rest_comes() -> None:
    read, data = reader(), encode("hello", MAX_BYTES)
    assert read.read(data[:3]) == []
    assert read.read(data[3:-1]) == []
    assert read.read(data[-1:]) == ["hello"]


def test_a_frame_is_its_length_and_its_body() -> None:
    assert encode("é", MAX_BYTES) == b"\x00\x00\x00\x03" + msgspec.msgpack.encode("é")


def test_the_largest_message_passes_and_a_larger_one_is_neither_written_nor_read() -> None:
    largest = "x" * (MAX_BYTES - 1)
    assert reader().read(encode(largest, MAX_BYTES)) == [largest]
    with pytest.raises(ProtocolError, match="21 bytes; at most 20"):
        encode(largest + "x", MAX_BYTES)
    with pytest.raises(ProtocolError, match="21 bytes; at most 20"):
        reader().read((MAX_BYTES + 1).to_bytes(HEADER_BYTES))  # by its header, before its body


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x05", b"\xa1\xff", b"\xa5x", b"\xa1xx"])
def test_what_is_no_message_is_an_error_that_names_its_direction(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="bad message of a test: "):
        reader().read(len(body).to_bytes(HEADER_BYTES) + body)


def test_text_that_is_none_is_not_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode("\ud800", MAX_BYTES)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Parent[str, str]]]:
    """The parent's end of the socket, and what the child has of its own."""
    ours, theirs = socket.socketpair()
    ours.settimeout(20.0)
    with ours, theirs:
        yield ours, Parent(theirs, reader(), lambda word: encode(word, MAX_BYTES))


Ends = tuple[socket.socket, Parent[str, str]]


def test_mail_is_read_in_order_and_mail_that_is_not_here_is_not_waited_for(ends: Ends) -> None:
    ours, parent = ends
    assert list(parent.mail_now()) == []
    ours.sendall(encode("a", MAX_BYTES) + encode("b", MAX_BYTES) + encode("c", MAX_BYTES)[:-1])
    assert next(parent.mail()) == "a"
    assert list(parent.mail_now()) == ["b"], "the third is not whole"
    ours.sendall(encode("c", MAX_BYTES)[-1:])
    assert next(parent.mail()) == "c"


def test_what_is_sent_leaves_with_a_flush_together(ends: Ends) -> None:
    ours, parent = ends
    parent.send("a")
    parent.send("b")
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        ours.recv(100)
    parent.flush()
    assert ours.recv(100) == encode("a", MAX_BYTES) + encode("b", MAX_BYTES)
    parent.flush()
    with pytest.raises(BlockingIOError):
        ours.recv(100)


@pytest.mark.parametrize("before", [b"", b"\x00\x00"], ids=["clean", "half a frame"])
def test_a_parent_that_is_gone_ends_reading_and_writing(ends: Ends, before: bytes) -> None:
    ours, parent = ends
    ours.sendall(before)
    ours.close()
    with pytest.raises(Gone):
        next(parent.mail())
    with pytest.raises(Gone):
        list(parent.mail_now())
    parent.send("a")
    with pytest.raises(Gone):
        parent.flush()


def test_a_parent_that_is_gone_with_mail_unread_is_gone_alike(ends: Ends) -> None:
    ours, parent = ends
    parent.send("never read")
    parent.flush()
    ours.close()  # the system tells of it by an error, not by an end
    with pytest.raises(Gone):
        next(parent.mail())


def test_garbage_from_the_parent_is_an_error(ends: Ends) -> None:
    ours, parent = ends
    ours.sendall(b"\xff" * 8)
    with pytest.raises(ProtocolError, match="at most"):
        next(parent.mail())
