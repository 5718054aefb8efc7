"""What a Hugging Face folder says beside its weights: JSON, chat template, ends of a turn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.errors import ModelFileError
from node.models.catalogue import CHATML
from node.models.safetensors_folder import TEXT_PARTS

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "seq_length")
_TOLD_BY_LENGTH = ("dynamic", "longrope", "su")  # "su": what longrope was called at first


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """``template`` None: the model has none and is spoken to in ChatML. ``bos``, ``eos``: their
    spellings, "" where there is none. ``ends``: ids that end a turn, as the folder says them."""

    template: str | None
    bos: str
    eos: str
    ends: frozenset[int]

    @property
    def hash(self) -> str:
        return hashlib.sha256((self.template or CHATML).encode()).hexdigest()


def read_chat(folder: Path) -> Chat:
    """Raises ``ModelFileError``."""
    texts = read_json(folder / "tokenizer_config.json")
    ends: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        ids = read_json(folder / name).get("eos_token_id")
        each = ids if isinstance(ids, list) else [ids]
        ends |= {token for token in each if isinstance(token, int)}
    return Chat(
        template=_template(folder, texts),
        bos=_text(texts.get("bos_token")),
        eos=_text(texts.get("eos_token")),
        ends=frozenset(ends),
    )


def read_json(path: Path) -> Mapping[str, Any]:
    """{} for a file that is not there. Raises ``ModelFileError``."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} is not JSON ({error}); download the model again") from None
    if not isinstance(found, dict):
        raise ModelFileError(f"{path} is not a JSON object; download the model again")
    return found


def own_context(folder: Path) -> int:
    """Tokens that the model takes as its config.json has it, 0 where that does not say: those it
    was trained for, and no more than engine torch computes. Raises ``ModelFileError``."""
    described = read_json(folder / "config.json")
    parts = (described.get(name) for name in TEXT_PARTS)
    described = next((part for part in parts if isinstance(part, dict)), described)
    most = next((found for key in _LENGTHS if (found := _length(described.get(key)))), 0)
    short = told_by_length(described)
    return min(most, short) if most and short else most or short


def told_by_length(described: Mapping[str, Any]) -> int:
    """Tokens beyond which the model's rotary positions depend on the longest sequence of a batch, 0
    where they never do. ``described``: a config.json, or the part of it that is about text."""
    for key in ("rope_parameters", "rope_scaling"):
        rotary = described.get(key)
        if not isinstance(rotary, Mapping):
            continue
        if rotary.get("rope_type", rotary.get("type")) in _TOLD_BY_LENGTH:
            name = "original_max_position_embeddings"
            # Where nothing is said, transformers has "dynamic" begin at max_position_embeddings.
            return (
                _length(rotary.get(name))
                or _length(described.get(name))
                or _length(described.get("max_position_embeddings"))
            )
    return 0


def _length(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _template(folder: Path, texts: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    template = texts.get("chat_template")
    if isinstance(template, list):  # several by name
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _text(token: Any) -> str:
    """A special token in tokenizer_config.json is a string, or an object that has one."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""
