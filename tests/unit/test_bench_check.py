"""The checker finds planted faults, and nothing in streams that are whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.bench.check import MAX_PER_STREAM, Fault, StreamCheck
from mesh.stream import Assigned, Done, Resume, Tokens
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


def by(model: str, specialty: str = "math", weights: str = "") -> Assigned:
    return Assigned(
        node=NodeId("n"),
        node_name="n",
        model=ModelId(model),
        attempt=1,
        specialty=specialty,
        weights=weights,
    )


def went_on(model: str, *, same: bool) -> Done:
    mark = Resume(
        from_node="n",
        to_node="n",
        at_token=1,
        gap_ms=1.0,
        reason="node_lost",
        from_model="m",
        to_model=model,
        same_weights=same,
    )
    return replace(done(2), resumed=True, resumes=(mark,))


@pytest.mark.parametrize(
    ("first", "second", "end", "faults"),
    [
        (by("m"), by("m"), done(2), 0),
        (by("m"), by("other"), went_on("other", same=False), 0),
        (by("m"), by("other"), went_on("other", same=True), 1),
        (by("m"), by("other"), done(2), 1),
        (by("m", weights="w"), by("other", weights="w"), done(2), 0),
        (by("m", weights="w"), by("m", weights="v"), done(2), 1),
        (by("m"), by("m", "chat"), done(2), 1),
        (by("m"), by("other", "chat"), done(2), 2),
        (by("m", ""), by("m", "chat"), done(2), 0),
    ],
)
def test_who_finishes_a_sentence_is_checked(
    first: Assigned, second: Assigned, end: Done, faults: int
) -> None:
    check = StreamCheck(REQUEST)
    for event in (first, first, tokens(0), second, tokens(1)):
        check.assigned(event) if isinstance(event, Assigned) else check.tokens(event)
    check.done(end)
    assert [each.fault for each in check.violations] == [Fault.AUTHOR] * faults


def test_whoever_was_asked_before_the_first_token_has_no_part_in_it() -> None:
    check = StreamCheck(REQUEST)
    for who in (by("m"), by("other", "chat")):
        check.assigned(who)
    check.tokens(tokens(0))
    check.done(done(1))
    assert not check.violations
