"""The text assembler: one piece a token, valid UTF-8, stop strings never delivered."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.types import Piece
from node.runner.text import TextAssembler


def run(chunks: list[bytes], stop: tuple[str, ...] = ()) -> tuple[list[Piece], bool]:
    """All pieces of tokens 0, 1, 2, … with these bytes, as the runner would send them."""
    text = TextAssembler(stop)
    pieces: list[Piece] = []
    for token, data in enumerate(chunks):
        pieces += text.push(token, data)
        if text.stopped:
            return pieces, True
    return [*pieces, *text.flush()], False


def joined(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def first_complete_stop(text: str, stop: tuple[str, ...]) -> int | None:
    """Where the stop string begins that is complete first; the longer one at a tie."""
    places = [(text.find(s) + len(s), text.find(s)) for s in stop if s and s in text]
    return min(places)[1] if places else None


@st.composite
def cut_bytes(draw: st.DrawFn) -> list[bytes]:
    """Bytes cut into tokens anywhere, empty tokens included; mostly text, sometimes garbage."""
    text = draw(st.text(alphabet="ab€é\U0001f600x", max_size=30)).encode()
    data = text if draw(st.booleans()) else text + draw(st.binary(max_size=6))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    bounds = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


STOPS = st.lists(st.text(alphabet="ab€x", min_size=1, max_size=4), max_size=3).map(tuple)


@given(cut_bytes(), STOPS)
def test_text_is_what_precedes_the_first_stop_string_wherever_tokens_are_cut(
    chunks: list[bytes], stop: tuple[str, ...]
) -> None:
    whole = b"".join(chunks).decode("utf-8", "replace")
    pieces, stopped = run(chunks, stop)
    place = first_complete_stop(whole, stop)
    assert stopped == (place is not None)
    assert joined(pieces) == (whole if place is None else whole[:place])


@given(cut_bytes(), STOPS)
def test_every_token_becomes_exactly_one_piece_in_order(
    chunks: list[bytes], stop: tuple[str, ...]
) -> None:
    pieces, stopped = run(chunks, stop)
    assert [piece.id for piece in pieces] == list(range(len(pieces)))
    assert stopped or len(pieces) == len(chunks)


@given(cut_bytes(), STOPS)
def test_what_has_left_is_always_a_prefix_of_the_final_text(
    chunks: list[bytes], stop: tuple[str, ...]
) -> None:
    final = joined(run(chunks, stop)[0])
    text, sent = TextAssembler(stop), ""
    for token, data in enumerate(chunks):
        sent += joined(list(text.push(token, data)))
        assert final.startswith(sent)
        assert sent.encode("utf-8").decode("utf-8") == sent
        if text.stopped:
            break


@given(cut_bytes(), STOPS, st.integers(0, 12))
def test_a_resume_after_any_piece_goes_on_without_gap_or_repeat(
    chunks: list[bytes], stop: tuple[str, ...], cut: int
) -> None:
    pieces, stopped = run(chunks, stop)
    if not stopped and cut >= len(pieces):
        return  # all of it was delivered: nothing is left to resume
    delivered = joined(pieces[:cut])
    text = TextAssembler(stop, delivered=delivered, spelled=b"".join(chunks[:cut]))
    again: list[Piece] = []
    for token, data in enumerate(chunks[cut:], cut):
        if text.stopped:
            break
        again += text.push(token, data)
    again += text.flush()
    assert text.stopped == stopped
    assert delivered + joined(again) == joined(pieces)
    assert [piece.id for piece in again] == [piece.id for piece in pieces[cut:]]


@pytest.mark.parametrize(
    ("chunks", "stop", "texts"),
    [
        ([b"he", b"llo"], (), ["he", "llo"]),
        ([b"\xe2", b"\x82", b"\xac!"], (), ["", "", "€!"]),
        ([b"\xe2", b"x"], (), ["", "\ufffdx"]),
        ([b"a\xe2\x82"], (), ["a\ufffd"]),
        ([b"", b"a", b""], (), ["", "a", ""]),
        ([b"ab", b"cST", b"OP", b"d"], ("STOP",), ["ab", "c", ""]),
        ([b"abS", b"Tx"], ("STOP",), ["abS", "Tx"]),
        ([b"abST"], ("STOP",), ["abST"]),
        ([b"STOP"], ("STOP",), [""]),
        ([b"abc"], ("abc", "b"), ["a"]),
        ([b"aab", b"c"], ("abc",), ["a", ""]),
    ],
)
def test_texts_of_pieces(chunks: list[bytes], stop: tuple[str, ...], texts: list[str]) -> None:
    assert [piece.text for piece in run(chunks, stop)[0]] == texts


def test_a_stop_string_that_began_in_delivered_text_still_stops() -> None:
    text = TextAssembler(("STOP",), delivered="say ST")
    assert [piece.text for piece in text.push(0, b"OP")] == [""]
    assert text.stopped


def test_a_stop_string_that_was_complete_when_the_stream_broke_ends_the_resume_at_once() -> None:
    assert TextAssembler(("STOP",), delivered="say ", spelled=b"say STOP").stopped


def test_text_that_was_held_when_the_stream_broke_comes_with_the_next_piece() -> None:
    text = TextAssembler(("STOP",), delivered="say ", spelled=b"say ST")
    assert [piece.text for piece in text.push(0, b"AND")] == ["STAND"]


def test_an_open_stop_string_is_held_and_nothing_else() -> None:
    text = TextAssembler(("\n\n",))
    assert [p.text for p in text.push(0, b"one")] == ["one"]
    assert text.push(1, b"two\n") == ()
    assert text.held == 1
    assert [p.text for p in text.push(2, b"three")] == ["two\n", "three"]


def test_text_that_has_left_is_forgotten() -> None:
    text = TextAssembler(("STOP",))
    for token in range(10_000):
        text.push(token, b"word ")
    assert len(text._text) < 64
