"""The adapter of engine ``exllamav2`` over a stand-in for the library's generator, which acts as
its documentation says. What the library itself does is in tests/integration/test_exllamav2_*."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import ConfigError, ContextOverflow, EngineFailed, ModelFileError
from mesh.types import FinishReason, Message, Role, Sampling
from node.engines.base import Emission, Ended, ModelFacts, ModelSpec, Prefilling, Token
from node.engines.chat_template import ChatTemplate
from node.engines.draws import Draws
from node.engines.exllamav2.engine import ExLlamaV2Engine
from node.engines.exllamav2.loading import OpenedModel, read_folder, settings
from node.engines.exllamav2.options import cache_tokens, read_options

pytest.importorskip("tokenizers", reason="engine exllamav2 is an extra")

from node.engines.hugging_face.vocabulary import Vocabulary
from tests.torch_folder import CHATML, END, write_tokenizer

NOBODY: frozenset[int] = frozenset()
CONTEXT, CHUNK = 96, 16


class StandIn:
    """One job a slot; a prompt goes in by chunks. The next token depends on all before it and on
    the draw."""

    def __init__(self, ends: int) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.started = self.forwards = 0
        self.ends = ends
        self.end_after: int | None = None
        self.broken = False

    def start(
        self, tokens: Sequence[int], room: int, sampling: Sampling, draws: Draws, slot: int
    ) -> Any:
        self.started += 1
        job = {"tokens": list(tokens), "room": room, "draws": draws, "slot": slot}
        job |= {"greedy": sampling.temperature <= 0, "done": 0, "prompt": len(tokens)}
        self.jobs.append(job)
        return job

    def cancel(self, job: Any) -> None:
        self.jobs = [j for j in self.jobs if j is not job]

    def drawn(self, job: Any, after: int) -> list[int]:
        return list(job["tokens"][after:])

    def cached(self, job: Any) -> int:
        return 3

    def unload(self) -> None:
        self.jobs.clear()

    def iterate(self) -> list[dict[str, Any]]:
        if self.broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")
        self.forwards += 1
        found = []
        for job in list(self.jobs):
            result = {"job": job, "identifier": job["slot"], "eos": False}
            if job["done"] < job["prompt"] - 1:
                job["done"] = min(job["done"] + CHUNK, job["prompt"] - 1)
                progress = {"curr_progress": job["done"], "max_progress": job["prompt"] - 1}
                found.append(result | {"stage": "prefill"} | progress)
                continue
            found.append(result | {"stage": "streaming"} | self._draw(job))
        return found

    def _draw(self, job: dict[str, Any]) -> dict[str, Any]:
        draw = job["draws"].random()
        seen = sum((n + 1) * t for n, t in enumerate(job["tokens"]))
        token = int(seen + (0 if job["greedy"] else 1000 * draw)) % 200
        if self.end_after is not None and len(job["tokens"]) - job["prompt"] >= self.end_after:
            token = self.ends
        job["tokens"].append(token)
        if token == self.ends:
            self.cancel(job)
            return {"eos": True, "eos_reason": "stop_token"}
        if len(job["tokens"]) - job["prompt"] >= job["room"]:
            self.cancel(job)
            return {"eos": True, "eos_reason": "max_new_tokens"}
        return {}


@pytest.fixture
def engine(tmp_path: Path) -> tuple[ExLlamaV2Engine, StandIn]:
    return make(tmp_path)


def make(folder: Path, **changes: Any) -> tuple[ExLlamaV2Engine, StandIn]:
    size = write_tokenizer(folder)
    vocabulary = Vocabulary(folder, size=size, ends=(), named={"eos": END}, has_template=True)
    generator = StandIn(ends=size - 1)
    opened = OpenedModel(
        generator=generator,
        vocabulary=vocabulary,
        template=ChatTemplate(CHATML, bos="", eos=END),
        facts=ModelFacts(context_length=CONTEXT, device="GPU-1"),
    )
    engine = ExLlamaV2Engine(opener=lambda *_: opened)
    engine.load(spec(str(folder), **changes))
    return engine, generator


def spec(source: str, **changes: Any) -> ModelSpec:
    values: dict[str, Any] = {"id": "tiny", "source": source, "slots": 3, "threads": 1}
    return ModelSpec(**(values | {"context_length": CONTEXT} | changes))


def user(text: str) -> tuple[Message, ...]:
    return (Message.of(Role.USER, text),)


def run(engine: ExLlamaV2Engine, count: int, held: frozenset[int] = NOBODY) -> list[Emission]:
    return [e for _ in range(count) for e in engine.step(held)]


def said(emissions: Sequence[Emission], slot: int) -> list[int]:
    return [e.id for e in emissions if isinstance(e, Token) and e.slot == slot]


def answer(engine: ExLlamaV2Engine, count: int, sampling: Sampling) -> list[int]:
    engine.open(0, user("hello"), sampling, (), "")
    found = said(run(engine, count + 10), 0)[:count]
    engine.close(0)
    return found


def test_prefill_counts_up_to_the_prompt_before_the_first_token(
    engine: tuple[ExLlamaV2Engine, StandIn],
) -> None:
    adapter, _ = engine
    prompt = adapter.open(0, user("one two four " * 3), Sampling(), (), "")
    emissions = run(adapter, 8)
    progress = [e for e in emissions if isinstance(e, Prefilling)]
    assert [e.done for e in progress] == sorted(e.done for e in progress)
    assert progress[-1] == Prefilling(0, prompt, prompt, 3)
    assert emissions.index(progress[-1]) < next(
        n for n, e in enumerate(emissions) if isinstance(e, Token)
    )


def test_every_step_with_work_brings_something(engine: tuple[ExLlamaV2Engine, StandIn]) -> None:
    adapter, _ = engine
    assert adapter.step(NOBODY) == []
    adapter.open(0, user("hello"), Sampling(), (), "")
    assert all(adapter.step(NOBODY) for _ in range(20))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0, seed=5)])
def test_a_held_slot_waits_and_loses_nothing(
    engine: tuple[ExLlamaV2Engine, StandIn], sampling: Sampling
) -> None:
    adapter, generator = engine
    expected = answer(adapter, 20, sampling)
    adapter.open(0, user("hello"), sampling, (), "")
    adapter.open(1, user("other"), Sampling(), (), "")
    found: list[int] = []
    while len(found) < 20:
        found += said(run(adapter, 8), 0)
        beside = run(adapter, 2, held=frozenset({0}))
        assert {e.slot for e in beside} == {1}
    assert adapter.step(frozenset({0, 1})) == []
    assert found[:20] == expected
    assert len(generator.jobs) == 0, "who is held has no job that could go on"


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_a_seeded_resume_goes_on_as_the_answer_would_have(
    engine: tuple[ExLlamaV2Engine, StandIn], cut: int
) -> None:
    adapter, _ = engine
    sampling = Sampling(temperature=0.8, seed=3)
    whole = answer(adapter, 20, sampling)
    adapter.open(1, user("hello"), sampling, whole[:cut], "")
    assert said(run(adapter, 40), 1)[: 20 - cut] == whole[cut:]


def test_the_turn_ends_without_its_control_token(
    engine: tuple[ExLlamaV2Engine, StandIn],
) -> None:
    adapter, generator = engine
    whole = answer(adapter, 8, Sampling())
    generator.end_after = 7
    adapter.open(0, user("hello"), Sampling(), (), "")
    emissions = run(adapter, 12)
    assert said(emissions, 0) == whole[:7]
    assert emissions[-1] == Ended(0, FinishReason.STOP)
    assert adapter.step(NOBODY) == []


def test_a_full_context_ends_the_answer(engine: tuple[ExLlamaV2Engine, StandIn]) -> None:
    adapter, _ = engine
    prompt = adapter.open(0, user("hello"), Sampling(), (), "")
    emissions = run(adapter, CONTEXT)
    assert len(said(emissions, 0)) == CONTEXT - prompt
    assert emissions[-1] == Ended(0, FinishReason.CONTEXT)
    adapter.open(1, user("hello"), Sampling(), [5] * CONTEXT, "")
    assert adapter.step(NOBODY) == [Ended(1, FinishReason.CONTEXT)]
    with pytest.raises(ContextOverflow, match=str(CONTEXT)):
        adapter.open(2, user("hello " * 200), Sampling(), (), "")


def test_close_takes_the_job_away_at_once(engine: tuple[ExLlamaV2Engine, StandIn]) -> None:
    adapter, generator = engine
    adapter.open(0, user("hello " * 8), Sampling(), (), "")
    run(adapter, 1)
    adapter.close(0)
    adapter.close(0)
    assert generator.jobs == []


def test_a_gpu_error_is_one_line_and_loses_the_model(
    engine: tuple[ExLlamaV2Engine, StandIn],
) -> None:
    adapter, generator = engine
    adapter.open(0, user("hello"), Sampling(), (), "")
    generator.broken = True
    with pytest.raises(EngineFailed, match="illegal memory access") as caught:
        adapter.step(NOBODY)
    assert "\n" not in caught.value.message


def test_filters_are_in_the_order_of_sampling_and_off_where_it_says_so() -> None:
    asked = settings(Sampling(temperature=0.5, top_k=40, top_p=0.9, min_p=0.1))
    assert asked["temperature_last"]
    assert (asked["top_k"], asked["top_p"], asked["min_p"]) == (40, 0.9, 0.1)
    free = settings(Sampling(temperature=1.0))
    assert (free["top_k"], free["top_p"], free["min_p"]) == (0, 0.0, 0.0)
    assert settings(Sampling())["top_k"] == 1


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"options": {"wrods": 1}}, ConfigError, "'wrods'.*known"),
        ({"options": {"kv_type": "q5"}}, ConfigError, "q5"),
        ({"options": {"batch": 300}}, ConfigError, "multiple of 256"),
        ({"options": {"device": "cpu"}}, ModelFileError, "CUDA"),
        ({"gpu_layers": 0}, ModelFileError, "CUDA"),
        ({"slots": 0}, ModelFileError, "slots"),
        ({"context_length": 0}, ModelFileError, "context_length"),
    ],
)
def test_a_bad_setting_is_refused_by_name(
    changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_options(spec("x", **changes))


def test_every_slot_has_whole_pages_of_its_own() -> None:
    assert cache_tokens(spec("x", slots=3, context_length=257)) == 3 * 512


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "not a model folder"),
        ({}, "not quantised.*engine torch"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantised by awq"),
        ({"quantization_config": {"quant_method": "exl2"}}, "no \\*.safetensors"),
    ],
)
def test_a_folder_that_is_none_of_its_own_is_refused(
    tmp_path: Path, config: dict[str, Any] | None, words: str
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match=words):
        read_folder(tmp_path)
