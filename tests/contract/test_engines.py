"""What every engine holds to, and what llama.cpp adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import ConfigError, ContextOverflow, InvalidRequest, ModelFileError
from mesh.types import FinishReason, Message, Role, Sampling
from node.engines.base import Emission, Ended, Engine, ModelSpec, Prefilling, Token
from node.engines.llama_cpp import LlamaCppEngine
from node.engines.openai import OpenAiEngine
from node.engines.registry import known_engines, load_engine
from node.engines.simulated import SimulatedEngine
from tests import torch_folder
from tests.gguf import write_chain, write_random
from tests.openai_rig import Patient
from tests.openai_upstream import upstream

SLOTS, CONTEXT = 4, 128
NOBODY: frozenset[int] = frozenset()
Loader = Callable[..., Engine]


def user(text: str) -> tuple[Message, ...]:
    return (Message(role=Role.USER, content=text),)


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("engines") / "random.gguf", seed=3)


@pytest.fixture(scope="session")
def torch_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torch_folder.write_random(tmp_path_factory.mktemp("engines") / "torch", seed=3)


def spec(source: str, **changes: Any) -> ModelSpec:
    values: dict[str, Any] = {
        "id": "tiny",
        "source": source,
        "slots": SLOTS,
        "context_length": CONTEXT,
        "threads": 1,
    }
    return ModelSpec(**(values | changes))


@pytest.fixture
def load(request: pytest.FixtureRequest, random_model: Path) -> Iterator[Loader]:
    """Loads the engine under test; keyword arguments change its ``ModelSpec``."""
    with ExitStack() as cleanup:

        def make(**changes: Any) -> Engine:
            engine: Engine
            source = str(random_model)
            match request.param:
                case "simulated":
                    engine = SimulatedEngine(sleep=lambda _: None)
                    changes.setdefault("options", {"words": 1000})
                case "openai":
                    server = cleanup.enter_context(upstream(words=1_000_000, context=CONTEXT))
                    engine, source = Patient(OpenAiEngine()), server.models[0]
                    changes.setdefault("options", {"base_url": server.url})
                case "torch":
                    from node.engines.torch_engine import TorchEngine

                    engine = TorchEngine(seconds=lambda: 0.0)  # no chunk hangs on the time
                    source = str(request.getfixturevalue("torch_model"))
                case _:
                    engine = LlamaCppEngine()
            engine.load(spec(source, **changes))
            cleanup.callback(engine.unload)
            return engine

        yield make


torch = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("transformers") is None,
    reason="engine torch is an extra: pip install 'squadron-mesh[torch]'",
)
BOTH = [
    "simulated",
    pytest.param("llama_cpp", marks=pytest.mark.engine),
    pytest.param("torch", marks=torch),
]
# An upstream counts tokens in its own way and knows no ids: what hangs on these is for the others.
every = pytest.mark.parametrize("load", [*BOTH, "openai"], indirect=True)
both = pytest.mark.parametrize("load", BOTH, indirect=True)
llama = pytest.mark.engine


def steps(engine: Engine, count: int, held: frozenset[int] = NOBODY) -> list[Emission]:
    return [emission for _ in range(count) for emission in engine.step(held)]


def answer(emissions: Sequence[Emission], slot: int = 0) -> list[int]:
    return [e.id for e in emissions if isinstance(e, Token) and e.slot == slot]


def generate(
    engine: Engine,
    count: int,
    *,
    text: str = "hello user",
    slot: int = 0,
    sampling: Sampling | None = None,
    delivered: Sequence[int] = (),
) -> list[int]:
    """The next ``count`` tokens after ``delivered``; closes the slot."""
    engine.open(slot, user(text), sampling or Sampling(), delivered, "")
    found: list[int] = []
    while len(found) < count:
        emissions = engine.step(NOBODY)
        assert emissions, "a step with work returns something"
        found += answer(emissions, slot)
        if any(isinstance(e, Ended) for e in emissions):
            break
    engine.close(slot)
    return found


@every
def test_open_returns_the_prompt_tokens_and_prefill_counts_up_to_them(load: Loader) -> None:
    engine = load()
    prompt = engine.open(0, user("hello " * 20), Sampling(), (), "")
    seen: list[Prefilling] = []
    for _ in range(100):
        emissions = engine.step(NOBODY)
        seen += [e for e in emissions if isinstance(e, Prefilling)]
        if answer(emissions):
            break
    assert [e.done for e in seen] == sorted(e.done for e in seen)
    assert seen[-1].done == seen[-1].total == prompt > 20


@every
def test_a_step_without_open_slots_has_no_work(load: Loader) -> None:
    engine = load()
    assert list(engine.step(NOBODY)) == []
    engine.open(1, user("hello"), Sampling(), (), "")
    engine.close(1)
    assert list(engine.step(NOBODY)) == []


@every
def test_held_slots_make_no_progress_and_lose_nothing(load: Loader) -> None:
    engine = load()
    expected = generate(engine, 8)
    engine.open(0, user("hello user"), Sampling(), (), "")
    engine.open(1, user("other"), Sampling(), (), "")
    found = answer(steps(engine, 4))
    emissions = steps(engine, 5, held=frozenset({0}))
    assert {e.slot for e in emissions} == {1}
    assert list(engine.step(frozenset({0, 1}))) == []
    found += answer(steps(engine, 8))
    assert found[:8] == expected


@every
def test_close_frees_at_once_and_the_slot_is_usable_again(load: Loader) -> None:
    engine = load(slots=1)
    for round_ in range(10):
        engine.open(0, user(f"hello {round_}"), Sampling(), (), "")
        assert steps(engine, round_ % 3) or round_ % 3 == 0
        engine.close(0)
        engine.close(0)  # idempotent


@every
def test_a_prompt_can_be_cancelled_in_the_middle_of_prefill(load: Loader) -> None:
    engine = load()
    expected = generate(engine, 5)
    engine.open(2, user("hello " * 30), Sampling(), (), "")
    engine.step(NOBODY)
    engine.close(2)
    assert list(engine.step(NOBODY)) == []
    assert generate(engine, 5) == expected


@every
def test_many_slots_interleave_and_do_not_disturb_each_other(load: Loader) -> None:
    engine = load()
    prompts = ["one", "two two", "hello user, hello", "four " * 10]
    alone = [generate(engine, 10, text=text) for text in prompts]
    for slot, text in enumerate(prompts):
        engine.open(slot, user(text), Sampling(), (), "")
        steps(engine, 2)  # they start at different times
    emissions = steps(engine, 30)
    order = [e.slot for e in emissions if isinstance(e, Token)][-2 * SLOTS :]
    assert set(order) == set(range(SLOTS)), "every slot goes on in every step"
    for slot, text in enumerate(prompts):
        engine.close(slot)
        assert generate(engine, 10, text=text, slot=slot) == alone[slot]


@both
@pytest.mark.parametrize("cut", [1, 7, 15])
def test_a_resume_from_delivered_ids_equals_the_uninterrupted_answer(
    load: Loader, cut: int
) -> None:
    engine = load()
    whole = generate(engine, 20)
    assert generate(engine, 20 - cut, slot=1, delivered=whole[:cut]) == whole[cut:]


@both
def test_a_resume_counts_only_the_messages_as_prompt(load: Loader) -> None:
    engine = load()
    prompt = engine.open(0, user("hello"), Sampling(), (), "")
    assert engine.open(1, user("hello"), Sampling(), (65, 66, 67), "") == prompt
    assert engine.open(2, user("hello"), Sampling(), (), "tok0 tok1 ") == prompt


@both
def test_equal_seeds_give_equal_answers_also_after_a_resume(load: Loader) -> None:
    engine = load()
    sampling = Sampling(temperature=1.0, top_k=40, top_p=0.95, min_p=0.01, seed=7)
    whole = generate(engine, 20, sampling=sampling)
    assert generate(engine, 20, sampling=sampling, slot=2) == whole
    assert generate(engine, 12, sampling=sampling, slot=3, delivered=whole[:8]) == whole[8:]


@both
def test_a_full_context_ends_the_answer(load: Loader) -> None:
    engine = load()
    prompt = engine.open(0, user("hello " * 20), Sampling(), (), "")
    emissions = steps(engine, CONTEXT)
    assert Ended(0, FinishReason.CONTEXT) in emissions
    assert len(answer(emissions)) == CONTEXT - prompt
    assert list(engine.step(NOBODY)) == [], "an ended slot has no work"


@both
def test_a_resume_into_a_full_context_ends_without_a_token(load: Loader) -> None:
    engine = load()
    prompt = engine.open(0, user("hello"), Sampling(), (), "")
    engine.close(0)
    engine.open(0, user("hello"), Sampling(), [65] * (CONTEXT - prompt), "")
    emissions = steps(engine, 3)
    assert answer(emissions) == []
    assert Ended(0, FinishReason.CONTEXT) in emissions


@every
def test_a_prompt_that_fills_the_context_is_refused_with_both_numbers(load: Loader) -> None:
    engine = load()
    with pytest.raises(ContextOverflow, match=rf"\d+ tokens .*\b{CONTEXT}\b"):
        engine.open(0, user("hello " * 250), Sampling(), (), "")
    assert generate(engine, 3), "the slot is still free"


@every
def test_no_slots_are_refused(load: Loader) -> None:
    with pytest.raises(ModelFileError, match="slots"):
        load(slots=0)


@every
def test_an_unknown_option_is_refused_by_name(load: Loader) -> None:
    with pytest.raises(ConfigError, match=r"'wrods'.*known"):
        load(options={"wrods": 3})


@both
def test_spelling_is_what_the_tokens_said(load: Loader) -> None:
    engine = load()
    engine.open(0, user("hello"), Sampling(), (), "")
    said = [e for e in steps(engine, 10) if isinstance(e, Token)]
    assert engine.spell([e.id for e in said]) == b"".join(e.data for e in said)  # type: ignore[attr-defined]


def test_the_registry_knows_both_and_names_them_for_an_unknown_one() -> None:
    assert {"llama_cpp", "simulated"} <= set(known_engines())
    assert isinstance(load_engine("simulated"), SimulatedEngine)
    with pytest.raises(ConfigError, match=r"known: .*llama_cpp, .*simulated"):
        load_engine("llama")


def test_a_simulated_answer_ends_after_its_words_and_takes_its_time() -> None:
    slept: list[float] = []
    engine = SimulatedEngine(sleep=slept.append)
    options = {"words": 3, "base_ms": 10, "slope_ms": 5, "prefill_ms_per_token": 1}
    engine.load(spec("x", options=options))
    prompt = engine.open(0, user("a b c"), Sampling(), (), "")
    engine.open(1, user("a b c"), Sampling(), (), "")
    first = engine.step(NOBODY)
    assert slept == [pytest.approx((10 + 2 * 5 + 2 * prompt) / 1000)]
    emissions = [*first, *steps(engine, 5)]
    said = [e.data for e in emissions if isinstance(e, Token) and e.slot == 0]
    assert said == [b"tok0 ", b"tok1 ", b"tok2 "]
    assert Ended(0, FinishReason.STOP) in emissions


def test_a_simulated_resume_by_text_goes_on_at_the_right_number() -> None:
    engine = SimulatedEngine(sleep=lambda _: None)
    engine.load(spec("x"))
    engine.open(0, user("a"), Sampling(), (), "tok0 tok1 tok2 ")
    assert answer(engine.step(NOBODY)) == [3]


@llama
def test_the_model_ends_its_turn(tmp_path: Path) -> None:
    engine = LlamaCppEngine()
    engine.load(spec(str(write_chain(tmp_path / "chain.gguf", "abc é€!"))))
    engine.open(0, user("hello"), Sampling(), (), "")
    emissions = steps(engine, 30)
    said = b"".join(e.data for e in emissions if isinstance(e, Token))
    assert said.decode() == "abc é€!"
    assert emissions[-1] == Ended(0, FinishReason.STOP)
    engine.unload()


@llama
def test_a_resume_by_text_goes_on_with_the_assistants_turn(tmp_path: Path) -> None:
    engine = LlamaCppEngine()
    engine.load(spec(str(write_chain(tmp_path / "chain.gguf", "abcdef"))))
    engine.open(0, user("hello"), Sampling(), (), "abc")
    assert answer(steps(engine, 3)) == [ord("d"), ord("e"), ord("f")]
    engine.unload()


@pytest.mark.parametrize("load", [pytest.param("llama_cpp", marks=llama)], indirect=True)
class TestLlamaCpp:
    def test_a_common_prefix_is_taken_from_a_free_slots_cache(self, load: Loader) -> None:
        engine = load()
        shared = "hello user, " * 5
        expected = generate(load(), 8, text=shared + "b")
        generate(engine, 4, text=shared + "a")
        prompt = engine.open(3, user(shared + "b"), Sampling(), (), "")
        emissions = steps(engine, 12)
        cached = next(e.cached for e in emissions if isinstance(e, Prefilling))
        assert prompt * 0.7 < cached < prompt
        assert answer(emissions, 3)[:8] == expected

    def test_the_same_prompt_again_evaluates_one_token(self, load: Loader) -> None:
        engine = load()
        expected = generate(engine, 5)
        prompt = engine.open(0, user("hello user"), Sampling(), (), "")
        emissions = steps(engine, 5)
        assert emissions[0] == Prefilling(0, prompt, prompt, prompt - 1)
        assert answer(emissions) == expected

    def test_prefill_in_small_chunks_beside_a_running_answer_changes_nothing(
        self, load: Loader
    ) -> None:
        whole = load()
        text = "hello user " * 15
        expected = generate(whole, 6, text=text)
        engine = load(options={"batch": 8})
        engine.open(0, user("hello"), Sampling(), (), "")
        steps(engine, 5)
        engine.open(1, user(text), Sampling(), (), "")
        emissions = steps(engine, 40)
        prefills = [e for e in emissions if isinstance(e, Prefilling) and e.slot == 1]
        assert len(prefills) > 3
        before = emissions[: emissions.index(prefills[-1])]
        assert len(answer(before, 0)) >= len(prefills) - 1, "the running one got on meanwhile"
        assert answer(emissions, 1)[:6] == expected

    def test_different_seeds_differ_and_no_seed_is_fresh_each_time(self, load: Loader) -> None:
        engine = load()
        one = generate(engine, 20, sampling=Sampling(temperature=1.5, seed=1))
        two = generate(engine, 20, sampling=Sampling(temperature=1.5, seed=2))
        assert one != two
        free = [generate(engine, 20, sampling=Sampling(temperature=1.5)) for _ in range(2)]
        assert free[0] != free[1]

    def test_top_k_of_one_is_greedy_at_any_temperature(self, load: Loader) -> None:
        engine = load()
        greedy = generate(engine, 10)
        assert generate(engine, 10, sampling=Sampling(temperature=2.0, top_k=1)) == greedy
        assert generate(engine, 10, sampling=Sampling(temperature=2.0, top_p=1e-6)) == greedy
        assert generate(engine, 10, sampling=Sampling(temperature=2.0, min_p=1.0)) == greedy

    def test_a_repetition_penalty_counts_delivered_tokens_too(self, load: Loader) -> None:
        engine = load()
        sampling = Sampling(repetition_penalty=1.8)
        whole = generate(engine, 24, sampling=sampling)
        assert whole != generate(engine, 24)
        assert generate(engine, 12, sampling=sampling, delivered=whole[:12]) == whole[12:]

    def test_a_token_id_that_is_not_of_the_model_is_refused(self, load: Loader) -> None:
        engine = load()
        for foreign in (-1, 10_000):
            with pytest.raises(InvalidRequest, match=str(foreign)):
                engine.open(0, user("hello"), Sampling(), (foreign,), "")
        assert generate(engine, 3)

    def test_a_context_longer_than_trained_is_refused_with_both_numbers(self, load: Loader) -> None:
        with pytest.raises(ModelFileError, match=r"4096 .* 256 "):
            load(context_length=4096)


@llama
def test_facts_say_what_was_loaded(random_model: Path) -> None:
    engine = LlamaCppEngine()
    shares: list[float] = []
    engine.on_progress = shares.append
    facts = engine.load(spec(str(random_model)))
    engine.unload()
    assert (facts.device, facts.architecture) == ("cpu", "llama")
    assert facts.context_length == CONTEXT
    assert facts.tokenizer_hash
    assert facts.template_hash
    assert shares
    assert shares == sorted(shares)


@llama
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "nosuch"}, "unknown model architecture: 'nosuch'"),
        ({"template": "{% for %}"}, "template does not parse"),
        ({"layers": 0}, "layers"),
    ],
)
def test_a_file_that_llama_cpp_cannot_run_is_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = write_random(tmp_path / "bad.gguf", **changes)
    with pytest.raises(ModelFileError, match=words) as caught:
        LlamaCppEngine().load(spec(str(path)))
    assert "\n" not in caught.value.message


@llama
def test_a_truncated_file_never_reaches_llama_cpp(random_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(random_model.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match="truncated"):
        LlamaCppEngine().load(spec(str(path)))
