"""What an upstream's refusals and listings mean."""

from __future__ import annotations

import json

import pytest

from mesh.errors import (
    ConfigError,
    ContextOverflow,
    EngineFailed,
    MeshError,
    ModelFileError,
    NotServed,
    Overloaded,
)
from node.engines.openai.discovery import Listed, find, read_listing
from node.engines.openai.failures import LONGEST_RETRY_AFTER_S, refused, retry_after_s
from node.engines.openai.words import body_text

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("status", "body", "blamed"),
    [
        (404, '{"error": {"message": "The model `x` does not exist"}}', "no model 'tiny'"),
        (404, '{"error": "\\"tiny\\" not found"}', "no model 'tiny'"),
        (404, '{"detail": "Not Found"}', "nothing at http://up/v1/x"),
        (404, '{"error": {"code": 404, "message": "File Not Found"}}', "nothing at http://up/v1/x"),
        (404, "<html><title>404 Not Found</title></html>", "nothing at http://up/v1/x"),
        (404, "", "nothing at http://up/v1/x"),
        (405, '{"detail": "Method Not Allowed"}', "nothing at http://up/v1/x"),
        (501, "<html>", "nothing at http://up/v1/x"),
    ],
)
def test_an_address_that_is_wrong_is_not_blamed_on_the_model(
    status: int, body: str, blamed: str
) -> None:
    found = refused(status, {}, body.encode(), model="tiny", where="http://up/v1/x", wall=NOW)
    assert blamed in found.error.message
    assert found.lost


@pytest.mark.parametrize(
    ("status", "body", "kind", "again", "lost"),
    [
        (401, '{"error": {"message": "words"}}', EngineFailed, False, True),
        (403, "words", EngineFailed, False, False),
        (404, '{"error": "words"}', EngineFailed, False, True),
        (429, '{"error": {"message": "words"}}', Overloaded, True, False),
        (503, '{"detail": "words"}', Overloaded, True, False),
        (500, '{"message": "words"}', EngineFailed, True, False),
        (502, "<html><title>words</title></html>", EngineFailed, True, False),
        (504, "", EngineFailed, True, False),
        (400, '{"error": {"message": "words"}}', NotServed, False, False),
        (422, '{"detail": [{"msg": "words"}]}', NotServed, False, False),
        (
            400,
            '{"error": {"message": "words: maximum context length is 9"}}',
            ContextOverflow,
            0,
            0,
        ),
        (413, "words", ContextOverflow, False, False),
        (418, "words", NotServed, False, False),
        (301, "", EngineFailed, False, False),
        (505, "words", EngineFailed, False, False),
    ],
)
def test_a_status_has_its_meaning(
    status: int, body: str, kind: type[MeshError], again: bool, lost: bool
) -> None:
    found = refused(status, {}, body.encode(), model="tiny", where="http://up/v1/x", wall=NOW)
    assert type(found.error) is kind
    assert (found.again, found.lost) == (again, lost)
    assert str(status) in found.error.message or kind is ContextOverflow
    assert ("words" in found.error.message) == ("words" in body)
    assert "\n" not in found.error.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1e999"}, LONGEST_RETRY_AFTER_S),
        ({"retry-after": "99999999"}, LONGEST_RETRY_AFTER_S),
        ({"retry-after": "9", "retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds
    assert (
        refused(429, headers, b"", model="x", where="http://up/v1/x", wall=NOW).error.retry_after_s
        == seconds
    )


def test_a_redirect_names_where_to_without_its_query() -> None:
    found = refused(
        307,
        {"location": "https://other/v1?token=abc"},
        b"",
        model="tiny",
        where="http://up/v1/x",
        wall=NOW,
    )
    assert "https://other/v1;" in found.error.message
    assert "abc" not in found.error.message
    found = refused(
        302, {"location": "http://["}, b"", model="tiny", where="http://up/v1/x", wall=NOW
    )
    assert "redirects (302) to nowhere" in found.error.message


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"plain", "plain"),
        (b"<!doctype html><html>x", "a page of HTML"),
        (b"<TITLE>Bad Gateway</TITLE>", "Bad Gateway"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"x": 1}', '{"x": 1}'),
        (b'{"error": {"message": "m"}}', "m"),
        (b'{"error": {"error": {"message": "m"}}}', "m"),
    ],
)
def test_the_words_of_a_body_are_found(body: bytes, text: str) -> None:
    assert body_text(body) == text


def listing(*entries: object) -> bytes:
    return json.dumps({"object": "list", "data": entries}).encode()


def test_a_listing_says_what_server_it_is_and_how_long_its_context_is() -> None:
    found = read_listing(
        listing(
            {"id": "a", "owned_by": "vllm", "max_model_len": 4096},
            {"id": "b", "owned_by": "llamacpp", "meta": {"n_ctx": 512, "n_ctx_train": 9999}},
            {"id": "c", "owned_by": "llamacpp", "meta": {"n_ctx_train": 9999}},
            {"id": "d", "owned_by": "library"},
            {"id": "e", "owned_by": "some-company", "meta": "odd", "max_model_len": None},
            {"id": "f", "aliases": ["g"]},
        )
    )
    assert found == [
        Listed(name="a", server="vllm", context_length=4096),
        Listed(name="b", server="llama_server", context_length=512),
        Listed(name="c", server="llama_server", context_length=9999),
        Listed(name="d", server="ollama"),
        Listed(name="e"),
        Listed(name="f", aliases=("g",)),
    ]
    assert find("g", found, "x").name == "f"
    assert read_listing(b'{"object": "list", "data": null}') == []


@pytest.mark.parametrize("body", [b"", b"<html>", b"3", b'{"x": 1}', b'{"data": "x"}', b"\xff"])
def test_what_is_no_listing_points_at_base_url(body: bytes) -> None:
    with pytest.raises(ConfigError, match="check base_url"):
        read_listing(body)


def test_a_model_is_found_by_its_name_and_ollamas_without_its_tag() -> None:
    listed = [Listed(name="llama3:latest"), Listed(name="tiny")]
    assert find("tiny", listed, "x").name == "tiny"
    assert find("llama3", listed, "x").name == "llama3:latest"


def test_an_absent_model_is_answered_with_what_is_there() -> None:
    listed = [Listed(name=f"m{number}") for number in range(30)]
    with pytest.raises(
        ModelFileError, match=r"http://up/v1 has no model 'x'; it has m0, m1, .* 18"
    ):
        find("x", listed, "http://up/v1")
    with pytest.raises(ModelFileError, match="it has nothing"):
        find("x", [], "http://up/v1")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"data": [null, 3, {}, {"id": null}, {"id": "a"}]}', ["a"]),
        (b'{"data": [{"id": "a", "meta": 3, "aliases": "x", "owned_by": []}]}', ["a"]),
        (b'{"data": [{"id": "a", "max_model_len": "x", "context_length": 1e99}]}', ["a"]),
        (b'{"data": ["a", "b"]}', ["a", "b"]),
        (b'[{"id": "a"}]', ["a"]),
        (b'{"models": [{"name": "a:latest", "model": "a:latest"}]}', ["a:latest"]),
        (b'{"models": [], "data": [{"id": "a"}]}', ["a"]),
        (b'{"data": []}', []),
    ],
)
def test_an_odd_entry_of_a_listing_hides_no_other(body: bytes, names: list[str]) -> None:
    assert [listed.name for listed in read_listing(body)] == names
