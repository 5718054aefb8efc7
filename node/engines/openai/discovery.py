"""What an upstream hosts, from ``GET /v1/models``: is our model there, and what server is it? Pure.

Servers sign their models: ``owned_by`` is ``vllm``, ``sglang``, ``llamacpp`` and so on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from mesh.cleaned import cleaned
from mesh.errors import ConfigError, ModelFileError
from node.engines.openai.chunks import count_of

MAX_LISTING_BYTES = 4 * 1024 * 1024

_SHOWN = 12
_NONE = object()
_NAMES = ("id", "name", "model")
_LENGTHS = ("max_model_len", "context_length", "max_context_length")  # vLLM, OpenRouter, LM Studio
_OWNERS = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama_server",
    "library": "ollama",
    "tabbyapi": "tabbyapi",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """``context_length``: tokens, 0 when the server does not say. ``server``: a key of
    ``DIALECTS``, "" when it does not give itself away."""

    name: str
    server: str = ""
    context_length: int = 0
    aliases: tuple[str, ...] = ()


def read_listing(body: bytes) -> list[Listed]:
    """What is listed; an entry that names nothing is passed over. Raises ``ConfigError`` when it is
    no listing."""
    try:
        listing = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        listing = None
    if isinstance(listing, dict):
        # Some servers have both; Ollama's own interface has the second alone.
        listing = listing.get("data", listing.get("models", _NONE)) or []
    if not isinstance(listing, list):
        raise ConfigError(
            f"what answers at base_url lists no models as OpenAI's interface does: {cleaned(body)}"
            "; check base_url, it usually ends in /v1"
        )
    return [found for entry in listing if (found := _listed(entry)) is not None]


def _listed(entry: Any) -> Listed | None:
    if isinstance(entry, str):
        entry = {"id": entry}
    if not isinstance(entry, dict):
        return None
    name = next((n for key in _NAMES if isinstance(n := entry.get(key), str) and n), None)
    if name is None:
        return None
    others, owner, meta = entry.get("aliases"), entry.get("owned_by"), entry.get("meta")
    others = others if isinstance(others, list) else []
    lengths = [entry.get(key) for key in _LENGTHS]
    if isinstance(meta, dict):  # llama-server: what a slot has, else what it was trained for
        lengths += [meta.get("n_ctx"), meta.get("n_ctx_train")]
    return Listed(
        name=name,
        aliases=tuple(each for each in others if isinstance(each, str)),
        server=_OWNERS.get(owner.lower(), "") if isinstance(owner, str) else "",
        context_length=next(filter(None, map(count_of, lengths)), 0),
    )


def find(source: str, listed: list[Listed], where: str) -> Listed:
    """The model called ``source``. Raises ``ModelFileError`` that lists what is there.

    Ollama lists ``name:latest`` for what is asked for as ``name``.
    """
    for name in (source, f"{source}:latest"):
        for model in listed:
            if name in (model.name, *model.aliases):
                return model
    names = [cleaned(model.name, 80) for model in listed]
    there = ", ".join(names[:_SHOWN]) or "nothing"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    raise ModelFileError(
        f"the upstream {where} has no model '{source}'; it has {there}{more}; give one of these "
        "with --model"
    )
