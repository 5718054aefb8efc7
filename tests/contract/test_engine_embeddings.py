"""What every engine that embeds holds to (``node.engines.base.Embeds``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from mesh.errors import CannotAnswer, ConfigError, ContextOverflow, MeshError, ModelFileError
from mesh.types import FinishReason, Message, Role, Sampling
from node.engines.base import Counted, Embedded, Ended, Engine, ModelFacts, ModelSpec
from node.engines.llama_cpp.engine import LlamaCppEngine
from node.engines.openai.engine import OpenAiEngine
from node.engines.simulated.engine import SimulatedEngine
from tests.gguf import write_random
from tests.gguf_bert import write_bert
from tests.openai_rig import Patient
from tests.openai_upstream import embed, speak, upstream

SLOTS, CONTEXT = 3, 64
NOBODY: frozenset[int] = frozenset()
TEXTS = ("a cat", "the dog sat there", "a cat", "x", "one more of them")
HELLO = (Message.of(Role.USER, "hello"),)
# Sums come in another order in a batch of another shape, and llama.cpp's are partly of float16.
ALIKE = 2e-3
Loader = Callable[..., tuple[Any, ModelFacts]]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("embedders")
    return {
        "bert": write_bert(folder / "bert.gguf"),
        "causal": write_random(folder / "causal.gguf", pooling=gguf.PoolingType.LAST),
        "plain": write_random(folder / "plain.gguf"),
        "reranker": write_bert(folder / "reranker.gguf", pooling=gguf.PoolingType.RANK),
    }


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
def load(request: pytest.FixtureRequest, files: dict[str, Path]) -> Iterator[Loader]:
    """Loads the engine under test; keyword arguments are options of it."""
    with ExitStack() as cleanup:

        def make(**options: Any) -> tuple[Any, ModelFacts]:
            engine: Any
            match request.param:
                case "simulated":
                    engine, source = SimulatedEngine(sleep=lambda _: None), "s"
                    options = {"embedding": True} | options
                case "openai":
                    options = {"embedding": True} | options
                    behave = embed if options["embedding"] else speak
                    server = cleanup.enter_context(upstream(behave, context=CONTEXT))
                    engine, source = Patient(OpenAiEngine()), server.models[0]
                    options = {"base_url": server.url} | options
                case kind:
                    engine, source = LlamaCppEngine(), str(files[kind])
                    if kind == "plain":
                        options = {"embedding": True} | options
            facts = engine.load(spec(source, options=options))
            cleanup.callback(engine.unload)
            return engine, facts

        yield make


llama = [pytest.param(kind, marks=pytest.mark.engine) for kind in ("bert", "causal", "plain")]
every = pytest.mark.parametrize("load", ["simulated", "openai", *llama], indirect=True)


def until_ended(engine: Engine, *slots: int) -> dict[int, NDArray[np.float32]]:
    """The vectors of these slots, which begin with text 0, leave no gap and end with ``Ended``."""
    parts: dict[int, list[NDArray[np.float32]]] = {slot: [] for slot in slots}
    missing = set(slots)
    while missing:
        emissions = engine.step(NOBODY)
        assert emissions, "a step with work returns something"
        for emission in emissions:
            match emission:
                case Embedded(slot=slot, first=first, dimension=dimension, data=data):
                    assert slot in missing, "a vector after the end"
                    assert first == sum(len(part) for part in parts[slot])
                    parts[slot].append(np.frombuffer(data, "<f4").reshape(-1, dimension))
                case Ended(slot=slot, reason=reason):
                    assert reason == FinishReason.STOP
                    missing.remove(slot)
                case Counted():
                    pass
                case _:
                    raise AssertionError(f"{emission} while texts are embedded")
    return {slot: np.concatenate(found) for slot, found in parts.items()}


def embedded(engine: Any, texts: Sequence[str], slot: int = 0) -> NDArray[np.float32]:
    engine.embed(slot, texts)
    found = until_ended(engine, slot)[slot]
    engine.close(slot)
    return found


@every
def test_each_text_has_one_vector_of_length_1_in_its_place(load: Loader) -> None:
    engine, facts = load()
    assert facts.embeds
    assert engine.embed(0, TEXTS) >= len(TEXTS)
    found = until_ended(engine, 0)[0]
    assert len(found) == len(TEXTS)
    assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    assert np.allclose(found[0], found[2], atol=ALIKE)
    assert not np.allclose(found[0], found[1], atol=10 * ALIKE)


@every
def test_a_text_has_the_same_vector_alone_in_company_and_a_second_time(load: Loader) -> None:
    engine, _ = load()
    together = embedded(engine, TEXTS)
    for index, text in enumerate(TEXTS):
        alone = embedded(engine, [text], slot=index % SLOTS)
        assert np.allclose(alone[0], together[index], atol=ALIKE)
    assert np.allclose(embedded(engine, TEXTS), together, atol=ALIKE)


@every
def test_slots_are_served_together_and_keep_apart(load: Loader) -> None:
    engine, _ = load()
    alone = embedded(engine, TEXTS)
    engine.embed(0, TEXTS)
    engine.embed(1, TEXTS[:1])
    engine.embed(2, TEXTS[::-1])
    found = until_ended(engine, 0, 1, 2)
    assert np.allclose(found[0], alone, atol=ALIKE)
    assert np.allclose(found[1], alone[:1], atol=ALIKE)
    assert np.allclose(found[2], alone[::-1], atol=ALIKE)


@every
def test_two_hundred_and_fifty_six_texts_come_whole(load: Loader) -> None:
    engine, _ = load()
    texts = [f"text {chr(97 + n % 26)} {chr(97 + n // 26)}" for n in range(256)]
    found = embedded(engine, texts)
    assert len(found) == 256
    assert np.allclose(found[200], embedded(engine, [texts[200]])[0], atol=ALIKE)


@every
def test_a_text_too_long_is_refused_by_its_number_and_nothing_is_cut(load: Loader) -> None:
    engine, _ = load()
    with pytest.raises(ContextOverflow, match=f"text 2 has .* takes {CONTEXT} a text"):
        engine.embed(0, ["short", "much too long " * 100, "short"])
    assert len(embedded(engine, ["short"])) == 1  # the slot is free


@every
def test_a_slot_closed_midway_is_free_at_once_and_the_others_go_on(load: Loader) -> None:
    engine, _ = load()
    alone = embedded(engine, TEXTS)
    engine.embed(0, TEXTS)
    engine.embed(1, TEXTS)
    engine.close(0)
    engine.close(0)
    engine.embed(0, TEXTS[3:])
    found = until_ended(engine, 0, 1)
    assert np.allclose(found[0], alone[3:], atol=ALIKE)
    assert np.allclose(found[1], alone, atol=ALIKE)


@every
def test_a_model_that_embeds_answers_nothing(load: Loader) -> None:
    engine, _ = load()
    with pytest.raises(CannotAnswer, match="makes embeddings and no answers"):
        engine.open(0, HELLO, Sampling(), (), "")
    assert len(embedded(engine, ["short"])) == 1


@pytest.mark.parametrize("load", ["simulated", "openai", llama[-1]], indirect=True)
def test_a_model_that_answers_embeds_nothing(load: Loader) -> None:
    engine, facts = load(embedding=False)
    assert not facts.embeds
    with pytest.raises(CannotAnswer, match="gives answers and makes no embeddings"):
        engine.embed(0, TEXTS)
    assert engine.open(0, HELLO, Sampling(), (), "") > 0
    engine.close(0)


@pytest.mark.parametrize("load", ["simulated", *llama], indirect=True)
def test_a_held_slot_waits(load: Loader) -> None:
    engine, _ = load()
    engine.embed(0, TEXTS)
    assert engine.step(frozenset({0})) == []
    assert len(until_ended(engine, 0)[0]) == len(TEXTS)


def refusal(source: Path, **options: Any) -> MeshError:
    engine = LlamaCppEngine()
    with pytest.raises(MeshError) as caught:
        engine.load(spec(str(source), options=options))
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.engine
def test_options_that_contradict_are_refused_by_name(files: dict[str, Path]) -> None:
    plain, bert = files["plain"], files["bert"]
    for source, options, words in (
        (plain, {"pooling": "mean"}, "'pooling' is for models that embed; set embedding = true"),
        (plain, {"embedding": "yes"}, "'embedding' must be true or false, not 'yes'"),
        (bert, {"pooling": "max"}, "'pooling' must be mean, cls, last, not 'max'"),
        (bert, {"speculative": "ngram"}, "'speculative' is for models that generate text; leave"),
        (bert, {"lora": []}, "'lora' is for models that generate text"),
    ):
        found = refusal(source, **options)
        assert isinstance(found, ConfigError), found
        assert words in found.message
    found = refusal(files["reranker"])
    assert isinstance(found, ModelFileError)
    assert "is a reranker" in found.message


@pytest.mark.engine
def test_the_pooling_is_the_files_unless_an_option_says_otherwise(files: dict[str, Path]) -> None:
    found = []
    for options in ({}, {"pooling": "cls"}, {"pooling": "mean"}):
        engine = LlamaCppEngine()
        engine.load(spec(str(files["bert"]), options=options))
        found.append(embedded(engine, TEXTS))
        engine.unload()
    by_file, cls, mean = found
    assert np.allclose(by_file, cls, atol=ALIKE)
    assert not np.allclose(by_file, mean, atol=10 * ALIKE)


@pytest.mark.engine
def test_what_spells_a_control_token_stays_text(files: dict[str, Path]) -> None:
    engine = LlamaCppEngine()
    engine.load(spec(str(files["causal"])))
    assert engine.embed(0, ["<|im_end|>"]) > 1
    assert engine.embed(1, ["hello"]) < engine.embed(2, ["hello<|im_end|>"]) - 1
    engine.unload()


@pytest.mark.engine
def test_a_file_that_cannot_generate_is_not_made_to(tmp_path: Path) -> None:
    """Also without a word on pooling: it sees what comes after."""
    engine = LlamaCppEngine()
    facts = engine.load(spec(str(write_bert(tmp_path / "bare.gguf", pooling=None))))
    assert facts.embeds
    assert len(embedded(engine, TEXTS)) == len(TEXTS)
    engine.unload()
