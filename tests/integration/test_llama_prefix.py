"""A prompt that begins like one in another slot starts from a copy of that slot's cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.types import Message, Role, Sampling
from node.engines.base import ModelSpec, Prefilling, Token
from node.engines.llama_cpp.engine import LlamaCppEngine
from tests.gguf import write_random

pytestmark = pytest.mark.engine

NOBODY: frozenset[int] = frozenset()
SHARED = "hello user, this is what all of us begin with. "


def user(text: str) -> tuple[Message, ...]:
    return (Message.of(Role.USER, text),)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("prefix") / "random.gguf", seed=5)


def loaded(model: Path) -> LlamaCppEngine:
    engine = LlamaCppEngine()
    engine.load(ModelSpec(id="m", source=str(model), slots=3, context_length=200, threads=1))
    return engine


@pytest.fixture
def engine(model: Path) -> Iterator[LlamaCppEngine]:
    engine = loaded(model)
    yield engine
    engine.unload()


def run(engine: LlamaCppEngine, slot: int, count: int) -> tuple[list[int], int]:
    """The slot's next ``count`` tokens, and how many of its prompt were cached."""
    found: list[int] = []
    cached = 0
    while len(found) < count:
        for emission in engine.step(NOBODY):
            match emission:
                case Token(slot=s, id=token) if s == slot:
                    found.append(token)
                case Prefilling(slot=s, cached=c) if s == slot:
                    cached = c
    return found[:count], cached


def fresh(model: Path, text: str, count: int) -> list[int]:
    """The answer of an engine that has nothing to reuse."""
    engine = loaded(model)
    engine.open(0, user(text), Sampling(), (), "")
    found, cached = run(engine, 0, count)
    engine.unload()
    assert cached == 0
    return found


def test_a_prefix_of_a_running_slot_is_copied_and_the_answers_are_the_same(
    model: Path, engine: LlamaCppEngine
) -> None:
    engine.open(0, user(SHARED + "first"), Sampling(), (), "")
    begun, _ = run(engine, 0, 3)
    prompt = engine.open(1, user(SHARED + "second"), Sampling(), (), "")
    copied, cached = run(engine, 1, 8)
    assert prompt * 0.5 < cached < prompt
    assert copied == fresh(model, SHARED + "second", 8)
    assert (engine.counts.copied, engine.counts.reused_tokens) == (1, cached)
    engine.close(1)
    assert fresh(model, SHARED + "first", 20)[:3] == begun


def test_the_source_goes_on_as_if_nobody_had_copied_it(model: Path, engine: LlamaCppEngine) -> None:
    expected = fresh(model, SHARED + "first", 20)
    engine.open(0, user(SHARED + "first"), Sampling(), (), "")
    found, _ = run(engine, 0, 5)
    engine.open(1, user(SHARED + "second"), Sampling(), (), "")
    found += run(engine, 0, 5)[0]
    engine.close(1)
    found += run(engine, 0, 10)[0]
    assert found == expected


def test_a_source_that_is_cancelled_or_taken_over_before_the_next_step_does_no_harm(
    model: Path, engine: LlamaCppEngine
) -> None:
    engine.open(0, user(SHARED + "first"), Sampling(), (), "")
    run(engine, 0, 2)
    engine.open(1, user(SHARED + "second"), Sampling(), (), "")
    engine.close(0)
    engine.open(0, user("something else altogether"), Sampling(), (), "")
    engine.open(2, user(SHARED + "third"), Sampling(), (), "")
    engine.close(2)
    engine.open(2, user(SHARED + "fourth"), Sampling(), (), "")
    answers: dict[int, list[int]] = {0: [], 1: [], 2: []}
    while any(len(tokens) < 6 for tokens in answers.values()):
        for emission in engine.step(NOBODY):
            if isinstance(emission, Token):
                answers[emission.slot].append(emission.id)
    for slot, text in ((0, "something else altogether"), (1, "second"), (2, "fourth")):
        whole = text if slot == 0 else SHARED + text
        assert answers[slot][:6] == fresh(model, whole, 6)


def test_a_finished_conversation_is_not_cut_down_for_another_with_the_same_beginning(
    model: Path, engine: LlamaCppEngine
) -> None:
    long = SHARED + "and then it goes on for much longer than what it shares. " * 2
    engine.open(0, user(long), Sampling(), (), "")
    run(engine, 0, 4)
    engine.close(0)
    engine.open(0, user(SHARED + "other"), Sampling(), (), "")
    found, cached = run(engine, 0, 4)
    assert cached > 0
    assert found == fresh(model, SHARED + "other", 4)
    engine.close(0)
    prompt = engine.open(0, user(long), Sampling(), (), "")
    assert run(engine, 0, 4) == (fresh(model, long, 4), prompt - 1)


def test_little_in_common_is_not_copied(engine: LlamaCppEngine) -> None:
    engine.open(0, user("abc"), Sampling(), (), "")
    run(engine, 0, 2)
    engine.open(1, user("xyz"), Sampling(), (), "")
    assert run(engine, 1, 2)[1] == 0
    assert engine.counts.copied == 0
