"""``POST /v1/embeddings`` of an upstream: what is asked, and what its answer says. Pure.

Rows are normalised here whatever the server does, so that vectors are alike on all engines. Servers
differ in how they send numbers (floats, or float32 in base64, which OpenAI's own clients ask for)
and in whether they keep the order; ``index`` says which text a row is of.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mesh.cleaned import cleaned
from mesh.embedding import MAX_DIMENSION
from mesh.errors import EngineFailed
from node.engines.embedding_batch import normalised
from node.engines.openai.chunks import count_of
from node.engines.openai.options import OpenAiOptions
from node.engines.openai.reading import Rows
from node.engines.openai.words import reported

MAX_BODY_BYTES = 64 * 1024 * 1024  # 256 texts of 8,192 numbers, written out


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """``body``: of the request. ``count``: how many vectors must come."""

    body: dict[str, Any]
    count: int


class _Row(msgspec.Struct):
    embedding: list[float] | str
    index: Any = None


class _Answer(msgspec.Struct):
    data: list[_Row] | None = None
    usage: Any = None
    error: Any = None
    message: Any = None
    detail: Any = None
    code: Any = None


_DECODER = msgspec.json.Decoder(_Answer, strict=False)


def ask(model: str, options: OpenAiOptions, texts: tuple[str, ...]) -> Texts:
    body = {"model": model, "input": list(texts), "encoding_format": "float", **options.body}
    if options.dimensions is not None:
        body["dimensions"] = options.dimensions
    return Texts(body=body, count=len(texts))


def read(data: bytes, count: int) -> Rows:
    """Raises ``EngineFailed`` for what is not ``count`` vectors of one dimension, and the error
    that the upstream reports."""
    try:
        answer = _DECODER.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        start = cleaned(data)
        raise EngineFailed(f"the upstream answered with what are no embeddings: {start}") from None
    if answer.error or (not answer.data and (answer.message or answer.detail or answer.code)):
        raise reported(msgspec.structs.asdict(answer))
    rows = answer.data or []
    if len(rows) != count:
        raise EngineFailed(f"the upstream sent {len(rows)} vectors for {count} texts")
    places = [row.index if type(row.index) is int else at for at, row in enumerate(rows)]
    if sorted(places) != list(range(count)):
        raise EngineFailed("the upstream's vectors are not numbered as the texts are")
    found = [_numbers(row.embedding) for _, row in sorted(zip(places, rows, strict=True), key=_at)]
    dimension = len(found[0])
    if not 0 < dimension <= MAX_DIMENSION or any(len(row) != dimension for row in found):
        raise EngineFailed(
            f"the upstream's vectors are not all of one dimension from 1 to {MAX_DIMENSION}"
        )
    try:
        packed = normalised(np.stack(found))
    except ValueError as error:
        raise EngineFailed(f"the upstream sent no vector: {error}") from None
    usage = answer.usage if isinstance(answer.usage, dict) else {}
    tokens = count_of(usage.get("prompt_tokens") or usage.get("total_tokens"))
    return Rows(dimension=dimension, data=packed, tokens=tokens)


def _at(numbered: tuple[int, _Row]) -> int:
    return numbered[0]


def _numbers(row: list[float] | str) -> NDArray[np.float32]:
    if not isinstance(row, str):
        return np.asarray(row, np.float32)
    try:
        data = base64.b64decode(row, validate=True)
        return np.frombuffer(data, "<f4")
    except (binascii.Error, ValueError):
        raise EngineFailed("the upstream sent a vector that is no base64 of float32") from None
