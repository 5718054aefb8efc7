"""`mesh ask` against a mesh that a test scripts, over the real protocol."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mesh.cli.main import cli
from tests.fake_mesh import (
    ANSWER,
    REQUEST_ID,
    TRACE_ID,
    Broken,
    FakeMesh,
    assigned,
    decided,
    done,
    serving,
    tokens,
)


def ask(mesh: FakeMesh, *arguments: str, **options: Any) -> Result:
    with serving(mesh):
        return CliRunner().invoke(cli, ["ask", *arguments, "--endpoint", mesh.endpoint], **options)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_answer_alone_is_on_standard_output() -> None:
    result = ask(FakeMesh(), "What is 40 + 2?")
    assert result.exit_code == 0
    assert result.stdout == "It is 42.\n"


def test_the_closing_line_says_decision_node_and_speed() -> None:
    result = ask(FakeMesh(), "What is 40 + 2?")
    assert result.stderr.splitlines() == [
        "math via rules/word_problem (0.97) · node math · first token 12 ms"
    ]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"completion_tokens": 8}, True),
        ({"completion_tokens": 7}, False),  # as the wire had them
        ({"completion_tokens": 400, "tokens_per_second": 0.0}, False),
        ({"completion_tokens": 400, "source": "exact"}, False),  # no model made it
        ({"completion_tokens": 400, "source": "memo"}, False),
    ],
)
def test_tokens_a_second_are_told_only_of_an_answer_that_had_a_pace(
    fields: dict[str, Any], told: bool
) -> None:
    answer = (*ANSWER[:-1], done(**fields))
    assert ("240 tokens/s" in ask(FakeMesh(answer), "x").stderr) is told


def test_a_resumed_answer_says_so() -> None:
    answer = (*ANSWER[:3], assigned("math-2", 2), tokens(2, "."), done(resumed=True, attempts=2))
    result = ask(FakeMesh(answer), "What is 40 + 2?")
    assert "It is 42." in result.stdout
    assert "resumed" in result.stderr


def test_json_prints_decision_tokens_and_done() -> None:
    result = ask(FakeMesh(), "--json", "What is 40 + 2?")
    assert result.exit_code == 0
    decision, *middle, end = lines(result)
    wanted = {
        "event": "decision",
        "specialty": "math",
        "stage": "rules",
        "rule": "word_problem",
        "confidence": 0.97,
        "node": "math",
        "request_id": REQUEST_ID,
    }
    assert decision | wanted == decision
    assert [(t["event"], t["index"], t["text"]) for t in middle] == [
        ("token", 0, "It is"),
        ("token", 1, " 42"),
        ("token", 2, "."),
    ]
    wanted = {
        "event": "done",
        "node": "math",
        "tokens": 3,
        "ttft_ms": 12.5,
        "tokens_per_second": 240.0,
        "finish_reason": "stop",
        "resumed": False,
        "trace_id": TRACE_ID,
    }
    assert end | wanted == end


def test_json_prints_one_decision_even_when_the_attempt_moves() -> None:
    answer = (decided(), assigned(), tokens(0, "a"), assigned("math-2", 2), tokens(1, "b"), done())
    events = [line["event"] for line in lines(ask(FakeMesh(answer), "--json", "x"))]
    assert events == ["decision", "token", "token", "done"]


def test_json_ends_with_the_error_and_names_no_node_when_none_took_it() -> None:
    mesh = FakeMesh((decided(), Broken("no_candidate", "all math nodes are draining")))
    result = ask(mesh, "--json", "x")
    decision, error = lines(result)
    assert decision["node"] is None
    assert error == {
        "event": "error",
        "code": "no_candidate",
        "message": "all math nodes are draining",
    }
    assert result.exit_code == 3


def test_json_tells_an_unreachable_mesh_too() -> None:
    result = CliRunner().invoke(cli, ["ask", "--json", "hi", "--endpoint", "127.0.0.1:1"])
    (error,) = lines(result)
    assert (error["event"], error["code"], result.exit_code) == ("error", "unreachable", 4)


def test_json_tells_what_the_client_refuses_by_itself() -> None:
    result = ask(FakeMesh(), "--json", "hi", "--temperature", "nan")
    (error,) = lines(result)
    assert (error["event"], error["code"], result.exit_code) == ("error", "invalid_request", 2)


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("invalid_request", 2),
        ("unknown_specialty", 3),
        ("no_candidate", 3),
        ("overloaded", 3),
        ("deadline_exceeded", 5),
        ("node_lost", 1),
        ("internal", 1),
    ],
)
def test_each_error_is_one_line_with_its_exit_code(code: str, exit_code: int) -> None:
    result = ask(FakeMesh((Broken(code, "what was wrong"),)), "hi")
    assert result.exit_code == exit_code
    assert result.stdout == ""
    assert result.stderr == "mesh: what was wrong\n"


def test_an_overloaded_mesh_says_when_to_try_again() -> None:
    result = ask(FakeMesh((Broken("overloaded", "all slots are taken", 2.0),)), "hi")
    assert result.stderr == "mesh: all slots are taken (try again in 2 s)\n"


def test_an_answer_that_breaks_off_keeps_its_text_and_the_error_has_its_own_line() -> None:
    mesh = FakeMesh((*ANSWER[:3], Broken("node_lost", "node math was lost")))
    result = ask(mesh, "hi")
    assert result.stdout == "It is 42\n"
    assert result.stderr == "mesh: node math was lost\n"
    assert result.exit_code == 1


def test_an_unreachable_mesh_is_one_line_and_exit_code_4() -> None:
    result = CliRunner().invoke(cli, ["ask", "hi", "--endpoint", "127.0.0.1:1"])
    assert result.exit_code == 4
    assert len(result.stderr.splitlines()) == 1
    assert "127.0.0.1:1" in result.stderr
    assert "mesh up" in result.stderr


def test_the_deadline_ends_a_silent_answer_with_exit_code_5() -> None:
    never = threading.Event()
    began = time.monotonic()
    result = ask(FakeMesh((decided(), never)), "hi", "--timeout", "0.3")
    assert result.exit_code == 5
    assert time.monotonic() - began < 10


def test_options_travel() -> None:
    mesh = FakeMesh()
    arguments = "--specialty math --model m --system be-brief --max-tokens 7 --temperature 0.5"
    more = "--top-p 0.9 --top-k 40 --min-p 0.05 --seed 0 --stop END --stop FIN"
    last = "--repetition-penalty 1.1 --timeout 9"
    ask(mesh, "hi", *arguments.split(), *more.split(), *last.split())
    (request,) = mesh.requests
    assert [(m.role, m.content) for m in request.messages] == [
        ("system", "be-brief"),
        ("user", "hi"),
    ]
    sampling = request.sampling
    assert (request.specialty, request.model) == ("math", "m")
    assert sampling.max_tokens == 7
    assert sampling.temperature == 0.5
    assert (sampling.top_p, sampling.top_k, sampling.min_p) == (0.9, 40, 0.05)
    assert sampling.HasField("seed")
    assert sampling.seed == 0
    assert list(sampling.stop) == ["END", "FIN"]
    assert sampling.repetition_penalty == 1.1
    assert 0 < request.timeout_s <= 9


@pytest.mark.parametrize("arguments", [["-"], []])
def test_standard_input_is_read_for_a_dash_or_a_pipe(arguments: list[str]) -> None:
    mesh = FakeMesh()
    assert ask(mesh, *arguments, input="Zwölf Äpfel?\n").exit_code == 0
    assert mesh.requests[0].messages[0].content == "Zwölf Äpfel?\n"


@pytest.mark.parametrize("prompt", ["", "  \n "])
def test_an_empty_prompt_is_a_usage_error(prompt: str) -> None:
    result = CliRunner().invoke(cli, ["ask", prompt])
    assert result.exit_code == 2
    assert "empty" in result.stderr


def test_an_argument_that_is_no_utf8_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli, ["ask", "abc\udcff"])
    assert result.exit_code == 2
    assert "not valid UTF-8" in result.stderr


def test_standard_input_that_is_no_utf8_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli, ["ask", "-"], input=b"abc\xff")
    assert result.exit_code == 2
    assert "byte 0xff at position 3" in result.stderr


@pytest.mark.parametrize(
    "wrong",
    [["--max-tokens", "-1"], ["--max-tokens", "x"], ["--seed", "-1"], ["--endpoint", "nowhere"]],
)
def test_wrong_options_are_one_line_and_exit_code_2(wrong: list[str]) -> None:
    result = CliRunner().invoke(cli, ["ask", "hi", *wrong])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert wrong[0] in result.stderr


def test_a_ten_thousand_token_answer_is_complete() -> None:
    count = 10_000
    answer = (decided(), assigned(), *(tokens(i, f"{i} ") for i in range(count)), done())
    result = ask(FakeMesh(answer), "count")
    assert result.stdout.split() == [str(i) for i in range(count)]
