"""How long a context a folder's model gets when nobody says, read from its config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import ModelFileError
from mesh.settings.model import ModelSettings
from mesh.types import ModelId
from node.engines.hugging_face.folder import own_context, told_by_length
from node.models.prepared import DEFAULT_CONTEXT, prepare

LONGROPE = {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [2.0]}


def folder(path: Path, **described: Any) -> Path:
    (path / "config.json").write_text(json.dumps(described))
    return path


@pytest.mark.parametrize(
    ("described", "tokens"),
    [
        ({"max_position_embeddings": 2048}, 2048),
        ({"n_positions": 1024}, 1024),  # GPT-2
        ({"text_config": {"max_position_embeddings": 4096}, "max_position_embeddings": 77}, 4096),
        ({"model_type": "bloom"}, 0),
        ({"max_position_embeddings": "long"}, 0),
        ({"max_position_embeddings": True}, 0),
        (
            {
                "max_position_embeddings": 131_072,
                "original_max_position_embeddings": 4096,
                "rope_scaling": LONGROPE,
            },
            4096,
        ),
        (
            {
                "max_position_embeddings": 131_072,
                "rope_parameters": {
                    "rope_type": "llama3",
                    "original_max_position_embeddings": 8192,
                },
            },
            131_072,
        ),
        ({"max_position_embeddings": 512, "rope_scaling": {"type": "dynamic"}}, 512),
        ({"max_position_embeddings": 512, "rope_scaling": "yes"}, 512),
    ],
)
def test_a_model_takes_what_its_config_says(
    tmp_path: Path, described: dict[str, Any], tokens: int
) -> None:
    assert own_context(folder(tmp_path, **described)) == tokens


def test_only_positions_that_depend_on_the_batch_are_told_by_length() -> None:
    rotary = {"original_max_position_embeddings": 4096}
    assert told_by_length({"rope_parameters": rotary | {"rope_type": "longrope"}}) == 4096
    assert told_by_length({"rope_parameters": rotary | {"rope_type": "yarn"}}) == 0
    assert told_by_length({"rope_parameters": None}) == 0


def test_a_config_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelFileError, match=r"config\.json is not JSON"):
        own_context(tmp_path)


@pytest.mark.parametrize("engine", ["torch", "exllamav2"])
@pytest.mark.parametrize(
    ("own", "said", "given"),
    [
        (2048, None, 2048),
        (131_072, None, DEFAULT_CONTEXT),
        (131_072, 32_768, 32_768),
        (2048, 4096, 4096),  # the engine refuses it, with both numbers
        (None, None, DEFAULT_CONTEXT),
    ],
)
def test_what_nobody_says_is_the_models_own_as_far_as_memory_is_not_wasted(
    tmp_path: Path, engine: str, own: int | None, said: int | None, given: int
) -> None:
    described = {} if own is None else {"max_position_embeddings": own}
    settings = ModelSettings(
        source=str(folder(tmp_path, **described)),
        specialties=("chat",),
        engine=engine,
        context_length=said,
    )
    assert prepare(settings, ModelId("m"), 2).spec.context_length == given
