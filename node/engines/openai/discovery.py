"""What an upstream hosts, from ``GET /v1/models``: is our model there, and what server is it? Pure.

Servers sign their models: ``owned_by`` is ``vllm``, ``sglang``, ``llamacpp`` and so on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from mesh.cleaned import cleaned
from mesh.errors import ConfigError, ModelFileError

MAX_LISTING_BYTES = 4 * 1024 * 1024

_SHOWN = 12
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


class _Meta(msgspec.Struct):
    n_ctx: int | None = None
    n_ctx_train: int | None = None


class _Entry(msgspec.Struct):
    id: str
    owned_by: str | None = None
    max_model_len: int | None = None  # vLLM, SGLang
    context_length: int | None = None  # OpenRouter
    meta: Any = None  # llama-server
    aliases: list[str] | None = None  # llama-server


class _Listing(msgspec.Struct):
    data: list[_Entry] | None = None


def read_listing(body: bytes) -> list[Listed]:
    """Raises ``ConfigError`` when it is none."""
    try:
        listing = msgspec.json.decode(body, type=_Listing, strict=False)
    except (msgspec.DecodeError, ValueError, RecursionError):
        start = cleaned(body)
        raise ConfigError(
            f"what answers at base_url lists no models as OpenAI's interface does: {start}; check "
            "base_url, it usually ends in /v1"
        ) from None
    return [
        Listed(
            name=entry.id,
            aliases=tuple(entry.aliases or ()),
            server=_OWNERS.get((entry.owned_by or "").lower(), ""),
            context_length=max(0, entry.max_model_len or entry.context_length or _context(entry)),
        )
        for entry in listing.data or ()
    ]


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


def _context(entry: _Entry) -> int:
    """llama-server: what a slot has, else what the model was trained for."""
    try:
        meta = msgspec.convert(entry.meta or {}, _Meta)
    except msgspec.ValidationError:
        return 0
    return meta.n_ctx or meta.n_ctx_train or 0
