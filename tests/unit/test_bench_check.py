"""The checker finds planted faults, and nothing in streams that are whole."""

from __future__ import annotations

import pytest

from mesh.bench.check import MAX_PER_STREAM, Fault, StreamCheck
from mesh.stream import Done, Tokens
from mesh.types import FinishReason, ModelId, NodeId, Piece, RequestId

REQUEST = RequestId("0" * 32)


def tokens(first: int, count: int = 1) -> Tokens:
    pieces = tuple(Piece(id=i, text=f"tok{i} ") for i in range(first, first + count))
    return Tokens(first=first, pieces=pieces)


def texts(first: int, *spelled: str) -> Tokens:
    pieces = tuple(Piece(id=first + i, text=text) for i, text in enumerate(spelled))
    return Tokens(first=first, pieces=pieces)


def done(count: int) -> Done:
    return Done(
        reason=FinishReason.STOP,
        node=NodeId("n"),
        node_name="n",
        model=ModelId("m"),
        prompt_tokens=3,
        completion_tokens=count,
        cached_tokens=0,
        ttft_ms=1.0,
        tokens_per_second=1.0,
        resumed=False,
        attempts=1,
        trace_id="",
        queue_ms=0.0,
    )


def checked(*events: Tokens | Done, simulated: bool = True, closed: bool = True) -> StreamCheck:
    check = StreamCheck(REQUEST)
    check.simulated = simulated
    for event in events:
        match event:
            case Tokens():
                check.tokens(event)
            case Done():
                check.done(event)
    if closed:
        check.closed()
    return check


@pytest.mark.parametrize(
    "events",
    [
        (tokens(0, 3), tokens(3), tokens(4, 10), done(14)),
        (done(0),),
        # A text may come with a later piece, as long as it comes.
        (texts(0, "tok0 ", "", "tok1 tok2 "), done(3)),
        (texts(0, "tok0", " tok1 "), done(2)),
    ],
)
def test_a_whole_stream_is_found_whole(events: tuple[Tokens | Done, ...]) -> None:
    assert checked(*events).violations == []


@pytest.mark.parametrize(
    ("events", "fault", "index"),
    [
        ((tokens(0, 3), tokens(4), done(4)), Fault.GAP, 3),
        ((tokens(1), done(1)), Fault.GAP, 0),
        ((tokens(0, 3), tokens(2, 2), done(5)), Fault.DUPLICATE, 2),
        ((tokens(0, 3), tokens(0, 3), done(6)), Fault.DUPLICATE, 0),
        ((tokens(0, 3), done(4)), Fault.COUNT, 3),
        ((tokens(0, 3),), Fault.END, 3),
        ((tokens(0, 3), done(3), tokens(3)), Fault.END, 3),
        ((tokens(0, 3), done(3), done(3)), Fault.END, 3),
    ],
)
@pytest.mark.parametrize("simulated", [False, True])
def test_a_planted_fault_is_found_by_index(
    events: tuple[Tokens | Done, ...], fault: Fault, index: int, simulated: bool
) -> None:
    (found,) = checked(*events, simulated=simulated).violations
    assert (found.fault, found.index, found.request) == (fault, index, REQUEST)


@pytest.mark.parametrize(
    ("events", "index"),
    [
        ((texts(0, "tok0 ", "tok2 "), done(2)), 1),
        ((texts(0, "tok0 ", "tok0 "), done(2)), 1),
        ((texts(0, "tok0 ", ""), done(2)), 2),
        ((Tokens(first=0, pieces=(Piece(id=7, text="tok0 "),)), done(1)), 0),
    ],
)
def test_a_wrong_text_under_right_indices_is_found_by_content(
    events: tuple[Tokens | Done, ...], index: int
) -> None:
    (found,) = checked(*events, simulated=True).violations
    assert (found.fault, found.index) == (Fault.CONTENT, index)
    assert checked(*events, simulated=False).violations == []


def test_a_stream_that_ended_in_an_error_owes_no_end() -> None:
    assert checked(tokens(0, 3), closed=False).violations == []


def test_a_stream_that_is_broken_throughout_is_told_of_a_few_times() -> None:
    check = checked(*(tokens(2 * i) for i in range(1, 100)), done(99))
    assert len(check.violations) == MAX_PER_STREAM
