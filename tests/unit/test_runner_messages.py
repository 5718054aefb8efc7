"""Messages between agent and runner: whole however they are cut, refused when they are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ProtocolError
from mesh.types import FinishReason, Message, Piece, Role, Sampling, Usage
from node.runner import messages as m
from node.runner.sequence import Sequence

FROM_RUNNER: list[m.FromRunnerMessage] = [
    m.Opened(sequence=1, prompt_tokens=3),
    m.Pieces(sequence=1, first=0, pieces=(Piece(id=2**32 - 1, text="é"), Piece(id=0, text=""))),
    m.Pieces(sequence=7, first=2, pieces=(Piece(id=5, text="x" * 70_000),)),
    m.Done(
        sequence=1,
        reason=FinishReason.STOP,
        usage=Usage(prompt_tokens=3, completion_tokens=2),
    ),
    m.Closed(sequence=2),
]


@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=20))
def test_messages_come_out_whole_however_the_bytes_are_cut(sizes: list[int]) -> None:
    data = b"".join(map(m.encode, FROM_RUNNER))
    reader, got, at = m.at_agent(), [], 0
    for size in [*sizes, len(data)]:
        got += reader.read(data[at : at + size])
        at += size
    assert got == FROM_RUNNER


OPENING = m.Opening(messages=(), sampling=Sampling(), credit=8)


def test_what_the_agent_says_arrives_as_it_was_said() -> None:
    said: list[m.ToRunnerMessage] = [
        m.Open(
            sequence=1,
            opening=m.Opening(
                messages=(Message.of(Role.USER, "ünï"),),
                sampling=Sampling(stop=("x",)),
                credit=4,
                delivered=(Piece(id=1, text="a"),),
                tokenizer_hash="tok",
            ),
        ),
        m.Credit(sequence=1, pieces=4),
        m.Cancel(sequence=1),
    ]
    assert m.at_runner().read(b"".join(map(m.encode, said))) == said


@pytest.mark.parametrize(
    ("made_by", "own", "by_ids"),
    [("tok", "tok", True), ("tok", "other", False), ("tok", "", False), ("", "tok", False)],
)
def test_ids_are_good_for_the_tokenizer_that_made_them(
    made_by: str, own: str, by_ids: bool
) -> None:
    opening = m.Opening(messages=(), sampling=Sampling(), credit=1, tokenizer_hash=made_by)
    assert opening.by_ids(own) is by_ids


def test_two_tokenizers_that_nobody_knows_are_not_the_same_one() -> None:
    assert not OPENING.by_ids("")


async def test_a_resume_expects_the_pieces_after_those_delivered() -> None:
    delivered = (Piece(id=0, text="a"), Piece(id=1, text="b"))
    opening = m.Opening(messages=(), sampling=Sampling(), credit=8, delivered=delivered)
    sequence = Sequence(1, opening, send=lambda _: None)
    with pytest.raises(ProtocolError):
        sequence.put(m.Pieces(sequence=1, first=0, pieces=delivered))
    sequence.put(m.Pieces(sequence=1, first=2, pieces=delivered))
    assert isinstance(await anext(sequence), m.Pieces)


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(4) + body


@pytest.mark.parametrize(
    "data",
    [
        (m.MAX_MESSAGE_BYTES + 1).to_bytes(4),
        _framed(b""),
        _framed(b"\xc1"),
        _framed(b"\x80"),
        _framed(b"\x93\x01\x00\x91\x91\x01"),  # an id without its text
        _framed(b"\x93\x01\x00\x91\x92\xa1x\xa1x"),  # an id that is none
        _framed(b"\x94\x01\x00\x90\x90"),
    ],
)
def test_what_is_no_message_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        m.at_agent().read(data)


def test_grants_reach_the_runner_together_and_before_it_stands_still() -> None:
    sent: list[m.ToRunner] = []
    sequence = Sequence(1, OPENING, send=sent.append)
    allowed = 8
    for number in range(100):
        assert number < allowed, "the runner stands still"
        sequence.put(m.Pieces(sequence=1, first=number, pieces=(Piece(id=number, text="x"),)))
        sequence.grant(1)
        allowed = 8 + sum(grant.pieces for grant in sent if isinstance(grant, m.Credit))
        assert allowed - (number + 1) <= 8, "more than was granted"
    assert len(sent) <= 26


async def test_pieces_that_wait_for_their_reader_are_read_as_one_event() -> None:
    sequence = Sequence(1, OPENING, send=lambda _: None)
    for event in FROM_RUNNER[:1]:
        sequence.put(event)  # type: ignore[arg-type]
    for number in range(3):
        sequence.put(m.Pieces(sequence=1, first=number, pieces=(Piece(id=number, text="x"),)))
    assert await anext(sequence) == FROM_RUNNER[0]
    merged = await anext(sequence)
    assert isinstance(merged, m.Pieces)
    assert (merged.first, [piece.id for piece in merged.pieces]) == (0, [0, 1, 2])
