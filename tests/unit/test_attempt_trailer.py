"""What is told of a request in the end: its trailer, or why its time was not enough."""

from __future__ import annotations

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from mesh.errors import DeadlineExceeded
from mesh.types import Continuation, FinishReason, ModelId
from tests.attempt_rig import FakeNode, Reading, Rig, rig, word

TRACED = NonRecordingSpan(SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(1)))


async def test_the_trailer_counts_and_times_the_answer() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b", model=ModelId("other"))) as here:
        asked = here.ask(span=TRACED)
        await here.settle()
        assert a.stream.attempt.traceparent == f"00-{'0' * 31}5-{'0' * 15}6-01"
        await here.advance(0.5)
        a.stream.accept()
        await here.advance(0.5)
        a.stream.tokens(1)
        await here.advance(1.0)
        a.stream.tokens(2)
        await here.settle()
        a.stream.lose()
        await here.settle()
        b.stream.accept()
        await here.advance(0.25)
        b.stream.tokens(2)
        await here.settle()
        b.stream.finish()
        await here.advance(1.0)
        done = asked.done
        assert (done.node, done.node_name, done.model) == (b.id, "b", b.model)
        assert (done.prompt_tokens, done.cached_tokens, done.completion_tokens) == (7, 3, 5)
        assert done.reason is FinishReason.STOP
        assert done.ttft_ms == pytest.approx(1000.0)
        assert done.tokens_per_second == pytest.approx(4 / 1.25), "of the gaps between tokens"
        assert (done.attempts, done.resumed, done.queue_ms) == (2, True, 0.0)
        assert done.trace_id == "0" * 31 + "5"
        (resume,) = done.resumes
        assert (resume.from_node, resume.to_node, resume.at_token) == ("a", "b", 3)
        assert resume.gap_ms == pytest.approx(250.0), "from token to token"
        assert resume.reason == "node_lost"


async def test_an_answer_without_a_token_has_no_rate() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask()
        await here.settle()
        a.stream.accept()
        await here.advance(1.0)
        a.stream.finish()
        await here.settle()
        done = asked.done
        assert (done.ttft_ms, done.tokens_per_second, done.completion_tokens) == (0.0, 0.0, 0)
        assert (done.resumed, done.resumes) == (False, ())


async def test_one_token_has_no_rate_and_two_in_one_moment_neither() -> None:
    async with rig(a := FakeNode("a")) as here:
        for count in (1, 2):
            asked = here.ask()
            await here.settle()
            a.stream.accept()
            await here.advance(1.0)
            a.stream.tokens(count)
            await here.advance(1.0)
            a.stream.finish()
            await here.settle()
            assert asked.done.tokens_per_second == 0.0
            assert asked.done.ttft_ms == pytest.approx(1000.0)


async def test_the_rate_of_a_continued_answer_is_of_what_came_here() -> None:
    begun = Continuation(pieces=tuple(word(index) for index in range(100)), attempts=1)
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask(continuation=begun)
        await here.settle()
        a.stream.accept()
        a.stream.tokens(1)
        await here.advance(1.0)
        a.stream.tokens(1)
        await here.advance(1.0)
        a.stream.finish()
        await here.settle()
        done = asked.events[-1]
        assert done.tokens_per_second == pytest.approx(1.0)  # type: ignore[union-attr]
        assert done.completion_tokens == 102  # type: ignore[union-attr]


async def test_an_end_that_came_from_elsewhere_is_a_resume_too() -> None:
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask()
        await here.settle()
        a.stream.accept()
        a.stream.tokens(1)
        await here.settle()
        a.stream.fail("draining")
        a.slots = 0
        await here.settle()
        b.stream.accept()
        await here.advance(2.0)
        b.stream.finish()
        await here.settle()
        (resume,) = asked.done.resumes
        assert (resume.from_node, resume.to_node, resume.at_token) == ("a", "b", 1)
        assert asked.done.resumed
        assert resume.gap_ms == pytest.approx(2000.0)
        assert resume.reason == "draining"


async def test_nodes_that_bring_nothing_between_are_one_gap_from_the_last_that_did() -> None:
    nodes = [FakeNode(name) for name in "abc"]
    async with rig(*nodes) as here:
        asked = here.ask()
        await here.settle()
        nodes[0].stream.accept()
        nodes[0].stream.tokens(2)
        await here.settle()
        nodes[0].stream.lose()
        await here.advance(1.0)
        nodes[1].stream.fail()
        await here.advance(1.0)
        nodes[2].stream.accept()
        nodes[2].stream.tokens(1)
        await here.settle()
        nodes[2].stream.finish()
        await here.settle()
        (resume,) = asked.done.resumes
        assert (resume.from_node, resume.to_node, resume.reason) == ("a", "c", "node_lost")
        assert resume.gap_ms == pytest.approx(2000.0)
        assert asked.done.attempts == 3


async def test_a_continued_answer_that_breaks_at_once_has_its_gap_from_there() -> None:
    begun = Continuation(pieces=(word(0),), attempts=1)
    async with rig(a := FakeNode("a"), b := FakeNode("b")) as here:
        asked = here.ask(continuation=begun)
        await here.advance(5.0)
        a.stream.lose()
        await here.advance(1.0)
        b.stream.accept()
        b.stream.tokens(1)
        await here.settle()
        b.stream.finish()
        await here.settle()
        (resume,) = asked.events[-1].resumes  # type: ignore[union-attr]
        assert (resume.at_token, resume.gap_ms) == (1, pytest.approx(1000.0))


async def test_every_resume_is_told() -> None:
    nodes = [FakeNode(name) for name in "abc"]
    async with rig(*nodes) as here:
        asked = here.ask()
        await here.settle()
        for node in nodes:
            node.stream.accept()
            node.stream.tokens(2)
            await here.settle()
            node.stream.finish() if node is nodes[2] else node.stream.lose()
            await here.settle()
        assert [(each.from_node, each.to_node) for each in asked.done.resumes] == [
            ("a", "b"),
            ("b", "c"),
        ]


async def late(here: Rig, asked: Reading, seconds: float) -> str:
    await here.advance(seconds + 0.1)
    error = asked.error
    assert isinstance(error, DeadlineExceeded)
    return error.message


async def test_an_answer_that_ran_out_of_time_says_how_far_it_came() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask(timeout_s=5.0)
        await here.settle()
        a.stream.refuse()
        await here.settle()
        a.stream.accept()
        a.stream.tokens(2)
        assert await late(here, asked, 5.0) == (
            "the answer was not finished within 5.0 s; 2 tokens were delivered; "
            "allow more time or ask for fewer tokens"
        )


async def test_an_answer_that_never_began_quotes_the_last_refusal() -> None:
    async with rig(a := FakeNode("a")) as here:
        asked = here.ask(timeout_s=5.0)
        await here.settle()
        a.stream.refuse("draining")
        await here.settle()
        a.stream.refuse("overloaded")
        await here.settle()
        a.stream.accept()
        assert await late(here, asked, 5.0) == (
            "the answer was not finished within 5.0 s; 0 tokens were delivered; "
            "the last refusal was a: says overloaded; allow more time or ask for fewer tokens"
        )


async def test_a_request_that_only_waited_says_for_what() -> None:
    async with rig(FakeNode("a")) as here:
        here.ask()
        asked = here.ask(timeout_s=0.05)
        await here.over(asked)
        assert isinstance(asked.error, DeadlineExceeded)
        assert "no slot came free for 'math'" in asked.error.message
        assert "the last refusal" not in asked.error.message


async def test_a_request_that_only_waited_is_told_what_is_wrong_with_its_models() -> None:
    nodes = [FakeNode("z", error="no such file"), FakeNode("b", slots=0, error="upstream away")]
    nodes[0].slots = 0
    async with rig(*nodes, FakeNode("c", slots=0)) as here:
        asked = here.ask(timeout_s=0.05)
        await here.over(asked)
        assert asked.error is not None
        assert asked.error.message.endswith(
            "; b: model 'toy': upstream away; z: model 'toy': no such file"
        )
