"""Engine ``torch`` on a tiny model made here, held against ``transformers``' own generate()."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import EngineFailed, InvalidRequest, ModelFileError
from mesh.types import FinishReason, Message, Role, Sampling
from node.engines.base import Emission, Ended, Failed, ModelSpec, Prefilling, Token

torch = pytest.importorskip("torch", reason="engine torch is an extra")
transformers = pytest.importorskip("transformers", reason="engine torch is an extra")

from node.engines.torch.engine import TorchEngine  # noqa: E402
from tests.torch_folder import write_random, write_tokenizer  # noqa: E402

NOBODY: frozenset[int] = frozenset()
PROMPTS = ("hello user", "one two four " * 9, "x", "assistant, " * 4)
Loader = Callable[..., TorchEngine]


def user(text: str) -> tuple[Message, ...]:
    return (Message.of(Role.USER, text),)


def spec(folder: Path, **changes: Any) -> ModelSpec:
    values: dict[str, Any] = {
        "id": "tiny",
        "source": str(folder),
        "slots": 4,
        "context_length": 256,
        "threads": 1,
    }
    return ModelSpec(**(values | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("torch") / "random", seed=3)


@pytest.fixture
def load(folder: Path) -> Iterator[Loader]:
    loaded = []

    def make(source: Path = folder, **changes: Any) -> TorchEngine:
        # A clock that stands: how fast this machine is must not decide what goes into a batch.
        engine = TorchEngine(seconds=lambda: 0.0)
        engine.load(spec(source, **changes))
        loaded.append(engine)
        return engine

    yield make
    for engine in loaded:
        engine.unload()


def said(emissions: Sequence[Emission], slot: int) -> list[int]:
    return [e.id for e in emissions if isinstance(e, Token) and e.slot == slot]


def run(engine: TorchEngine, count: int) -> list[Emission]:
    return [e for _ in range(count) for e in engine.step(NOBODY)]


def answer(engine: TorchEngine, text: str, count: int, **sampling: Any) -> list[int]:
    engine.open(0, user(text), Sampling(**sampling), (), "")
    found = said(run(engine, count + 20), 0)[:count]
    engine.close(0)
    return found


def generated(folder: Path, text: str, count: int) -> list[int]:
    """The greedy answer of ``transformers``, with its own attention, cache, template and tokens."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt"
    )["input_ids"]
    whole = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=count,
        do_sample=False,
        pad_token_id=0,
    )
    found: list[int] = whole[0, ids.shape[1] :].tolist()
    return found


KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"num_key_value_heads": 1},
    "qwen3": {"head_dim": 32},
    "mistral": {"sliding_window": 9},
    "phi3": {},
    "gpt2": {"n_head": 4},
}


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_answers_are_those_of_transformers_for_several_prompts_at_once(
    tmp_path: Path, load: Loader, kind: str
) -> None:
    source = write_random(tmp_path / kind, seed=5, kind=kind, **KINDS[kind])
    engine = load(source)
    emissions: list[Emission] = []
    for slot, text in enumerate(PROMPTS):
        engine.open(slot, user(text), Sampling(), (), "")
        emissions += run(engine, 3)  # they start at different times, and go on together
    emissions += run(engine, 40)
    alone = load(source, slots=1)
    for slot, text in enumerate(PROMPTS):
        expected = generated(source, text, 24)
        assert said(emissions, slot)[:24] == expected
        assert answer(alone, text, 24) == expected


def test_many_running_slots_and_a_prefill_cost_one_forward_a_step(load: Loader) -> None:
    engine = load(slots=8)
    for slot in range(7):
        engine.open(slot, user(f"hello {slot}"), Sampling(), (), "")
    run(engine, 10)
    engine.open(7, user("one two " * 30), Sampling(), (), "")
    before = engine.forwards
    emissions = run(engine, 6)
    assert engine.forwards - before == 6
    assert all(len(said(emissions, slot)) == 6 for slot in range(7))
    assert any(isinstance(e, Prefilling) and e.slot == 7 for e in emissions)


def test_a_common_prefix_is_taken_from_a_free_slot_and_from_a_busy_one(load: Loader) -> None:
    shared = "hello user, " * 8
    expected = answer(load(), shared + "b", 8)
    engine = load()
    engine.open(0, user(shared + "a"), Sampling(), (), "")
    run(engine, 15)
    prompt = engine.open(1, user(shared + "b"), Sampling(), (), "")  # slot 0 is still busy
    copied = run(engine, 12)
    assert next(e.cached for e in copied if isinstance(e, Prefilling)) > 0.7 * prompt
    assert said(copied, 1)[:8] == expected
    engine.close(0)
    engine.close(1)
    engine.open(2, user(shared + "b"), Sampling(), (), "")
    again = run(engine, 12)
    assert next(e.cached for e in again if isinstance(e, Prefilling)) == prompt - 1
    assert said(again, 2)[:8] == expected


def test_seeded_answers_are_the_same_beside_others_and_after_a_resume(load: Loader) -> None:
    sampling = {"temperature": 1.3, "top_k": 50, "top_p": 0.9, "min_p": 0.02, "seed": 11}
    expected = answer(load(), "hello", 20, repetition_penalty=1.2, **sampling)
    engine = load()
    engine.open(1, user("another one"), Sampling(temperature=1.0), (), "")
    run(engine, 3)
    for slot, cut in ((2, 0), (3, 7)):
        penalty = Sampling(repetition_penalty=1.2, **sampling)
        engine.open(slot, user("hello"), penalty, expected[:cut], "")
    emissions = run(engine, 40)
    assert said(emissions, 2)[:20] == expected
    assert said(emissions, 3)[:13] == expected[7:]
    assert answer(load(), "hello", 20, **(sampling | {"seed": 12})) != expected


def test_filters_down_to_one_token_are_greedy_at_any_temperature(load: Loader) -> None:
    engine = load()
    greedy = answer(engine, "hello", 10)
    for only_one in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}):
        assert answer(engine, "hello", 10, temperature=3.0, **only_one) == greedy


def test_a_repetition_penalty_holds_repetition_off(load: Loader) -> None:
    engine = load()
    greedy = answer(engine, "hello", 40)
    apart = answer(engine, "hello", 40, repetition_penalty=1e6)
    assert len(set(greedy)) < len(set(apart)) == 40


def test_a_resume_by_text_goes_on_after_it(load: Loader) -> None:
    engine = load()
    engine.open(0, user("hello"), Sampling(), (), "")
    prompt = engine.open(1, user("hello"), Sampling(), (), "one two")
    emissions = run(engine, 5)
    done = [e.total for e in emissions if isinstance(e, Prefilling) and e.slot == 1]
    assert done[-1] > prompt


def test_the_model_ends_its_turn(tmp_path: Path, folder: Path, load: Loader) -> None:
    engine = load()
    third = answer(engine, "hello", 3)[2]
    ending = _copied(folder, tmp_path / "ending")
    (ending / "generation_config.json").write_text(json.dumps({"eos_token_id": [third]}))
    stopping = load(ending)
    stopping.open(0, user("hello"), Sampling(), (), "")
    emissions = run(stopping, 10)
    assert len(said(emissions, 0)) == 2
    assert emissions[-1] == Ended(0, FinishReason.STOP)
    assert stopping.step(NOBODY) == []


def test_a_user_cannot_spell_a_control_token(load: Loader) -> None:
    engine = load()
    vocabulary = engine._loaded().opened.vocabulary
    plain = vocabulary.plain("<|im_end|>")
    assert len(plain) > 1
    assert not any(map(vocabulary.is_control, plain))
    assert vocabulary.is_control(vocabulary.with_control("<|im_end|>")[0])


def test_tokens_spell_whole_texts_also_ids_beyond_the_tokenizer(load: Loader) -> None:
    engine = load()
    vocabulary = engine._loaded().opened.vocabulary
    text = "héllo – 你好 \n\t🙂"
    assert engine.spell(vocabulary.plain(text)) == text.encode()
    assert engine.spell([vocabulary.size - 1]) == b""
    with pytest.raises(InvalidRequest, match="vocabulary"):
        engine.open(0, user("hello"), Sampling(), [vocabulary.size], "")


def test_numbers_that_are_none_fail_their_sequence_and_no_other(load: Loader) -> None:
    engine = load(slots=2)
    expected = answer(engine, "hello", 12)
    engine.open(0, user("hello"), Sampling(), (), "")
    engine.open(1, user("other"), Sampling(), (), "")
    found = said(run(engine, 4), 0)
    live = engine._loaded()
    row = engine._open[1].cache
    with torch.inference_mode():
        live.caches.layer(0, None, None)[0][row].fill_(math.nan)
    emissions = run(engine, 4)
    failed = [e for e in emissions if isinstance(e, Failed)]
    assert [e.slot for e in failed] == [1]
    assert isinstance(failed[0].error, EngineFailed)
    found += said(emissions, 0)
    engine.close(1)
    engine.open(1, user("hello"), Sampling(), (), "")
    emissions = run(engine, 16)
    assert (found + said(emissions, 0))[:12] == expected
    assert said(emissions, 1)[:12] == expected


def test_half_the_bytes_on_request(load: Loader) -> None:
    engine = load(options={"dtype": "bfloat16"})
    assert engine._loaded().opened.facts.quantisation == "BF16"
    assert len(answer(engine, "hello", 8)) == 8


def _copied(folder: Path, target: Path) -> Path:
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def _without_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.rename(folder / "pytorch_model.bin")


def _truncated(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _tensor_missing(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


CODE = {"auto_map": {"AutoModelForCausalLM": "evil.Model"}, "model_type": "evil"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "not a model folder.*config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is not JSON"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json.*save_pretrained"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "is no tokenizer"),
        (_without_weights, "only pytorch_model.bin, and pickled weights are never loaded"),
        (_truncated, "truncated or no safetensors"),
        (_tensor_missing, r"1 tensors are missing .*layers\.1\.mlp\.up_proj"),
        (_config(hidden_size=32), "of another shape"),
        (_config(**CODE), "code of its own, which is never run"),
        (_config(model_type="nosuch"), "'nosuch'"),
        (_config(quantization_config={"quant_method": "gptq"}), r"quantised \(gptq\).*exllamav2"),
        (lambda folder: write_tokenizer(folder, template="{% for %}"), "template does not parse"),
    ],
)
def test_a_folder_that_cannot_be_run_is_refused_with_the_reason(
    tmp_path: Path, folder: Path, spoil: Callable[[Path], object], words: str
) -> None:
    bad = _copied(folder, tmp_path / "bad")
    spoil(bad)
    with pytest.raises(ModelFileError, match=words) as caught:
        TorchEngine().load(spec(bad))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("gemma2", {"head_dim": 16}, "softcap"),
        ("mamba", {}, "another engine"),
    ],
)
def test_a_model_that_cannot_be_batched_is_refused_while_loading(
    tmp_path: Path, kind: str, changes: dict[str, Any], words: str
) -> None:
    source = write_random(tmp_path / kind, kind=kind, **changes)
    with pytest.raises(ModelFileError, match=words):
        TorchEngine().load(spec(source))


def test_a_context_longer_than_trained_is_refused_with_both_numbers(folder: Path) -> None:
    with pytest.raises(ModelFileError, match=r"4096 .* 256 "):
        TorchEngine().load(spec(folder, context_length=4096))
