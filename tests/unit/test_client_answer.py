"""A whole answer as one value: what it says of its end, and which ones are no answer."""

from __future__ import annotations

from types import TracebackType
from typing import cast

import pytest

from mesh.client.answer import Answer, whole_answer
from mesh.client.stream import Generation
from mesh.errors import ProtocolError
from mesh.stream import Done
from mesh.types import Decision, FinishReason
from tests.whole_answers import DECISION, DONE, REQUEST, ended

WHOLE = {FinishReason.STOP, FinishReason.STOP_STRING, FinishReason.TOOL_CALLS}


@pytest.mark.parametrize("reason", FinishReason)
def test_what_was_ended_by_a_limit_says_which_in_one_line(reason: FinishReason) -> None:
    answer = ended(reason)
    assert answer.whole is (reason in WHOLE)
    assert bool(answer.cut) is (reason not in WHOLE)
    assert len(answer.cut.splitlines()) <= 1
    assert str(answer) == "two"


@pytest.mark.parametrize(
    ("reason", "tokens", "says"),
    [
        (FinishReason.LENGTH, 1_234, "its limit of 1,234 tokens; a larger max_tokens"),
        (FinishReason.LENGTH, 1, "its limit of 1 token; a larger max_tokens"),
        (FinishReason.CONTEXT, 2, "after 2 tokens: the model's context is full; shorten"),
        (FinishReason.CONTENT_FILTER, 0, "after 0 tokens: the server behind the model withheld"),
    ],
)
def test_a_cut_answer_says_after_how_much(reason: FinishReason, tokens: int, says: str) -> None:
    assert says in ended(reason, tokens).cut


class Told:
    """A generation that has come: its text, and what the mesh said of it."""

    request_id = REQUEST

    def __init__(self, decision: Decision | None, done: Done | None) -> None:
        self.decision, self.done = decision, done
        self.inside, self.left = False, False

    async def __aenter__(self) -> Told:
        self.inside = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.left = True

    async def text(self) -> str:
        assert self.inside
        assert not self.left
        return "two"


async def test_an_answer_is_all_that_was_told() -> None:
    told = Told(DECISION, DONE)
    found = await whole_answer(cast(Generation, told))
    assert found == Answer(text="two", decision=DECISION, done=DONE, request_id=REQUEST)
    assert told.left


@pytest.mark.parametrize(("decision", "done"), [(None, DONE), (DECISION, None), (None, None)])
async def test_without_its_first_or_its_last_word_it_is_no_answer(
    decision: Decision | None, done: Done | None
) -> None:
    told = Told(decision, done)
    with pytest.raises(ProtocolError, match="without a decision, or without an end") as raised:
        await whole_answer(cast(Generation, told))
    assert raised.value.request_id == REQUEST
    assert told.left
