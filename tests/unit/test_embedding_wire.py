"""Vectors as they travel, and the messages around them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mesh.embedding import EMBEDDING, Embeddings, EmbedRequest, count_of, packed, rows, unpacked
from mesh.errors import InvalidRequest, ProtocolError
from mesh.protobuf.embed import (
    embed_request_from_wire,
    embed_request_to_wire,
    embeddings_from_wire,
    embeddings_to_wire,
)
from mesh.types import ModelId, NodeId, Priority, RequestId, Specialty
from mesh.v1 import mesh_pb2 as pb

ID = RequestId("0" * 32)
OTHER = RequestId("1" * 32)


def embeddings(*vectors: list[float]) -> Embeddings:
    return Embeddings(
        data=b"".join(map(packed, vectors)),
        dimension=len(vectors[0]),
        node=NodeId("n"),
        node_name="box",
        model=ModelId("mini"),
        prompt_tokens=7,
        attempts=2,
        queue_ms=1.5,
        total_ms=2.5,
        trace_id="f" * 32,
    )


def test_rows_are_arrays_that_numpy_takes_as_they_are() -> None:
    found = embeddings([1.0, 0.0], [0.6, 0.8], [-1.0, 0.0])
    assert len(found) == 3
    assert np.asarray(found.vectors[1]).dtype == np.float32
    assert np.allclose(np.asarray(found.vectors), [[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]])
    assert found.cosine(0, 2) == -1.0
    odd: list[Any] = [3, -1, 0.5, "0", None]
    for index in odd:
        with pytest.raises(InvalidRequest, match="from 0 to 2"):
            found.cosine(0, index)
    assert found.cosine(0, 1) == pytest.approx(0.6)


def test_floats_are_little_endian_on_every_machine() -> None:
    assert packed([1.0, -2.0]) == bytes.fromhex("0000803f000000c0")
    assert unpacked(bytes.fromhex("0000803f000000c0")).tolist() == [1.0, -2.0]


def test_rows_are_cut_where_vectors_end() -> None:
    data = b"".join(packed([float(n), 0.0]) for n in range(5))
    assert [len(part) // 8 for part in rows(data, 2, 2)] == [2, 2, 1]
    assert b"".join(rows(data, 2, 3)) == data


@pytest.mark.parametrize(
    ("size", "dimension"), [(0, 2), (4, 2), (9, 2), (8, 0), (8, -1), (8, 32_769)]
)
def test_bytes_that_are_no_vectors_are_refused(size: int, dimension: int) -> None:
    with pytest.raises(ProtocolError):
        count_of(bytes(size), dimension)


def test_a_request_survives_the_wire() -> None:
    plain = EmbedRequest(id=ID, texts=("a", "ünï😀"))
    full = EmbedRequest(
        id=ID,
        texts=("a",),
        specialty=EMBEDDING,
        model=ModelId("mini"),
        timeout_s=2.5,
        priority=Priority.BATCH,
        tenant="t",
    )
    for request in (plain, full):
        wire = pb.EmbedRequest.FromString(embed_request_to_wire(request).SerializeToString())
        assert embed_request_from_wire(wire, fresh_id=OTHER) == request


def test_an_answer_survives_the_wire_and_must_have_a_vector_for_each_text() -> None:
    found = embeddings([1.0, 0.0], [0.6, 0.8])
    wire = pb.EmbedResponse.FromString(embeddings_to_wire(found).SerializeToString())
    assert embeddings_from_wire(wire, texts=2) == found
    with pytest.raises(ProtocolError, match="2 vectors for 3 texts"):
        embeddings_from_wire(wire, texts=3)
    with pytest.raises(ProtocolError):
        embeddings_from_wire(pb.EmbedResponse(vectors=b"123", dimension=1), texts=1)


@pytest.mark.parametrize(
    "fields",
    [
        {"timeout_s": -1.0},
        {"timeout_s": float("nan")},
        {"specialty": "NO NAME"},
        {"model": "m" * 600},
        {"priority": "soon"},
        {"request_id": "x"},
        {"tenant": "t" * 300},
    ],
)
def test_a_request_that_is_wrong_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        embed_request_from_wire(pb.EmbedRequest(texts=["a"], **fields), fresh_id=ID)


def test_text_without_a_utf8_form_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidRequest, match="cannot be sent"):
        embed_request_to_wire(EmbedRequest(id=ID, texts=("\ud800",), specialty=Specialty("x")))
