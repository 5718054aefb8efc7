"""What a refusal or a failure means for the next attempt: who is asked, and who is blamed."""

from __future__ import annotations

import pytest

from mesh.errors import (
    AttemptFailed,
    CannotAnswer,
    ContextOverflow,
    Draining,
    EngineFailed,
    InvalidRequest,
    NoCandidate,
    NodeLost,
    NotResumable,
)
from mesh.types import Continuation, ModelId
from orchestrator.attempts.failover import MOST_ATTEMPTS
from orchestrator.slots.queue import RECOVERY_S
from tests.attempt_rig import NOBODY, FakeNode, Reading, Rig, rig, word


async def started(here: Rig, *signs: int, **given: object) -> Reading:
    """A request whose first attempt, on the first node, is accepted and brings so many tokens."""
    asked = here.ask(**given)  # type: ignore[arg-type]
    await here.settle()
    stream = here.fleet.nodes[0].stream
    stream.accept()
    for count in signs:
        stream.tokens(count)
    await here.settle()
    return asked


@pytest.mark.parametrize("code", ["overloaded", "draining"])
async def test_overload_is_no_failure_and_its_node_may_be_asked_again(code: str) -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask()
        await here.settle()
        a.stream.refuse(code, retry_after_s=0.4)
        await here.settle()
        assert here.fleet.said == [("refused", "a", a.model, 0.4)]
        assert here.fleet.taken[-1].exclude == frozenset()
        assert len(a.streams) == 2, "the fake has a slot at once"
        a.stream.accept()
        a.stream.finish()
        await here.settle()
        assert asked.done.attempts == 1, "refusals are not counted"


@pytest.mark.parametrize("code", ["unknown_model", "internal", "something_newer"])
async def test_any_other_refusal_is_not_asked_for_twice(code: str) -> None:
    async with rig(a := FakeNode("a", slots=9), b := FakeNode("b")) as here:
        here.ask()
        await here.settle()
        a.stream.refuse(code)
        await here.settle()
        assert here.fleet.taken[-1].tried == {(a.id, a.model)}
        assert not here.fleet.said
        b.stream.refuse(code)
        await here.settle()
        assert here.fleet.taken[-1].tried == {(a.id, a.model), (b.id, b.model)}


@pytest.mark.parametrize("others", [0, 1, 2])
async def test_what_a_second_node_refuses_too_ends_the_request(others: int) -> None:
    nodes = [FakeNode(name) for name in "abc"][: 1 + others]
    async with rig(*nodes) as here:
        asked = here.ask()
        await here.settle()
        for node in nodes[:2]:
            assert asked.error is None
            node.stream.refuse("invalid_request")
            await here.settle()
        assert isinstance(asked.error, InvalidRequest)
        assert asked.error.node_id == nodes[min(others, 1)].id
        assert not any(node.streams for node in nodes[2:])
        assert not here.fleet.said


async def test_a_context_too_small_asks_for_a_larger_one() -> None:
    nodes = [
        FakeNode(name, context_length=size) for name, size in (("a", 50), ("b", 50), ("c", 99))
    ]
    async with rig(*nodes) as here:
        asked = here.ask()
        await here.settle()
        nodes[0].stream.refuse("context_overflow")
        await here.settle()
        assert not nodes[1].streams
        assert here.fleet.taken[-1].larger_than == 50
        assert here.fleet.taken[-1].exclude == frozenset()
        nodes[2].stream.refuse("context_overflow")
        await here.settle()
        assert here.fleet.taken[-1].larger_than == 99
        assert isinstance(asked.error, ContextOverflow)
        assert "says context_overflow" in asked.error.message


async def test_a_smaller_context_that_overflows_does_not_lower_what_is_known() -> None:
    a, b = FakeNode("a", context_length=90), FakeNode("b", context_length=0)
    async with rig(a, b) as here:
        here.ask()
        await here.settle()
        a.stream.refuse("context_overflow")
        await here.settle()
        b.stream.refuse("context_overflow")
        await here.settle()
        last = here.fleet.taken[-1]
        assert last.larger_than == 90
        assert last.exclude == {b.id}, "of its context nothing is known"


@pytest.mark.parametrize("how", ["refuse", "fail"])
async def test_a_model_that_cannot_answer_is_asked_on_no_node(how: str) -> None:
    nodes = [FakeNode("a"), FakeNode("b"), FakeNode("c", model=ModelId("other"))]
    async with rig(*nodes) as here:
        asked = here.ask()
        await here.settle()
        getattr(nodes[0].stream, how)("cannot_answer")
        await here.settle()
        assert here.fleet.taken[-1].unable == {nodes[0].model}
        assert not nodes[1].streams
        getattr(nodes[2].stream, how)("cannot_answer")
        await here.settle()
        assert isinstance(asked.error, CannotAnswer)
        assert here.fleet.taken[-1].inability is not None
        assert not here.fleet.said, "nobody is to blame"


async def test_a_model_that_cannot_go_on_has_failed() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        await started(here, 2)
        a.stream.fail("cannot_answer")
        await here.settle()
        assert here.fleet.said[-1][:2] == ("failed", "a")
        assert len(b.streams) == 1


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("engine_failed", ("failed", "a", "broke: engine_failed")),
        ("internal", ("failed", "a", "broke: internal")),
        ("draining", ("refused", "a", ModelId("toy"), None)),
    ],
)
async def test_a_failure_is_told_to_the_fleet_at_once(code: str, said: tuple[object, ...]) -> None:
    async with rig(a := FakeNode("a", slots=1), b := FakeNode("b")) as here:
        asked = await started(here, 2)
        a.slots = 0
        a.stream.fail(code)
        await here.settle()
        assert here.fleet.said[-1] == said
        assert b.stream.attempt.delivered == (word(0), word(1))
        b.stream.accept()
        b.stream.tokens()
        b.stream.finish()
        await here.settle()
        assert here.fleet.said[-2:] == [("accepted", "b"), ("succeeded", "b")]
        (resume,) = asked.done.resumes
        assert resume.reason == code


async def test_a_failure_that_a_second_node_has_too_ends_the_request() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), FakeNode("c")) as here:
        asked = await started(here, 1)
        a.stream.fail("invalid_request")
        await here.settle()
        b.stream.fail("invalid_request")
        await here.settle()
        assert isinstance(asked.error, InvalidRequest)
        assert len(here.fleet.said) == 1, "nobody is set aside for it"


async def test_after_tokens_the_same_model_goes_on_if_it_can_and_before_new_work() -> None:
    other = ModelId("other")
    a, b, c = FakeNode("a"), FakeNode("b", model=other), FakeNode("c")
    async with rig(a, b, c) as here:
        asked = await started(here, 2)
        a.stream.lose()
        await here.settle()
        work = here.fleet.taken[-1]
        assert (work.prefer, work.resuming, work.patience_s) == (a.model, True, RECOVERY_S)
        assert len(c.streams) == 1
        c.stream.lose()
        await here.settle()
        assert here.fleet.taken[-1].prefer == a.model
        b.stream.accept()
        b.stream.finish()
        await here.settle()
        assert asked.done.model == other


async def test_before_tokens_no_model_is_preferred() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        await started(here)
        assert here.fleet.taken[-1].resuming is False
        a.stream.lose()
        await here.settle()
        assert (here.fleet.taken[-1].prefer, here.fleet.taken[-1].resuming) == (None, True)
        assert len(b.streams) == 1


@pytest.mark.parametrize("code", ["engine_failed", "internal"])
async def test_an_engine_that_breaks_counts_though_it_brought_tokens(code: str) -> None:
    nodes = [FakeNode(name) for name in "abc"]
    async with rig(*nodes) as here:
        asked = await started(here, 2)
        for node in nodes:
            node.stream.tokens()
            node.stream.fail(code)
            await here.settle()
        kind = EngineFailed if code == "engine_failed" else AttemptFailed
        assert type(asked.error) is kind
        assert asked.error.message == (
            f"c: broke: {code}; 5 tokens were delivered before that; that was attempt 3 of 3"
        )
        assert asked.error.node_id == nodes[2].id


@pytest.mark.parametrize("how", ["lose", "draining"])
async def test_a_lost_node_counts_only_if_it_brought_nothing(how: str) -> None:
    nodes = [FakeNode(f"n{number}") for number in range(9)]
    async with rig(*nodes) as here:
        asked = await started(here, 1)
        for number, node in enumerate(nodes):
            assert asked.error is None
            if number < 6:
                node.stream.tokens()
            node.slots = 0
            node.stream.lose() if how == "lose" else node.stream.fail("draining")
            await here.settle()
        kind = NodeLost if how == "lose" else Draining
        assert type(asked.error) is kind
        assert "7 tokens were delivered before that; that was attempt 3 of 3" in asked.error.message


async def test_even_attempts_that_bring_tokens_have_an_end() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask()
        await here.settle()
        for number in range(MOST_ATTEMPTS):
            assert not asked.over
            assert len(a.streams) == number + 1
            a.stream.accept()
            a.stream.tokens()
            a.stream.lose()
            await here.settle()
            here.back(a)
            await here.settle()
        assert isinstance(asked.error, NodeLost)
        assert f"that was the last of {MOST_ATTEMPTS} attempts" in asked.error.message
        assert len(asked.pieces) == MOST_ATTEMPTS


async def test_what_may_not_be_resumed_says_how_much_was_delivered() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = await started(here, 1, resumable=False)
        a.stream.lose()
        await here.settle()
        assert isinstance(asked.error, NotResumable)
        assert asked.error.node_id == a.id
        assert asked.error.message == (
            "a: the link broke; 1 token was delivered before that, and this request may not be "
            "resumed; ask again"
        )
        assert not b.streams
        assert here.fleet.said[-1][:2] == ("failed", "a")


async def test_what_may_not_be_resumed_starts_again_while_nothing_came() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = await started(here, resumable=False)
        a.stream.lose()
        await here.settle()
        b.stream.accept()
        b.stream.tokens(3)
        b.stream.finish()
        await here.settle()
        assert (asked.done.resumed, asked.done.attempts) == (False, 2)


@pytest.mark.parametrize(("delivered", "words"), [(0, "0 tokens were"), (1, "1 token was")])
async def test_when_nobody_can_go_on_the_loss_is_the_error(delivered: int, words: str) -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = await started(here, *[1] * delivered)
        a.stream.lose()
        await here.settle()
        assert not asked.over, "it may come back"
        await here.advance(RECOVERY_S + 0.1)
        here.fleet.change()
        await here.settle()
        here.fleet.change()
        await here.settle()
        assert type(asked.error) is NodeLost
        assert asked.error.message == (
            f"a: the link broke; {words} delivered before that; nobody could go on: {NOBODY}"
        )
        assert asked.error.node_id == a.id
        assert isinstance(asked.error.__cause__, NoCandidate)


async def test_when_nobody_was_there_at_all_that_is_the_error() -> None:
    async with rig(FakeNode("a", aside=True)) as here:
        asked = here.ask()
        await here.settle()
        assert isinstance(asked.error, NoCandidate)
        assert asked.error.message == NOBODY


async def test_a_link_that_is_down_is_a_failure_and_counts_as_an_attempt() -> None:
    async with rig(a := FakeNode("a", down=True), b := FakeNode("b")) as here:
        asked = here.ask()
        await here.settle()
        assert here.fleet.said == [("failed", "a", "there is no link to the node any more")]
        assert b.stream.attempt.number == 2
        b.stream.accept()
        b.stream.finish()
        await here.settle()
        assert asked.done.attempts == 2
        assert asked.assigned == ["b"]
        assert not a.streams


@pytest.mark.parametrize("tokenizer", ["tok", "another"])
async def test_another_orchestrators_answer_goes_on_by_what_its_client_has(tokenizer: str) -> None:
    begun = Continuation(
        pieces=(word(0), word(1)), tokenizer_hash=tokenizer, attempts=2, model=ModelId("toy")
    )
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask(continuation=begun)
        await here.settle()
        attempt = a.stream.attempt
        assert (attempt.number, attempt.delivered) == (3, begun.pieces)
        assert attempt.tokenizer_hash == tokenizer
        work = here.fleet.taken[-1]
        assert (work.prefer, work.resuming, work.patience_s) == (begun.model, True, RECOVERY_S)
        a.stream.accept()
        a.stream.tokens()
        await here.settle()
        a.stream.lose()
        await here.settle()
        assert b.stream.attempt.tokenizer_hash == ("tok" if tokenizer == "tok" else "")
        b.stream.accept()
        b.stream.tokens()
        b.stream.finish()
        await here.settle()
        done = asked.events[-1]
        assert (done.attempts, done.resumed, done.completion_tokens) == (4, True, 4)  # type: ignore[union-attr]


async def test_a_continuation_that_has_nothing_is_a_new_answer() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask(continuation=Continuation(attempts=1))
        await here.settle()
        assert here.fleet.taken[-1].resuming is False
        a.stream.accept()
        a.stream.finish()
        await here.settle()
        assert (asked.done.resumed, asked.done.attempts) == (False, 2)
