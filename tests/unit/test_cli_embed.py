"""`mesh embed` against a mesh that a test scripts, over the real protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mesh.cli.embed import CALL_BYTES, _calls
from mesh.cli.main import cli
from mesh.validation import MAX_TEXTS
from tests.fake_mesh import TRACE_ID, FakeMesh, serving


def embed(mesh: FakeMesh, *arguments: str, **options: Any) -> Result:
    with serving(mesh):
        return CliRunner().invoke(
            cli, ["embed", *arguments, "--endpoint", mesh.endpoint], **options
        )


def test_a_line_says_how_many_how_long_who_and_how_fast() -> None:
    result = embed(FakeMesh(), "a", "b", "ab")
    assert result.exit_code == 0, result.output
    assert result.stderr == "3 vectors of 2 numbers · 3 tokens · mini on first · 4.2 ms\n"
    assert embed(FakeMesh(), "a").stderr.startswith("1 vector of 2 numbers · 1 token · ")


def test_a_pipe_gets_every_number_a_line_a_text() -> None:
    assert embed(FakeMesh(), "a", "b", "ab").stdout.splitlines() == [
        "1 0",
        "0 1",
        "0.707106769 0.707106769",
    ]


def test_options_reach_the_mesh() -> None:
    mesh = FakeMesh()
    options = ("--specialty", "law", "--model", "mini", "--tenant", "t", "--timeout", "9")
    assert embed(mesh, "a", *options).exit_code == 0
    (request,) = mesh.requests
    assert (request.specialty, request.model, request.tenant) == ("law", "mini", "t")
    assert 0 < request.timeout_s <= 9


def test_similarity_shows_each_text_with_each_other() -> None:
    result = embed(FakeMesh(), "aa", "b", "a [red]b", "--similarity")
    assert result.exit_code == 0, result.output
    first, second, third = result.stdout.splitlines()[2:5]
    assert first.split() == ["1", "aa", "1.00", "0.00", "0.71"]
    assert second.split() == ["2", "b", "0.00", "1.00", "0.71"]
    assert third.split() == ["3", "a", "[red]b", "0.71", "0.71", "1.00"]
    assert result.stderr.startswith("3 vectors of 2 numbers")


def test_json_is_a_line_a_vector_and_the_sums_last() -> None:
    result = embed(FakeMesh(), "a", "b", "--json", "--similarity")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines[:2] == [
        {"event": "vector", "index": 0, "vector": [1.0, 0.0]},
        {"event": "vector", "index": 1, "vector": [0.0, 1.0]},
    ]
    assert lines[2] == {
        "event": "done",
        "texts": 2,
        "dimension": 2,
        "model": "mini",
        "nodes": ["first"],
        "prompt_tokens": 2,
        "attempts": 1,
        "total_ms": 4.2,
        "trace_ids": [TRACE_ID],
        "similarity": [[1.0, 0.0], [0.0, 1.0]],
    }


@pytest.mark.parametrize("arguments", [("-",), ()])
def test_lines_of_standard_input_are_texts_and_blank_ones_are_not(
    arguments: tuple[str, ...],
) -> None:
    mesh = FakeMesh()
    assert embed(mesh, *arguments, input="a\n\n  \nb b\n").exit_code == 0
    assert list(mesh.requests[0].texts) == ["a", "b b"]


def test_many_texts_are_several_calls_of_the_first_ones_model() -> None:
    mesh = FakeMesh()
    result = embed(mesh, "-", "--json", input="".join(f"a {n}\n" for n in range(600)))
    assert [len(request.texts) for request in mesh.requests] == [256, 256, 88]
    assert [request.model for request in mesh.requests] == ["", "mini", "mini"]
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["index"] for line in lines[:-1]] == list(range(600))
    assert (lines[-1]["texts"], lines[-1]["nodes"]) == (600, ["a", "first"])


def test_calls_keep_their_limits_and_leave_nothing_out() -> None:
    texts = ["x" * (CALL_BYTES - 1), "yy", *["z"] * 300, "w" * (2 * CALL_BYTES)]
    calls = list(_calls(texts))
    assert [text for call in calls for text in call] == texts
    assert all(len(call) <= MAX_TEXTS for call in calls)
    assert all(sum(map(len, call)) <= CALL_BYTES or len(call) == 1 for call in calls)


def test_an_error_is_one_line_and_an_exit_code() -> None:
    result = embed(FakeMesh(), "fail")
    assert result.exit_code == 3
    assert result.stderr == "mesh: nobody embeds\n"
    result = embed(FakeMesh(), "fail", "--json")
    assert json.loads(result.stdout) == {
        "event": "error",
        "code": "no_candidate",
        "message": "nobody embeds",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("one", "--similarity"), "compares 2 to 16 texts, not 1"),
        ((*"abcdefghijklmnopq", "--similarity"), "not 17"),
        (("-",), "the prompt is empty"),
        (("a", " "), "text 2 is empty"),
        (("a", "--specialty", "NO NAME"), "not a name"),
    ],
)
def test_what_is_wrong_is_said_before_anybody_is_asked(
    arguments: tuple[str, ...], words: str
) -> None:
    mesh = FakeMesh()
    result = embed(mesh, *arguments, input="\n")
    assert result.exit_code == 2
    assert words in result.stderr
    assert not mesh.requests
