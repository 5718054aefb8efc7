"""The real weights: both runtimes give the same vectors, and the stage decides by them."""

from __future__ import annotations

import asyncio
import importlib.util

import numpy as np
import pytest

from mesh.errors import ConfigError
from mesh.types import Message, Role
from orchestrator.router.base import Features, Verdict
from orchestrator.router.embedding import EmbeddingSettings, EmbeddingStage
from orchestrator.router.minilm import MAX_TOKENS, WIDTH, MiniLm, missing_parts, read_weights

pytestmark = [
    pytest.mark.skipif(bool(missing_parts()), reason="the parts of 'embed' are not installed"),
    pytest.mark.xdist_group("minilm"),
]
WITH_ONNX = importlib.util.find_spec("onnxruntime") is not None
TEXTS = (
    "",
    "hi",
    "How many legs does a spider have?",
    "Write a function that reverses a linked list.",
    "Üben macht den Meister, 你好, 🙂 \ud800",
    "word " * 1_000,
    "a" * 100_000,
)


@pytest.fixture(scope="module")
def numpy_model() -> MiniLm:
    return MiniLm(runtime="numpy")


@pytest.mark.skipif(not WITH_ONNX, reason="onnxruntime is not installed")
def test_both_runtimes_give_the_same_vectors(numpy_model: MiniLm) -> None:
    other = MiniLm(runtime="onnxruntime")
    for text in TEXTS:
        difference = np.abs(numpy_model.vector(text) - other.vector(text)).max()
        assert difference < 1e-5, text[:20]


def test_vectors_have_length_one_and_are_the_same_each_time(numpy_model: MiniLm) -> None:
    for text in TEXTS:
        vector = numpy_model.vector(text)
        assert vector.shape == (WIDTH,)
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
        assert np.array_equal(vector, numpy_model.vector(text))


def test_the_vectors_are_those_that_the_model_is_published_with(numpy_model: MiniLm) -> None:
    """Cosines as sentence-transformers' own documentation gives them for these sentences
    (https://www.sbert.net, "Quickstart")."""
    weather, sunny, stadium = (
        numpy_model.vector(text)
        for text in (
            "The weather is lovely today.",
            "It's so sunny outside!",
            "He drove to the stadium.",
        )
    )
    assert weather @ sunny == pytest.approx(0.6660, abs=1e-3)
    assert weather @ stadium == pytest.approx(0.1046, abs=1e-3)
    assert sunny @ stadium == pytest.approx(0.1411, abs=1e-3)


def test_long_texts_are_cut(numpy_model: MiniLm) -> None:
    assert len(numpy_model.tokens("word " * 1_000)) == MAX_TOKENS
    assert len(numpy_model.tokens("")) == 2


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(ConfigError, match="neither 'onnxruntime' nor 'numpy'"):
        MiniLm(runtime="abacus")


@pytest.mark.parametrize(
    "content", [b"", b'\x08\0\0\0\0\0\0\0{"a": 1}', b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"]
)
def test_a_file_that_holds_no_weights_is_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="does not hold the weights"):
        read_weights(path)


@pytest.mark.parametrize(
    ("prompt", "specialty"),
    [
        ("Could somebody tell me why my for loop never stops?", "code"),
        ("The pupils sold 40 tickets at $3 and 25 at $5. How much did they earn?", "math"),
        ("which ocean lies between africa and australia", "knowledge"),
        ("i feel a bit down today", "chat"),
        (
            "Nobody in the club smokes. Everyone who dives is in the club. Tina smokes. "
            "Does Tina dive?",
            "logic",
        ),
        ("how many metres are 3 miles", "units"),
    ],
)
async def test_the_stage_decides_by_meaning(prompt: str, specialty: str) -> None:
    stage = EmbeddingStage(EmbeddingSettings())
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(stage.run())
        async with asyncio.timeout(60):
            while not stage.ready:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        said = await stage.consult(Features.of((Message.of(Role.USER, prompt),)))
        run.cancel()
    assert isinstance(said, Verdict), said
    assert said.specialty == specialty
