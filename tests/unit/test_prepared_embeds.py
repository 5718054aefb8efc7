"""Which models are to embed: what the file says, unless the settings say otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest

from mesh.settings.model import ModelSettings
from mesh.types import ModelId
from node.models.catalogue import inspect
from node.models.prepared import DEFAULT_CONTEXT, EMBEDDING_CONTEXT, prepare
from tests.gguf import write_random
from tests.gguf_bert import write_bert

POOLING = gguf.PoolingType


@pytest.mark.parametrize(
    ("pooling", "options", "wanted"),
    [
        (None, {}, False),
        (POOLING.NONE, {}, False),
        (POOLING.MEAN, {}, True),
        (POOLING.LAST, {}, True),
        (None, {"embedding": True}, True),
        (POOLING.LAST, {"embedding": False}, False),
    ],
)
def test_a_decoder(
    tmp_path: Path, pooling: gguf.PoolingType | None, options: dict[str, Any], wanted: bool
) -> None:
    path = write_random(tmp_path / "model.gguf", pooling=pooling, context=4 * EMBEDDING_CONTEXT)
    assert inspect(path).pooling == (None if pooling is None else int(pooling))
    settings = ModelSettings(source=str(path), specialties=("x",), options=options)
    found = prepare(settings, ModelId("m"), 1)
    assert found.embeds is wanted
    longest = EMBEDDING_CONTEXT if wanted else 4 * EMBEDDING_CONTEXT
    assert found.spec.context_length == longest


def test_an_encoder_embeds_also_without_a_word_on_pooling(tmp_path: Path) -> None:
    facts = inspect(write_bert(tmp_path / "bert.gguf", pooling=None))
    assert (facts.pooling, facts.causal) == (None, False)
    settings = ModelSettings(source=str(tmp_path / "bert.gguf"), specialties=("x",))
    assert prepare(settings, ModelId("m"), 1).embeds


def test_engines_without_a_file_embed_when_told() -> None:
    for options, wanted in (({}, False), ({"embedding": True}, True)):
        settings = ModelSettings(
            source="s", specialties=("x",), engine="simulated", options=options
        )
        found = prepare(settings, ModelId("m"), 1)
        assert found.embeds is wanted
        # No text of theirs is a batch of this box's, so none need be short for its memory's sake.
        assert found.spec.context_length == DEFAULT_CONTEXT
