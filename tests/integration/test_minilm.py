"""The real weights: the vectors are those that the exemplars were made with, and the stage decides
by them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from mesh.errors import ConfigError
from mesh.types import Message, Role
from orchestrator.router.base import Features, Verdict
from orchestrator.router.embedding import EmbeddingSettings, EmbeddingStage
from orchestrator.router.minilm import MAX_TOKENS, WIDTH, MiniLm, check_weights, missing_parts

pytestmark = [
    pytest.mark.skipif(bool(missing_parts()), reason="the parts of 'embed' are not installed"),
    pytest.mark.xdist_group("minilm"),
]
# The first four numbers of each text's vector as PyTorch computes it, to six places. The exemplars
# that ship are such vectors, so another graph or runtime may not change them.
FIRST = {
    "": (-0.118838, 0.048299, -0.002548, -0.011011),
    "hi": (-0.090476, 0.04044, 0.023906, 0.058948),
    "How many legs does a spider have?": (0.001752, 0.005542, -0.050248, -0.003176),
    "Write a function that reverses a linked list.": (-0.027819, 0.066594, 0.032537, 0.031078),
    "Üben macht den Meister, 你好, 🙂 \ud800": (-0.086988, 0.063828, 0.082484, -0.038333),
    "word " * 1_000: (-0.008124, -0.095586, -0.038673, 0.049662),
    "a" * 100_000: (-0.041596, -0.024682, 0.077893, -0.00615),
}


@pytest.fixture(scope="module")
def model() -> MiniLm:
    return MiniLm()


def test_vectors_are_those_that_the_exemplars_were_made_with(model: MiniLm) -> None:
    for text, first in FIRST.items():
        assert np.abs(model.vector(text)[:4] - np.array(first)).max() < 1e-5, text[:20]


def test_vectors_have_length_one_and_are_the_same_each_time(model: MiniLm) -> None:
    for text in FIRST:
        vector = model.vector(text)
        assert vector.shape == (WIDTH,)
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
        assert np.array_equal(vector, model.vector(text))


def test_the_vectors_are_those_that_the_model_is_published_with(model: MiniLm) -> None:
    """Cosines as sentence-transformers' own documentation gives them for these sentences
    (https://www.sbert.net, "Quickstart")."""
    weather, sunny, stadium = (
        model.vector(text)
        for text in (
            "The weather is lovely today.",
            "It's so sunny outside!",
            "He drove to the stadium.",
        )
    )
    assert weather @ sunny == pytest.approx(0.6660, abs=1e-3)
    assert weather @ stadium == pytest.approx(0.1046, abs=1e-3)
    assert sunny @ stadium == pytest.approx(0.1411, abs=1e-3)


def test_long_texts_are_cut(model: MiniLm) -> None:
    assert len(model.tokens("word " * 1_000)) == MAX_TOKENS
    assert len(model.tokens("")) == 2


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"])
def test_a_file_that_holds_no_weights_or_others_is_refused(tmp_path: Path, content: bytes) -> None:
    """The graph says where in the file a tensor is, so that another file would be nonsense."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="does not hold the weights"):
        check_weights(path)


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
