"""Texts to vectors: what a client asks, what it gets, and how vectors look on every wire.

A vector is a row of float32, little-endian, of Euclidean length 1; so the cosine of the angle
between two of them is their dot product. Vectors of different models mean nothing to each other:
one request is answered whole by one model, which the result names.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mesh.errors import InvalidRequest, ProtocolError
from mesh.types import ModelId, NodeId, Priority, RequestId, Specialty

EMBEDDING = Specialty("embedding")  # who is asked when neither specialty nor model is named
MAX_DIMENSION = 32_768
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """``texts``: 1 to ``MAX_TEXTS``, none of them empty. ``specialty`` None: ``EMBEDDING``, unless
    a ``model`` is named. ``timeout_s``: the whole budget in seconds, None: the orchestrator's
    default. ``tenant``: whose request it is, for the trace."""

    id: RequestId
    texts: tuple[str, ...]
    specialty: Specialty | None = None
    model: ModelId | None = None
    timeout_s: float | None = None
    priority: Priority = Priority.NORMAL
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """``data``: a row of ``dimension`` floats for each text, in the texts' order.
    ``prompt_tokens``: of all texts together. ``attempts``: nodes that were asked, refusals not
    counted. ``queue_ms``: spent waiting for a slot, of the ``total_ms`` from the request's arrival
    at the orchestrator. ``trace_id``: 32 hex digits, zeros where nothing is traced."""

    data: bytes
    dimension: int
    node: NodeId
    node_name: str
    model: ModelId
    prompt_tokens: int
    attempts: int = 1
    queue_ms: float = 0.0
    total_ms: float = 0.0
    trace_id: str = ""

    def __len__(self) -> int:
        return len(self.data) // (FLOAT_BYTES * self.dimension)

    @property
    def vectors(self) -> tuple[array[float], ...]:
        """One ``array('f')`` a text; ``numpy.asarray`` takes each without a copy."""
        return tuple(map(unpacked, rows(self.data, self.dimension, 1)))

    def cosine(self, one: int, other: int) -> float:
        """Of two texts, by their indices from 0: 1 means alike, 0 unrelated, -1 opposed. Raises
        ``InvalidRequest`` for an index that none of them has."""
        for index in (one, other):
            if not isinstance(index, int) or not 0 <= index < len(self):
                raise InvalidRequest(f"texts are counted from 0 to {len(self) - 1} here")
        size = FLOAT_BYTES * self.dimension
        first, second = (unpacked(self.data[size * i : size * (i + 1)]) for i in (one, other))
        return math.fsum(a * b for a, b in zip(first, second, strict=True))


def rows(data: bytes, dimension: int, most: int) -> Iterator[bytes]:
    """``data`` in parts of at most ``most`` vectors each."""
    size = FLOAT_BYTES * dimension * most
    for start in range(0, len(data), size):
        yield data[start : start + size]


def unpacked(row: bytes) -> array[float]:
    """The floats of one row, in this machine's own byte order."""
    floats = array("f")
    floats.frombytes(row)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats


def packed(vector: Sequence[float]) -> bytes:
    """One row."""
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()


def count_of(data: bytes, dimension: int) -> int:
    """How many vectors ``data`` holds. Raises ``ProtocolError`` when it is not a whole number of
    them, at least one."""
    if not 0 < dimension <= MAX_DIMENSION:
        raise ProtocolError(f"a vector's dimension must be 1 to {MAX_DIMENSION}, not {dimension}")
    count, rest = divmod(len(data), FLOAT_BYTES * dimension)
    if rest or not count:
        raise ProtocolError(f"{len(data)} bytes are no vectors of {dimension} float32 each")
    return count
