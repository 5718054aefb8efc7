"""Engine ``tools``: what every engine holds to, for an engine that answers only what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from mesh.errors import CannotAnswer, ConfigError, ContextOverflow, InternalError, ModelFileError
from mesh.types import FinishReason, Message, Role, Sampling
from node.engines.base import Emission, Ended, ModelFacts, ModelSpec, Prefilling, Token
from node.engines.tools.engine import ToolsEngine

NOBODY: frozenset[int] = frozenset()
CUPS = "how many cups in 4 quarts"
CUPS_ANSWER = "16 US cups (4 US quarts)"
EQUATION = "Solve x^2 - 5x + 6 = 0 for x."
Loader = Callable[..., ToolsEngine]


def user(text: str) -> tuple[Message, ...]:
    return (Message.of(Role.USER, text),)


def spec(**changes: Any) -> ModelSpec:
    values: dict[str, Any] = {
        "id": "tools",
        "source": "tools",
        "slots": 4,
        "context_length": 128,
        "threads": 1,
        "options": {"solver": False},
    }
    return ModelSpec(**(values | changes))


@pytest.fixture
def load() -> Iterator[Loader]:
    loaded: list[ToolsEngine] = []

    def make(**changes: Any) -> ToolsEngine:
        engine = ToolsEngine(wall=lambda: 1_700_000_000.0)
        engine.load(spec(**changes))
        loaded.append(engine)
        return engine

    yield make
    for engine in loaded:
        engine.unload()


def run(engine: ToolsEngine, steps: int = 20, held: frozenset[int] = NOBODY) -> list[Emission]:
    return [emission for _ in range(steps) for emission in engine.step(held)]


def text_of(emissions: Sequence[Emission], slot: int = 0) -> str:
    data = b"".join(e.data for e in emissions if isinstance(e, Token) and e.slot == slot)
    return data.decode()


def test_it_answers_a_word_a_step_and_ends(load: Loader) -> None:
    engine = load()
    assert engine.open(0, user(CUPS), Sampling(), (), "") == 6
    emissions = run(engine)
    assert emissions[0] == Prefilling(0, 6, 6)
    assert text_of(emissions) == CUPS_ANSWER
    assert [e.id for e in emissions if isinstance(e, Token)] == list(range(6))
    assert emissions[-1] == Ended(0, FinishReason.STOP)
    assert list(engine.step(NOBODY)) == [], "an ended slot has no work"


@pytest.mark.parametrize(
    "text", ["hello", "and for 12?", "how many litres in a kilometre", EQUATION]
)
def test_what_it_does_not_answer_is_refused_so_that_another_may(load: Loader, text: str) -> None:
    engine = load()
    with pytest.raises(CannotAnswer, match="ask a model"):
        engine.open(0, user(text), Sampling(), (), "")
    assert engine.open(0, user(CUPS), Sampling(), (), ""), "the slot is still free"


def test_a_system_text_that_may_demand_a_form_is_refused(load: Loader) -> None:
    messages = (Message.of(Role.SYSTEM, "Answer in JSON."), *user("2 + 2"))
    with pytest.raises(CannotAnswer, match="system text"):
        load().open(0, messages, Sampling(), (), "")


@pytest.mark.parametrize("cut", range(7))
def test_a_resume_by_text_or_ids_goes_on_where_the_answer_stood(load: Loader, cut: int) -> None:
    engine = load()
    words = ["16", " US", " cups", " (4", " US", " quarts)"]
    engine.open(0, user(CUPS), Sampling(), (), "".join(words[:cut]))
    engine.open(1, user(CUPS), Sampling(), tuple(range(cut)), "")
    emissions = run(engine)
    for slot in (0, 1):
        assert text_of(emissions, slot) == "".join(words[cut:])
        assert Ended(slot, FinishReason.STOP) in emissions


@pytest.mark.parametrize(
    ("delivered", "text"),
    [((), "The answer"), ((), "1"), ((), CUPS_ANSWER + "!"), ((5, 6), ""), (tuple(range(9)), "")],
)
def test_an_answer_that_another_model_began_is_refused(
    load: Loader, delivered: tuple[int, ...], text: str
) -> None:
    with pytest.raises(CannotAnswer, match="begun otherwise"):
        load().open(0, user(CUPS), Sampling(), delivered, text)


def test_held_slots_make_no_progress_and_lose_nothing(load: Loader) -> None:
    engine = load()
    engine.open(0, user(CUPS), Sampling(), (), "")
    engine.open(1, user("2 + 2"), Sampling(), (), "")
    first = run(engine, 2)
    emissions = run(engine, 5, held=frozenset({0}))
    assert all(e.slot == 1 for e in emissions)
    assert list(engine.step(frozenset({0, 1}))) == []
    assert text_of([*first, *run(engine)]) == CUPS_ANSWER


def test_close_frees_at_once_and_is_idempotent(load: Loader) -> None:
    engine = load(slots=1)
    for _ in range(3):
        engine.open(0, user(CUPS), Sampling(), (), "")
        engine.step(NOBODY)
        engine.close(0)
        engine.close(0)
    assert list(engine.step(NOBODY)) == []


def test_a_slot_in_use_or_out_of_range_is_a_defect_of_the_caller(load: Loader) -> None:
    engine = load()
    engine.open(0, user(CUPS), Sampling(), (), "")
    for slot in (0, 4, -1):
        with pytest.raises(InternalError):
            engine.open(slot, user(CUPS), Sampling(), (), "")


def test_the_context_is_counted_in_words(load: Loader) -> None:
    engine = load(context_length=6)
    with pytest.raises(ContextOverflow, match=r"6 words .* 6"):
        engine.open(0, user(CUPS), Sampling(), (), "")
    engine = load(context_length=8)
    engine.open(0, user(CUPS), Sampling(), (), "")
    emissions = run(engine)
    assert text_of(emissions) == "16 US"
    assert emissions[-1] == Ended(0, FinishReason.CONTEXT)


def test_dates_are_counted_from_the_clocks_day(load: Loader) -> None:
    engine = load()
    engine.open(0, user("what date is 1 day from now"), Sampling(), (), "")
    assert "2023" in text_of(run(engine))


def test_facts_say_that_there_is_no_tokenizer_to_share() -> None:
    shares: list[float] = []
    engine = ToolsEngine()
    engine.on_progress = shares.append
    facts = engine.load(spec())
    engine.unload()
    assert facts == ModelFacts(context_length=128, device="cpu", architecture="tools")
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"wrods": 3}, "'wrods'.*known: memory_bytes, solver, timeout_ms"),
        ({"solver": "perhaps"}, "tools"),
        ({"timeout_ms": 0}, "timeout_ms must be at least 1"),
        ({"memory_bytes": 1}, "memory_bytes must be at least"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ToolsEngine().load(spec(options=options))


def test_no_slots_are_refused() -> None:
    with pytest.raises(ModelFileError, match="slots"):
        ToolsEngine().load(spec(slots=0))
