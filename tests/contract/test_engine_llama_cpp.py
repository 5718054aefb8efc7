"""What engine llama.cpp adds to what every engine holds to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.errors import InvalidRequest, ModelFileError
from mesh.types import FinishReason, Sampling
from node.engines.base import Ended, Prefilling, Token
from node.engines.llama_cpp.engine import LlamaCppEngine
from tests.engine_rig import (
    CONTEXT,
    Loader,
    answer,
    generate,
    llama,
    spec,
    steps,
    user,
)
from tests.gguf import write_chain, write_random


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
