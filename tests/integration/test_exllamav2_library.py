"""Engine ``exllamav2`` over the library's own dynamic generator and jobs, on the CPU.

What needs a GPU is replaced: the compiled extension, the model's forward (here a function of the
tokens in the pages that the generator points at, so that a wrong page or position shows), and the
sampler's C++ core. Queueing, paging, prefix hashes, cancelling and results are the library's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from mesh.types import FinishReason, Message, Role, Sampling
from node.engines.base import Emission, Ended, ModelFacts, ModelSpec, Prefilling, Token
from node.engines.chat_template import ChatTemplate
from node.engines.exllamav2.engine import ExLlamaV2Engine
from node.engines.exllamav2.loading import DynamicGenerator, OpenedModel
from node.engines.exllamav2.options import cache_tokens
from tests.torch_folder import CHATML, END, write_tokenizer

torch = pytest.importorskip("torch", reason="engine exllamav2 is an extra")
if find_spec("exllamav2") is None:
    pytest.skip("engine exllamav2 is an extra", allow_module_level=True)

NOBODY: frozenset[int] = frozenset()
CONTEXT, PAGE = 700, 256


@pytest.fixture(scope="module")
def library() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        if find_spec("exllamav2_ext") is None:
            patch.setitem(sys.modules, "exllamav2_ext", MagicMock())
        import exllamav2.generator
        from exllamav2.generator import dynamic, sampler

        patch.setattr(dynamic, "assert_paged_attn", lambda: None)
        patch.setattr(dynamic, "cuda_sync_active", lambda: None)
        patch.setattr(dynamic, "ext_c", SimpleNamespace(count_match=count_match))
        # It moves pages together with a CUDA kernel, when nothing runs.
        patch.setattr(dynamic.ExLlamaV2DynamicGenerator, "defrag_cache", lambda _: None)
        patch.setattr(sampler.ExLlamaV2Sampler, "sample", staticmethod(sample))
        yield exllamav2.generator


def count_match(page: Any, ids: Any, most: int) -> int:
    most = min(most, ids.shape[-1])
    same = (page[0, :most] == ids[0, :most]).long()
    return int(torch.cumprod(same, 0).sum())


def sample(
    logits: Any, settings: Any, sequence: Any, random: float, *others: Any, **more: Any
) -> tuple[Any, ...]:
    """The likeliest token, or with a temperature the one that the draw says."""
    drawn = logits[0, 0].argmax() if settings.top_k == 1 else torch.tensor(int(250 * random))
    none = torch.empty((1, 0), device="meta")
    return drawn.view(1, 1).long(), none, none, torch.ones((1, 1)), False


class Model:
    """The next token is a sum over all tokens before it, read from the pages."""

    def __init__(self, size: int) -> None:
        self.config = SimpleNamespace(
            vocab_size=size,
            max_input_len=PAGE,
            max_batch_size=1,
            max_seq_len=CONTEXT,
            no_flash_attn=False,
            arch=SimpleNamespace(lm=SimpleNamespace(mrope=False)),
        )
        self.widths: list[int] = []

    def forward_chunk(
        self,
        *,
        input_ids: Any,
        attn_params: Any,
        cache: Any,
        preprocess_only: bool = False,
        **_: Any,
    ) -> dict[str, Any]:
        rows, count = input_ids.shape
        width = -(-self.config.vocab_size // 32) * 32
        logits = torch.zeros((rows, count, width))
        for row in range(rows):
            pages = attn_params.block_index[row].tolist()
            past = int(attn_params.cache_seqlens[row])
            for n in range(count):
                at = past + n
                cache.tokens[pages[at // PAGE], at % PAGE] = input_ids[row, n]
            whole = torch.cat([cache.tokens[page] for page in pages])[: past + count]
            weights = torch.arange(1, len(whole) + 1)
            logits[row, -1, int((whole * weights).sum()) % 250] = 1
        if not preprocess_only:
            self.widths.append(rows)
        return {"logits": logits}

    def unload(self) -> None: ...


class Cache:
    batch_size = 1

    def __init__(self, tokens: int) -> None:
        self.max_seq_len = tokens
        self.tokens = torch.zeros((tokens // PAGE, PAGE), dtype=torch.long)

    def all_tensors(self) -> list[Any]:
        return [self.tokens.view(-1, PAGE, 1, 1)]

    def copy_states(
        self, target: Any, start: int, count: int, at: int, count_at: int, *rows: int
    ) -> None:
        flat = self.tokens.view(-1)
        target.tokens.view(-1)[at : at + count] = flat[start : start + count]


class Rig:
    def __init__(self, folder: Path, library: Any) -> None:
        from node.engines.hugging_face.vocabulary import Vocabulary

        size = write_tokenizer(folder)
        vocabulary = Vocabulary(folder, size=size, ends=(), named={"eos": END}, has_template=True)
        pieces = [vocabulary.piece(token).decode("utf-8", "replace") for token in range(size)]
        tokenizer = SimpleNamespace(
            get_id_to_piece_list=lambda _=False: pieces,
            decode=lambda ids, **_: [
                b"".join(map(vocabulary.piece, ids[0].tolist())).decode("utf-8", "replace")
            ],
        )
        self.spec = ModelSpec(
            id="tiny", source=str(folder), slots=3, context_length=CONTEXT, threads=1
        )
        self.model = Model(size)
        self.generator = library.ExLlamaV2DynamicGenerator(
            model=self.model,
            cache=Cache(cache_tokens(self.spec)),
            tokenizer=tokenizer,
            max_batch_size=self.spec.slots,
            max_chunk_size=PAGE,
            paged=True,
        )
        opened = OpenedModel(
            generator=DynamicGenerator(library, self.generator, self.model, [size - 1]),
            vocabulary=vocabulary,
            template=ChatTemplate(CHATML, bos="", eos=END),
            facts=ModelFacts(context_length=CONTEXT, device="GPU-1"),
        )
        self.engine = ExLlamaV2Engine(opener=lambda *_: opened)
        self.engine.load(self.spec)


@pytest.fixture
def rig(tmp_path: Path, library: Any) -> Rig:
    return Rig(tmp_path, library)


def user(text: str) -> tuple[Message, ...]:
    return (Message.of(Role.USER, text),)


def run(engine: ExLlamaV2Engine, count: int, held: frozenset[int] = NOBODY) -> list[Emission]:
    return [e for _ in range(count) for e in engine.step(held)]


def said(emissions: Sequence[Emission], slot: int) -> list[int]:
    return [e.id for e in emissions if isinstance(e, Token) and e.slot == slot]


def answer(rig: Rig, text: str, count: int, sampling: Sampling) -> list[int]:
    rig.engine.open(0, user(text), sampling, (), "")
    found = said(run(rig.engine, count + 20), 0)[:count]
    rig.engine.close(0)
    return found


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0, seed=4)])
def test_slots_share_a_forward_and_answer_as_alone(rig: Rig, sampling: Sampling) -> None:
    texts = ["hello", "one two four " * 60, "x"]
    alone = [answer(rig, text, 20, sampling) for text in texts]
    emissions: list[Emission] = []
    for slot, text in enumerate(texts):
        rig.engine.open(slot, user(text), sampling, (), "")
        emissions += run(rig.engine, 2)
    emissions += run(rig.engine, 25)
    assert [said(emissions, slot)[:20] for slot in range(3)] == alone
    assert rig.model.widths[-1] == 3
    before = len(rig.model.widths)
    assert all(rig.engine.step(NOBODY) for _ in range(20)), "also within a character"
    assert len(rig.model.widths) - before == 20, "one forward a step"


def test_a_held_slot_has_its_job_taken_and_goes_on_from_its_pages(rig: Rig) -> None:
    text = "one two four " * 60
    expected = answer(rig, text, 30, Sampling())
    prompt = rig.engine.open(0, user(text), Sampling(), (), "")
    rig.engine.open(1, user("other"), Sampling(), (), "")
    emissions: list[Emission] = []
    while len(said(emissions, 0)) < 30:
        emissions += run(rig.engine, 5)
        assert not said(run(rig.engine, 2, held=frozenset({0})), 0)
    assert said(emissions, 0)[:30] == expected
    cached = [e.cached for e in emissions if isinstance(e, Prefilling) and e.slot == 0]
    assert cached[-1] > 0.9 * prompt


def test_a_cancelled_answer_gives_its_pages_back_at_once(rig: Rig) -> None:
    for slot in range(3):
        rig.engine.open(slot, user("hello " * 90), Sampling(), (), "")
    run(rig.engine, 3)
    assert rig.generator.referenced_pages
    for slot in range(3):
        rig.engine.close(slot)
    assert not rig.generator.referenced_pages
    assert rig.generator.num_remaining_jobs() == 0


def test_a_full_context_ends_every_slot_without_waiting_for_another(rig: Rig) -> None:
    emissions: list[Emission] = []
    prompts = [
        rig.engine.open(slot, user(f"{slot} " * 200), Sampling(), (), "") for slot in range(3)
    ]
    emissions += run(rig.engine, CONTEXT)
    for slot, prompt in enumerate(prompts):
        ended = [e for e in emissions if isinstance(e, Ended) and e.slot == slot]
        assert len(ended) == 1
        if ended[0].reason is FinishReason.CONTEXT:
            assert len(said(emissions, slot)) == CONTEXT - prompt


def test_the_calls_that_loading_makes_are_the_librarys() -> None:
    import exllamav2

    config = signature(exllamav2.ExLlamaV2Config.__init__)
    config.bind(None, "folder")
    signature(exllamav2.ExLlamaV2.__init__).bind(None, None)
    load = signature(exllamav2.ExLlamaV2.load_autosplit)
    load.bind(None, None, callback=print)
    for name in ("", "_Q8", "_Q6", "_Q4"):
        cache = getattr(exllamav2, f"ExLlamaV2Cache{name}")
        signature(cache.__init__).bind(None, None, max_seq_len=256, lazy=True)
    signature(exllamav2.ExLlamaV2Tokenizer.__init__).bind(None, None)
    from exllamav2 import attn

    assert isinstance(attn.has_flash_attn_with_paged, bool)
