"""What a node claims and a second one is asked about: once, for a while, and who is set aside."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import InvalidRequest
from mesh.types import FinishReason, Piece, Sampling
from orchestrator.attempts.collect import TokenCollector
from tests.attempt_rig import FakeNode, Reading, Rig, request, rig, word

STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH


async def claimed(here: Rig, node: FakeNode, tokens: int = 0, **given: Any) -> Reading:
    """A request whose first node ended early."""
    asked = here.ask(**({"sampling": Sampling(max_tokens=100)} | given))
    await here.settle()
    node.stream.accept()
    if tokens:
        node.stream.tokens(tokens)
    node.stream.finish(LENGTH if tokens else STOP)
    await here.settle()
    return asked


async def test_a_second_node_that_says_the_same_is_believed_and_nobody_is_harmed() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), c := FakeNode("c")) as here:
        asked = await claimed(here, a)
        assert here.held == {"b": 1}, "whoever claims it has given its slot back"
        b.stream.accept()
        b.stream.finish()
        await here.settle()
        assert (asked.done.node_name, asked.done.completion_tokens) == ("b", 0)
        assert not c.streams
        assert not any(said[0] == "failed" for said in here.fleet.said)


@pytest.mark.parametrize("tokens", [0, 3])
async def test_one_that_says_otherwise_goes_on_and_the_first_is_set_aside(tokens: int) -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = await claimed(here, a, tokens)
        assert len(b.stream.attempt.delivered) == tokens
        b.stream.accept()
        b.stream.tokens(2)
        b.stream.finish()
        await here.settle()
        assert asked.pieces == [word(index) for index in range(tokens + 2)]
        assert [said[:2] for said in here.fleet.said if said[0] == "failed"] == [("failed", "a")]


async def test_where_nobody_else_is_the_claim_is_believed_at_once() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = await claimed(here, a, 3)
        assert asked.over
        assert (asked.done.reason, asked.done.completion_tokens) == (LENGTH, 3)


async def test_a_second_node_that_breaks_leaves_the_claim_as_it_was() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), max_attempts=1) as here:
        asked = await claimed(here, a, 3)
        b.stream.fail()
        await here.settle()
        assert (asked.done.node_name, asked.done.completion_tokens) == ("a", 3)


async def test_what_may_not_be_resumed_is_believed_at_once() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = await claimed(here, a, 3, resumable=False)
        assert asked.done.completion_tokens == 3
        assert not b.streams


async def test_only_the_like_are_asked_and_none_that_was() -> None:
    async with rig(a := FakeNode("a"), FakeNode("b", slots=0)) as here:
        await claimed(here, a)
        work = here.fleet.taken[-1]
        assert work.tried == {(a.id, a.model)}
        assert (work.substitutes, work.patience_s, work.settled) == ((), 0.0, True)


async def test_a_refusal_that_a_second_node_does_not_share_harms_nobody() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask()
        await here.settle()
        a.stream.refuse("invalid_request")
        await here.settle()
        b.stream.accept()
        b.stream.tokens(2)
        b.stream.finish()
        await here.settle()
        assert asked.done.node_name == "b"
        assert not any(said[0] == "failed" for said in here.fleet.said)


async def test_a_refusal_stands_where_the_second_node_is_lost_for_good() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b"), max_attempts=1) as here:
        asked = here.ask()
        await here.settle()
        a.stream.refuse("invalid_request")
        await here.settle()
        b.stream.lose()
        await here.settle()
        assert isinstance(asked.error, InvalidRequest)
        assert asked.error.node_id == a.id


@pytest.mark.parametrize("how", ["lose", "fail", "stop"])
async def test_whoever_has_all_that_it_asked_for_needs_no_other_node(how: str) -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask(sampling=Sampling(max_tokens=3))
        await here.settle()
        a.stream.accept()
        a.stream.tokens(3)
        getattr(a.stream, how)()
        await here.settle()
        assert (asked.done.reason, asked.done.completion_tokens) == (LENGTH, 3)
        assert not b.streams
        assert here.fleet.said[-1][:2] == ("failed", "a")


async def test_past_max_tokens_nothing_is_delivered_and_the_node_is_cancelled() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask(sampling=Sampling(max_tokens=3))
        await here.settle()
        a.stream.accept()
        a.stream.tokens(2)
        a.stream.tokens(9)
        await here.settle()
        assert asked.pieces == [word(0), word(1), word(2)]
        assert (asked.done.reason, asked.done.completion_tokens) == (LENGTH, 3)
        assert a.stream.cancelled
        assert not here.held


@pytest.mark.parametrize(
    ("stop", "texts", "delivered"),
    [
        (("stop",), ["a", "stop", "b"], "a"),
        (("stop",), ["a", "xstopb", "c"], "ax"),
        (("ab", "b"), ["xa", "b", "c"], "xa"),
        (("stop",), ["a", "sto", "px"], "asto"),
        (("stop",), ["a", "sto", "x", "p"], None),
        (("x",), ["x"], ""),
        (("abc",), ["ab", "", "c", "d"], "ab"),
    ],
)
def test_past_a_stop_string_nothing_is_delivered(
    stop: tuple[str, ...], texts: list[str], delivered: str | None
) -> None:
    from mesh.transport.base import Tokens

    collector = TokenCollector(request(sampling=Sampling(stop=stop)))
    for index, text in enumerate(texts):
        if collector.over is None:
            collector.take(Tokens(first=index, pieces=(Piece(index, text),)), "tok")
    whole = "".join(piece.text for piece in collector.delivery.pieces)
    assert whole == ("".join(texts) if delivered is None else delivered)
    assert (collector.over is None) is (delivered is None)
