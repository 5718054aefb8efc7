"""What an upstream's answer to ``POST /v1/embeddings`` may look like, and what it may not."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from mesh.embedding import packed
from mesh.errors import ConfigError, EngineFailed, MeshError, Overloaded
from node.engines.openai.embeddings import ask, read
from node.engines.openai.options import read_options
from tests.openai_rig import spec


def answer(*rows: Any, **more: Any) -> bytes:
    data = [row if isinstance(row, dict) else {"embedding": row} for row in rows]
    return json.dumps({"data": data} | more).encode()


def vectors(body: bytes, count: int) -> list[list[float]]:
    found = read(body, count)
    numbers: list[list[float]] = np.frombuffer(found.data, "<f4").reshape(count, -1).tolist()
    return numbers


def test_rows_are_made_length_1_and_put_in_the_order_of_their_texts() -> None:
    second, first = {"embedding": [0, 5], "index": 1}, {"embedding": [2, 0], "index": 0}
    assert vectors(answer(second, first), 2) == [[1.0, 0.0], [0.0, 1.0]]
    assert vectors(answer([2, 0], [0, 5]), 2) == [[1.0, 0.0], [0.0, 1.0]]


def test_floats_in_base64_are_read() -> None:
    row = base64.b64encode(packed([0.0, 3.0])).decode()
    assert vectors(answer(row), 1) == [[0.0, 1.0]]


def test_tokens_are_what_the_upstream_counted() -> None:
    assert read(answer([1.0], usage={"prompt_tokens": 12}), 1).tokens == 12
    assert read(answer([1.0], usage={"prompt_tokens": None}), 1).tokens == 0
    assert read(answer([1.0]), 1).tokens == 0
    for odd in ([], "none", {"prompt_tokens": []}, {"prompt_tokens": -5}):
        assert read(answer([1.0], usage=odd), 1).tokens == 0
    assert read(answer([1.0], usage={"total_tokens": "7"}), 1).tokens == 7


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no embeddings"),
        (b"<html>hello</html>", "no embeddings: <html>"),
        (b'{"data": 3}', "no embeddings"),
        (b"{}", "0 vectors for 2 texts"),
        (answer([1.0]), "1 vectors for 2 texts"),
        (answer([1.0], [1.0], [1.0]), "3 vectors for 2 texts"),
        (answer([1.0], [1.0, 2.0]), "one dimension"),
        (answer([], []), "one dimension"),
        (answer(*[{"embedding": [1.0], "index": 0}] * 2), "not numbered"),
        (answer([1.0], [1e999]), "no number|no embeddings"),
        (answer("###", "###"), "no base64"),
        (answer("AAA=", "AAA="), "no base64"),
        (b'{"error": {"message": "broken model"}}', "broken model"),
        (b'{"message": "broken model"}', "broken model"),
        (b'{"detail": "broken model", "data": []}', "broken model"),
    ],
)
def test_what_is_no_answer_is_refused_in_one_line(body: bytes, words: str) -> None:
    with pytest.raises(EngineFailed, match=words) as caught:
        read(body, 2)
    assert "\n" not in caught.value.message


def test_an_overload_told_in_the_body_is_one() -> None:
    body = b'{"error": {"message": "later", "type": "rate_limit_error"}}'
    with pytest.raises(Overloaded):
        read(body, 1)


def test_the_request_has_what_the_options_say() -> None:
    options = read_options(spec("http://h/v1", embedding=True, dimensions=256, body={"user": "u"}))
    asked = ask("tiny", options, ("a", "b"))
    assert asked.count == 2
    assert asked.body == {
        "model": "tiny",
        "input": ["a", "b"],
        "encoding_format": "float",
        "user": "u",
        "dimensions": 256,
    }


@pytest.mark.parametrize(
    "options",
    [{"dimensions": 256}, {"embedding": True, "dimensions": 0}, {"embedding": "yes"}],
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        read_options(spec("http://h/v1", **options))


def test_the_body_may_not_set_what_the_request_decides() -> None:
    with pytest.raises(MeshError, match="may not set 'input'"):
        read_options(spec("http://h/v1", embedding=True, body={"input": "x"}))
