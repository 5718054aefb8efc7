"""What a client has of an answer, and what it asks for when whoever began it is lost."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.client.begun import Begun
from mesh.errors import DeadlineExceeded, NotResumable, ProtocolError, Unreachable
from mesh.stream import Assigned, Decided, Done, Progress, Resume, Tokens
from mesh.types import (
    Decision,
    FinishReason,
    Message,
    ModelId,
    NodeId,
    Piece,
    Request,
    RequestId,
    Role,
    Specialty,
)

ID = RequestId("0" * 32)
LOST = Unreachable("the connection was lost")


def begun(**given: Any) -> Begun:
    asked = Request(id=ID, messages=(Message.of(Role.USER, "hi"),), **given)
    return Begun(request=asked, started=10.0)


def decided() -> Decided:
    decision = Decision(specialty=Specialty("math"), stage="rules", rule=None, confidence=1.0)
    return Decided(request_id=ID, decision=decision)


def assigned(name: str, attempt: int, tokenizer: str = "t") -> Assigned:
    return Assigned(
        node=NodeId(f"node-{name}"),
        node_name=name,
        model=ModelId("toy"),
        attempt=attempt,
        tokenizer_hash=tokenizer,
    )


def tokens(first: int, count: int = 1) -> Tokens:
    return Tokens(
        first=first, pieces=tuple(Piece(id=i, text=f"w{i} ") for i in range(first, first + count))
    )


def done(**given: Any) -> Done:
    fields: dict[str, Any] = {
        "reason": FinishReason.STOP,
        "node": NodeId("node-b"),
        "node_name": "b",
        "model": ModelId("toy"),
        "prompt_tokens": 1,
        "completion_tokens": 5,
        "cached_tokens": 0,
        "ttft_ms": 1.0,
        "tokens_per_second": 1.0,
        "resumed": False,
        "attempts": 1,
        "trace_id": "",
        "queue_ms": 0.0,
    }
    return Done(**(fields | given))


def test_an_answer_without_a_loss_is_passed_on_as_it_is() -> None:
    answer = begun()
    events = [decided(), Progress(phase="queued"), assigned("a", 1), tokens(0, 5), done()]
    assert [answer.take(event, 11.0) for event in events] == events


def test_the_rest_is_asked_for_as_the_same_answer() -> None:
    answer = begun(timeout_s=20.0)
    for event in (decided(), assigned("a", 2), tokens(0, 3)):
        answer.take(event, 11.0)
    answer.broke(LOST, 12.0)
    rest = answer.rest(LOST, 15.0)
    assert rest.timeout_s == 15.0
    found = rest.continuation
    assert found is not None
    assert found.pieces == tokens(0, 3).pieces
    assert (found.tokenizer_hash, found.attempts) == ("t", 2)
    assert (found.specialty, found.model) == ("math", "toy")
    with pytest.raises(DeadlineExceeded, match="3 tokens were delivered"):
        answer.rest(LOST, 30.0)


def test_what_the_next_sender_says_joins_what_came_before() -> None:
    answer = begun()
    for event in (decided(), assigned("a", 1), tokens(0, 3)):
        answer.take(event, 11.0)
    answer.broke(LOST, 12.0)
    assert answer.take(decided(), 12.1) is None, "one answer, one decision"
    assert answer.take(Progress(phase="queued"), 12.1) is None
    answer.take(assigned("b", 2, "other"), 12.2)
    assert answer.take(tokens(3, 2), 12.5) == tokens(3, 2)
    later = Resume(from_node="b", to_node="c", at_token=4, gap_ms=1.0, reason="node_lost")
    end = answer.take(done(resumes=(later,), attempts=3), 13.0)
    assert isinstance(end, Done)
    assert end.resumed
    assert end.resumes == (
        Resume(
            from_node="a",
            to_node="b",
            at_token=3,
            gap_ms=1500.0,
            reason="unreachable",
            from_model="toy",
            to_model="toy",
            same_weights=True,
            by_ids=False,
        ),
        later,
    )
    assert (end.completion_tokens, end.attempts, end.ttft_ms) == (5, 3, 1000.0)
    assert answer.delivery.tokenizer == "", "ids of two tokenizers mean nothing together"


def test_before_the_decision_the_request_is_asked_again_as_it_was() -> None:
    answer = begun()
    answer.broke(LOST, 11.0)
    assert answer.rest(LOST, 11.0) == answer.request


def test_what_may_not_be_resumed_may_start_again_and_nothing_else() -> None:
    answer = begun(resumable=False)
    answer.take(decided(), 11.0)
    assert answer.rest(LOST, 11.0).continuation is not None
    answer.take(tokens(0), 11.0)
    with pytest.raises(NotResumable, match="1 tokens were delivered"):
        answer.rest(LOST, 11.0)


@pytest.mark.parametrize("first", [0, 2], ids=["repetition", "gap"])
def test_a_stream_that_is_wrong_is_shown_as_it_is_and_nothing_goes_on_after_it(first: int) -> None:
    answer = begun()
    answer.take(tokens(0), 11.0)
    assert answer.take(tokens(first), 11.0) == tokens(first)
    with pytest.raises(ProtocolError, match="did not follow on"):
        answer.rest(LOST, 11.0)
