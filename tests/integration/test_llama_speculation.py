"""Guessing changes how fast an answer comes, and not one token of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.types import FinishReason, Message, Role, Sampling
from node.engines.base import Emission, Ended, ModelSpec, Token
from node.engines.llama_cpp.engine import LlamaCppEngine
from tests.gguf import write_chain, write_random
from tests.toy_models import toy_model

pytestmark = pytest.mark.engine

NOBODY: frozenset[int] = frozenset()
PROMPTS = {
    "chat": ["Hello!", "Who are you?", "Tell me about yourself, and then tell me again."],
    "code": ["Write a loop that prints numbers.", "Reverse a list.", "for for for for"],
    "math": ["What is 3 + 4?", "3 + 3 + 3 + 3 + 3 + 3", "What is 12 - 5?"],
}


def engine_of(source: Path, *, guessing: bool, **changes: Any) -> LlamaCppEngine:
    engine = LlamaCppEngine()
    values: dict[str, Any] = {"slots": 3, "context_length": 256, "threads": 1}
    options = {"speculative": {"ngram": 2, "draft": 6}} if guessing else {}
    engine.load(ModelSpec(id="m", source=str(source), options=options, **(values | changes)))
    return engine


@pytest.fixture(params=sorted(PROMPTS), scope="module")
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[str, LlamaCppEngine, LlamaCppEngine]]:
    engines = [engine_of(toy_model(request.param), guessing=on) for on in (False, True)]
    yield request.param, engines[0], engines[1]
    for engine in engines:
        engine.unload()


def answers(
    engine: LlamaCppEngine, prompts: list[str], sampling: Sampling, count: int = 60
) -> list[list[int | str]]:
    """All at once, a slot each: at most ``count`` tokens and why it ended."""
    for slot, text in enumerate(prompts):
        engine.open(slot, (Message.of(Role.USER, text),), sampling, (), "")
    found: list[list[int | str]] = [[] for _ in prompts]
    left = set(range(len(prompts)))
    while left:
        for emission in engine.step(NOBODY):
            if emission.slot not in left:
                continue
            match emission:
                case Token(slot=slot, id=token):
                    found[slot].append(token)
                case Ended(slot=slot, reason=reason):
                    found[slot].append(reason)
            if isinstance(emission, Ended) or len(found[emission.slot]) >= count:
                left.discard(emission.slot)
                engine.close(emission.slot)
    return found


def test_greedy_answers_are_the_same_alone_and_together(
    pair: tuple[str, LlamaCppEngine, LlamaCppEngine],
) -> None:
    name, plain, guessing = pair
    expected = answers(plain, PROMPTS[name], Sampling())
    assert answers(guessing, PROMPTS[name], Sampling()) == expected
    for prompt, whole in zip(PROMPTS[name], expected, strict=True):
        assert answers(guessing, [prompt], Sampling()) == [whole]
    assert guessing.counts.accepted <= guessing.counts.drafted
    assert plain.counts.drafted == 0


def test_random_and_penalised_answers_are_not_guessed(
    pair: tuple[str, LlamaCppEngine, LlamaCppEngine],
) -> None:
    name, plain, guessing = pair
    before = guessing.counts.drafted
    for sampling in (
        Sampling(temperature=1.0, seed=4),
        Sampling(repetition_penalty=1.3),
        Sampling(grammar='root ::= "a"{20}'),
    ):
        expected = answers(plain, PROMPTS[name][:1], sampling)
        assert answers(guessing, PROMPTS[name][:1], sampling) == expected
    assert guessing.counts.drafted == before


def test_an_answer_that_repeats_itself_takes_fewer_steps(tmp_path: Path) -> None:
    # From any byte that is not in its text this model goes on with the same byte for ever.
    engine = engine_of(write_chain(tmp_path / "chain.gguf", "abc"), guessing=True)
    engine.open(0, (Message.of(Role.USER, "hi"),), Sampling(), (), "zzz")
    found = 0
    steps = 0
    while found < 60:
        found += sum(isinstance(e, Token) for e in engine.step(NOBODY))
        steps += 1
    assert engine.counts.accepted > 30
    assert steps < 20
    engine.unload()


@pytest.mark.parametrize("guessing", [False, True])
def test_the_context_is_filled_to_its_last_token(tmp_path: Path, guessing: bool) -> None:
    model = write_chain(tmp_path / "chain.gguf", "abc")
    engine = engine_of(model, guessing=guessing, context_length=100)
    message = (Message.of(Role.USER, "hi"),)
    prompt = engine.open(0, message, Sampling(), (), "zzz")
    found: list[Emission] = []
    while not found or not isinstance(found[-1], Ended):
        found += engine.step(NOBODY)
    assert found[-1] == Ended(0, FinishReason.CONTEXT)
    assert prompt + len("zzz") + sum(isinstance(e, Token) for e in found) == 100
    engine.close(0)
    # What is kept of it is right: the same again starts from there.
    assert engine.open(1, message, Sampling(), (), "zzz") == prompt
    assert any(isinstance(e, Token) for e in engine.step(NOBODY))
    engine.unload()


def test_a_random_model_says_the_same_with_guesses_held_up_and_cancelled(tmp_path: Path) -> None:
    model = write_random(tmp_path / "random.gguf", seed=2)
    plain = engine_of(model, guessing=False)
    expected = answers(plain, ["hello hello hello"], Sampling(), 40)
    plain.unload()
    engine = engine_of(model, guessing=True)
    engine.open(1, (Message.of(Role.USER, "user user"),), Sampling(), (), "")
    engine.step(NOBODY)
    assert engine.step(frozenset({1})) == []
    assert answers(engine, ["hello hello hello"], Sampling(), 40) == expected
    engine.close(1)
    engine.unload()
