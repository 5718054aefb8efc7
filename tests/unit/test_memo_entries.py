"""The bytes that a process remembers: encoding, limits, order of going."""

from __future__ import annotations

import os
import random
import tracemalloc
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.clock import ManualClock
from mesh.errors import ConfigError
from mesh.types import FinishReason, ModelId, NodeId, Piece, Specialty
from orchestrator.memo.base import Remembered
from orchestrator.memo.choice import memo_of
from orchestrator.memo.codec import VERSION, decode, encode
from orchestrator.memo.entries import ENTRY_BYTES, Entries
from orchestrator.memo.in_process import InProcessMemo
from orchestrator.memo.settings import MemoSettings

ANSWER = Remembered(
    specialty=Specialty("math"),
    pieces=(Piece(id=0, text="fo"), Piece(id=2**32 - 1, text=""), Piece(id=5, text="ur 🙂")),
    reason=FinishReason.LENGTH,
    model=ModelId("toy-math"),
    node=NodeId("n1"),
    node_name="attic",
    tokenizer_hash="abc",
    prompt_tokens=7,
    kept_at=1_700_000_000.25,
)


def spoiled(**changes: object) -> bytes:
    """As a broken or foreign writer would encode it."""
    fields = {
        "specialty": "math",
        "reason": "stop",
        "model": "m",
        "node": "n",
        "node_name": "attic",
        "tokenizer_hash": "",
        "prompt_tokens": 1,
        "kept_at": 1.0,
        "ids": [1],
        "texts": ["a"],
    }
    return bytes([VERSION]) + msgspec.msgpack.encode(list((fields | changes).values()))


def test_an_answer_survives_its_encoding() -> None:
    assert decode(encode(ANSWER)) == ANSWER
    assert decode(spoiled()) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        bytes([VERSION]),
        b"hello",
        b'{"answer": 42}',
        encode(ANSWER)[1:],
        encode(ANSWER)[:-1],
        encode(ANSWER) + b"\0",
        bytes([VERSION + 1]) + encode(ANSWER)[1:],
        spoiled(ids=[]),
        spoiled(ids=[], texts=[]),
        spoiled(ids=[1, 2]),
        spoiled(ids=[-1]),
        spoiled(ids=[2**32]),
        spoiled(ids=["1"]),
        spoiled(ids=[True]),
        spoiled(texts=[b"a"]),
        spoiled(texts=[None]),
        spoiled(specialty="Not A Name"),
        spoiled(specialty=""),
        spoiled(reason="lost"),
        spoiled(prompt_tokens=-1),
        spoiled(prompt_tokens=2**40),
        spoiled(kept_at=float("nan")),
        spoiled(kept_at=float("inf")),
        spoiled(extra=1),
        bytes([VERSION]) + b"\x91" * 100_000,  # nested a hundred thousand deep
        bytes([VERSION]) + b"\xdd\xff\xff\xff\xff",  # an array of four thousand million
        bytes([VERSION]) + b"\x9a\xa4\xff\xff\xff\xff",  # no UTF-8
    ],
)
def test_what_is_no_answer_of_ours_is_none(data: bytes) -> None:
    assert decode(data) is None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_garbage_never_raises(data: bytes) -> None:
    assert decode(data) is None or data[:1] == bytes([VERSION])
    decode(bytes([VERSION]) + data)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_flipped_byte_gives_an_answer_that_can_be_sent_or_none(place: int, value: int) -> None:
    data = bytearray(encode(ANSWER))
    data[place % len(data)] = value
    found = decode(bytes(data))
    if found is not None:
        assert found.pieces
        assert all(0 <= piece.id < 2**32 for piece in found.pieces)
        assert "".join(piece.text for piece in found.pieces).encode()


def test_the_least_recently_used_makes_room() -> None:
    entries = Entries(3 * (ENTRY_BYTES + 10))
    for key in (b"a", b"b", b"c"):
        assert entries.put(key, b"0123456789", 100.0)
    assert entries.get(b"a", 0.0) == b"0123456789"
    assert entries.put(b"d", b"0123456789", 100.0)
    assert [entries.get(key, 0.0) is not None for key in (b"a", b"b", b"c", b"d")] == [
        True,
        False,
        True,
        True,
    ]
    assert (len(entries), entries.evicted) == (3, 1)


def test_one_that_fits_nowhere_is_refused_and_its_older_self_is_gone() -> None:
    entries = Entries(ENTRY_BYTES + 10)
    assert entries.put(b"a", b"0123456789", 100.0)
    assert not entries.put(b"a", b"0123456789x", 100.0)
    assert entries.get(b"a", 0.0) is None
    assert entries.bytes == 0


def test_no_room_at_all_holds_nothing() -> None:
    entries = Entries(0)
    assert not entries.put(b"a", b"", 100.0)
    assert len(entries) == 0


def test_bytes_are_those_of_what_is_held_whatever_happens() -> None:
    chance = random.Random(3)
    entries = Entries(20_000)
    held: dict[bytes, int] = {}
    for step in range(3_000):
        key = bytes([chance.randrange(60)])
        if chance.random() < 0.5:
            entries.put(key, bytes(chance.randrange(900)), step + chance.uniform(1, 200))
        else:
            entries.get(key, float(step))
        assert entries.bytes <= 20_000
    for key in (bytes([number]) for number in range(60)):
        data = entries.get(key, 0.0)
        if data is not None:
            held[key] = len(data)
    assert entries.bytes == sum(held.values()) + ENTRY_BYTES * len(held)
    assert entries.evicted > 0
    assert entries.expired > 0


@pytest.mark.parametrize(("count", "tokens"), [(1_000, 5), (3_000, 40), (6_000, 12), (400, 400)])
async def test_bytes_counted_are_within_30_percent_of_real_memory(count: int, tokens: int) -> None:
    memo = InProcessMemo(MemoSettings(max_bytes=2**30), ManualClock())
    pieces = tuple(Piece(id=300 + n, text=f" w{n}") for n in range(tokens))
    answer = replace(ANSWER, pieces=pieces)
    await memo.keep(os.urandom(32), answer)  # what is made once, and not for each answer
    counted = memo.counts.bytes
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(count):
            await memo.keep(os.urandom(32), answer)
        real = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.7 < (memo.counts.bytes - counted) / real < 1.3


@pytest.mark.parametrize(
    "url",
    ["", "localhost:6379", "http://localhost", "redis://h:99999999", "redis://h?no_such_option=1"],
)
def test_a_url_that_is_no_redis_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ConfigError, match=r"router\.memo\.redis"):
        memo_of(MemoSettings(redis=url), ManualClock())


def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        memo_of(MemoSettings(redis="redis://:hush@h/0?no_such_option=1"), ManualClock())
    assert "hush" not in caught.value.message
