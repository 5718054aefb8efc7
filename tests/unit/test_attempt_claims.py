"""Which of a node's words are plausible, as tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.errors import InvalidRequest, MeshError
from mesh.transport.base import Finished, Progress
from mesh.types import FinishReason, Sampling, Usage
from orchestrator.attempts.claims import (
    MOST,
    UNDELIVERED,
    counted,
    doubt,
    ended,
    error_of,
    fits,
    shown,
)
from tests.attempt_fakes import FakeNode

THEIRS = FakeNode("a", context_length=4096).record  # of somebody else's server: no file
OURS = replace(THEIRS, file_bytes=100)


def end(reason: FinishReason, made: int) -> Finished:
    return Finished(reason=reason, usage=Usage(prompt_tokens=1, completion_tokens=made))


@pytest.mark.parametrize(
    ("model", "reason", "delivered", "made", "doubted"),
    [
        (OURS, "stop", 10, 10, False),
        (OURS, "stop", 10, 10 + UNDELIVERED, False),
        (OURS, "stop", 10, 11 + UNDELIVERED, True),
        (THEIRS, "stop", 10, 900, False),  # it thought
        (OURS, "stop", 0, 0, True),
        (THEIRS, "stop", 0, 300, True),
        (OURS, "tool_calls", 0, 0, True),
        (OURS, "content_filter", 0, 0, False),
        (OURS, "length", 100, 100, False),
        (OURS, "length", 99, 100, True),
        (THEIRS, "length", 0, 100, False),  # all of it thoughts
        (THEIRS, "length", 50, 0, False),  # two tokens a piece
        (THEIRS, "length", 49, 49, True),
        (OURS, "context", 10, 10, True),
        (OURS, "context", 2000, 2000, False),
        (OURS, "stop_string", 10, 10, True),
    ],
)
def test_ends(model: object, reason: str, delivered: int, made: int, doubted: bool) -> None:
    why = doubt(
        end(FinishReason(reason), made),
        model,  # type: ignore[arg-type]
        Sampling(max_tokens=100),
        prompt=100,
        delivered=delivered,
        text=delivered > 0,
    )
    assert bool(why) is doubted


@pytest.mark.parametrize("made", [0, 1 + UNDELIVERED + 5])
def test_a_stop_string_that_was_asked_for_is_made_and_not_delivered(made: int) -> None:
    sampling = Sampling(max_tokens=100, stop=("hello",))
    said = end(FinishReason.STOP_STRING, made)
    assert not doubt(said, OURS, sampling, prompt=9, delivered=1, text=True)
    assert not doubt(said, OURS, sampling, prompt=9, delivered=1, text=False)


@pytest.mark.parametrize(
    ("context", "prompt", "delivered", "fit"),
    [(4096, 2000, 47, True), (4096, 2000, 48, False), (0, 1, 0, False), (2048, 0, 0, False)],
)
def test_what_is_sure_to_fit(context: int, prompt: int, delivered: int, fit: bool) -> None:
    model = replace(OURS, context_length=context)
    assert fits(model, prompt=prompt, delivered=delivered) is fit


def test_an_end_that_is_made_here_says_nothing_of_the_prompt() -> None:
    usage = ended(FinishReason.LENGTH, 7).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (0, 7)


def test_counts_and_texts_are_bounded() -> None:
    usage = Usage(prompt_tokens=2**62, completion_tokens=-5, cached_tokens=3)
    found = counted(Finished(reason=FinishReason.STOP, usage=usage)).usage
    assert (found.prompt_tokens, found.completion_tokens, found.cached_tokens) == (MOST, 0, 3)
    told = shown(Progress(phase="\x1b[2Jload\ning" + "x" * 99, done=-1, total=2**63))
    assert told.phase.startswith("load ing")
    assert (len(told.phase), told.done, told.total) == (24, 0, MOST)
    error = error_of("invalid_request", "\x1b[31mno\n" + "x" * 9000)
    assert isinstance(error, InvalidRequest)
    assert error.message.startswith("no xx")
    assert len(error.message) == 500
    assert type(error_of("y" * 9000, "")) is MeshError
