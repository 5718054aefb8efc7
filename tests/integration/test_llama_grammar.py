"""Answers that keep to a grammar or a JSON schema, on the chat specialist."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mesh.errors import InvalidRequest
from mesh.types import FinishReason, Message, Role, Sampling
from node.engines.base import Ended, ModelSpec, Token
from node.engines.llama_cpp.engine import LlamaCppEngine
from tests.toy_models import toy_model

pytestmark = pytest.mark.engine

NOBODY: frozenset[int] = frozenset()
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
WORDS = 'root ::= word (" " word){2}\nword ::= "yes" | "no" | "perhaps"\n'


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCppEngine]:
    engine = LlamaCppEngine()
    engine.load(
        ModelSpec(id="chat", source=str(toy_model("chat")), slots=2, context_length=256, threads=1)
    )
    yield engine
    engine.unload()


def answer(
    engine: LlamaCppEngine, sampling: Sampling, delivered: list[int] | None = None, text: str = ""
) -> tuple[list[int], str, str | None]:
    """Tokens, text and why it ended; None at 120 tokens."""
    message = Message.of(Role.USER, "Hello, who are you?")
    engine.open(0, (message,), sampling, delivered or (), text)
    ids: list[int] = []
    data, reason = b"", None
    try:
        while reason is None and len(ids) < 120:
            for emission in engine.step(NOBODY):
                match emission:
                    case Token(slot=0, id=token, data=piece):
                        ids.append(token)
                        data += piece
                    case Ended(slot=0, reason=why):
                        reason = why
    finally:
        engine.close(0)
    return ids, data.decode(), reason


@pytest.mark.parametrize("changes", [{}, {"temperature": 1.5, "seed": 3, "top_k": 20}])
def test_the_answer_follows_the_grammar_and_ends_with_it(
    engine: LlamaCppEngine, changes: dict[str, Any]
) -> None:
    _, text, reason = answer(engine, Sampling(grammar=WORDS, **changes))
    assert len(text.split()) == 3
    assert set(text.split()) <= {"yes", "no", "perhaps"}
    assert reason == FinishReason.STOP


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.0])
def test_the_answer_is_json_that_fits_the_schema(
    engine: LlamaCppEngine, temperature: float
) -> None:
    sampling = Sampling(json_schema=json.dumps(PERSON), temperature=temperature, seed=1)
    _, text, reason = answer(engine, sampling)
    if reason is not None:  # else its integer went on for ever, which fits too
        found = json.loads(text)
        assert set(found) == {"name", "age"}
        assert isinstance(found["age"], int)
        assert len(found["name"]) <= 8
    assert text.lstrip().startswith("{")


@pytest.mark.parametrize("changes", [{}, {"temperature": 1.2, "seed": 5}])
def test_a_resume_goes_on_in_the_grammar_where_the_answer_was(
    engine: LlamaCppEngine, changes: dict[str, Any]
) -> None:
    sampling = Sampling(grammar=WORDS, repetition_penalty=1.1, **changes)
    ids, text, _ = answer(engine, sampling)
    for cut in range(1, len(ids)):
        rest, more, reason = answer(engine, sampling, ids[:cut])
        assert rest == ids[cut:]
        assert text.endswith(more)
        assert reason == FinishReason.STOP


def test_a_resume_by_text_goes_on_in_the_grammar_too(engine: LlamaCppEngine) -> None:
    _, text, reason = answer(engine, Sampling(grammar='root ::= "abc def ghi"'), text="abc d")
    assert (text, reason) == ("ef ghi", FinishReason.STOP)


def test_a_beginning_that_does_not_fit_is_refused_and_the_slot_stays_free(
    engine: LlamaCppEngine,
) -> None:
    with pytest.raises(InvalidRequest, match="does not fit the grammar from its token 0"):
        answer(engine, Sampling(grammar='root ::= "abc"'), text="xyz")
    assert answer(engine, Sampling(grammar='root ::= "abc"'))[1] == "abc"


def test_a_grammar_binds_its_own_slot_only(engine: LlamaCppEngine) -> None:
    free = answer(engine, Sampling())[0]
    engine.open(1, (Message.of(Role.USER, "hi"),), Sampling(grammar=WORDS), (), "")
    assert answer(engine, Sampling())[0] == free
    engine.close(1)


def test_left_recursion_is_refused(engine: LlamaCppEngine) -> None:
    with pytest.raises(InvalidRequest, match="left recursion"):
        answer(engine, Sampling(grammar='root ::= root "a" | "b"'))


def test_an_empty_language_ends_at_once(engine: LlamaCppEngine) -> None:
    assert answer(engine, Sampling(grammar='root ::= ""')) == ([], "", FinishReason.STOP)
