"""What every engine holds to."""

from __future__ import annotations

import pytest

from mesh.errors import CannotAnswer, ConfigError, ContextOverflow, ModelFileError
from mesh.types import FinishReason, Sampling
from node.engines.base import Ended, Prefilling, Token
from node.engines.registry import known_engines, load_engine
from node.engines.simulated.engine import SimulatedEngine
from tests.conversations import SEEN, TOOLS
from tests.engine_rig import (
    CONTEXT,
    NOBODY,
    SLOTS,
    Loader,
    answer,
    both,
    every,
    generate,
    spec,
    steps,
    user,
)


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
def test_an_image_is_refused_by_its_place_and_leaves_the_slot_free(load: Loader) -> None:
    engine = load()
    with pytest.raises(CannotAnswer, match=r"^messages\[1\]\.parts\[1\] is an image"):
        engine.open(0, (*user("hello"), *SEEN), Sampling(), (), "")
    assert generate(engine, 3)


@every
def test_calls_and_results_count_as_prompt_or_are_refused_by_their_place(load: Loader) -> None:
    engine = load()
    try:
        whole, refused = engine.open(0, TOOLS, Sampling(), (), ""), ""
    except CannotAnswer as error:
        whole, refused = 0, error.message
    plain = engine.open(1, TOOLS[:1], Sampling(), (), "")
    no_place = "messages[1].parts[0] is a tool call, and this model's chat template"
    assert refused.startswith(no_place) if refused else whole > plain


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
