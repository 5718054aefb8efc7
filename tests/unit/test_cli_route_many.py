"""`mesh route`: many prompts, conversations, answers that are ready; and it fits 80 columns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mesh.cli.main import cli
from mesh.v1 import mesh_pb2 as pb
from tests.fake_mesh import FakeMesh, decision, serving

CONVERSATION = [
    {"role": "user", "content": "What is 15% of 80?"},
    {"role": "assistant", "content": "12"},
]


def run(mesh: FakeMesh, *arguments: str, stdin: str | bytes = "") -> Result:
    with serving(mesh):
        return CliRunner().invoke(cli, ["--endpoint", mesh.endpoint, *arguments], input=stdin)


def written(tmp_path: Path, *lines: object) -> str:
    path = tmp_path / "prompts"
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines),
        encoding="utf-8",
    )
    return str(path)


def texts(mesh: FakeMesh) -> list[str]:
    return [prompt.messages[-1].content for batch in mesh.requests for prompt in batch.prompts]


def test_lines_of_text_are_prompts_and_the_end_sums_up(tmp_path: Path) -> None:
    mesh = FakeMesh()
    result = run(mesh, "route", "--file", written(tmp_path, "one", "", '  {"x": 1}  ', "three"))
    assert result.exit_code == 0
    assert texts(mesh) == ["one", '{"x": 1}', "three"]
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["LINE", "PROMPT", "SAYS", "SURE", "STAGE/RULE"]
    assert lines[1].split() == ["1", "one", "math", "0.97", "rules/word_problem"]
    assert [line.split()[0] for line in lines[1:4]] == ["1", "3", "4"]
    assert "3 prompts · 14 µs each" in result.stdout
    assert "specialties: math 3 (100%)" in result.stdout
    assert "stages: rules 3 (100%)" in result.stdout


def test_json_lines_are_prompts_or_conversations(tmp_path: Path) -> None:
    mesh = FakeMesh()
    conversation = [*CONVERSATION, {"role": "user", "content": "and 20%?"}]
    path = written(tmp_path, {"prompt": "one", "label": "math"}, {"messages": conversation})
    result = run(mesh, "route", "--file", path, "--json")
    assert result.exit_code == 0
    assert texts(mesh) == ["one", "and 20%?"]
    assert [m.role for m in mesh.requests[0].prompts[1].messages] == ["user", "assistant", "user"]
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["line"] for row in rows] == [1, 2]
    assert rows[0]["decision"]["specialty"] == "math"
    assert rows[0]["alternatives"][1] == {"specialty": "chat", "probability": 0.02, "rule": None}
    assert "candidates" not in rows[0]
    assert not mesh.requests[0].with_candidates


def test_candidates_are_there_on_request(tmp_path: Path) -> None:
    mesh = FakeMesh()
    result = run(mesh, "route", "--file", written(tmp_path, "one"), "--json", "--candidates")
    assert [c["node_name"] for c in json.loads(result.stdout)["candidates"]] == ["math", "chat"]
    assert mesh.requests[0].with_candidates


def test_standard_input_works_too() -> None:
    mesh = FakeMesh()
    assert run(mesh, "route", "--file", "-", stdin="one\ntwo\n").exit_code == 0
    assert texts(mesh) == ["one", "two"]


def test_a_prompt_with_an_error_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    path = written(tmp_path, "one", "fail here", "three")
    result = run(FakeMesh(), "route", "--file", path)
    assert result.exit_code == 1
    assert result.stderr == "mesh: 1 of 3 prompts had an error\n"
    assert "cannot: fail here" in result.stdout
    assert "3 prompts · 1 with an error" in result.stdout
    rows = [
        json.loads(line)
        for line in run(FakeMesh(), "route", "--json", "--file", path).stdout.splitlines()
    ]
    assert rows[1] == {
        "line": 2,
        "error": {"code": "invalid_request", "message": "cannot: fail here"},
    }


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ([{"prompt": "x"}, "not json"], "line 2 of"),
        ([{"prompt": "x"}, {"text": "y"}], 'line 2 of {} must be a JSON object with "prompt"'),
        ([{"messages": []}], "line 1 of {} needs a list of messages"),
        ([{"messages": [{"role": "root", "content": "x"}]}], "unknown role 'root'"),
        ([{"prompt": "x"}, {"prompt": 3}], "line 2 of"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_its_line(
    tmp_path: Path, lines: list[object], names: str
) -> None:
    path = written(tmp_path, *lines)
    result = run(FakeMesh(), "route", "--file", path)
    assert result.exit_code == 2
    assert names.format(path) in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_what_cannot_be_read_and_what_is_no_text(tmp_path: Path) -> None:
    missing = run(FakeMesh(), "route", "--file", str(tmp_path / "none"))
    assert (missing.exit_code, "No such file" in missing.stderr) == (2, True)
    broken = run(FakeMesh(), "route", "--file", "-", stdin=b"good\n\xff\n")
    assert (broken.exit_code, "line 2 of standard input is not valid UTF-8" in broken.stderr) == (
        2,
        True,
    )
    empty = run(FakeMesh(), "route", "--file", "-", stdin="\n\n")
    assert (empty.exit_code, empty.stdout) == (0, "0 prompts\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--file", "-", "a prompt"),
        ("--file", "-", "--history", "h.json"),
        ("--file", "-", "--candidates"),
        ("--candidates", "a prompt"),
    ],
)
def test_options_that_do_not_go_together(arguments: tuple[str, ...]) -> None:
    assert run(FakeMesh(), "route", *arguments).exit_code == 2


@pytest.mark.parametrize("shape", ["list", "object", "open"])
def test_a_conversation_comes_before_the_prompt(tmp_path: Path, shape: str) -> None:
    mesh = FakeMesh(
        route=pb.RouteResponse(decision=decision(stage="conversation"), prior="calculator")
    )
    path = tmp_path / "history.json"
    asked = {"role": "user", "content": "and 20%?"}
    match shape:
        case "list":
            path.write_text(json.dumps(CONVERSATION))
        case "object":
            path.write_text(json.dumps({"messages": CONVERSATION, "model": "x"}))
        case _:
            path.write_text(json.dumps([*CONVERSATION, asked]))
    prompt = () if shape == "open" else ("and 20%?",)
    result = run(mesh, "route", *prompt, "--history", str(path))
    assert result.exit_code == 0, result.stderr
    assert [m.content for m in mesh.requests[0].messages] == [
        *("What is 15% of 80?", "12", "and 20%?")
    ]
    assert "the conversation so far: calculator" in result.stdout


def test_an_answer_that_is_ready_is_shown(tmp_path: Path) -> None:
    ready = pb.Ready(source="exact", text="12\x1b[31m", model="tools", finish_reason="stop")
    mesh = FakeMesh(route=pb.RouteResponse(decision=decision(stage="exact"), ready=ready))
    result = run(mesh, "route", "What is 15% of 80?")
    assert "the answer is there already (exact), no node is asked:\n12" in result.stdout
    assert "\x1b" not in result.stdout
    data = json.loads(run(mesh, "route", "--json", "What is 15% of 80?").stdout)
    assert data["ready"] == {
        "source": "exact",
        "text": "12\x1b[31m",
        "node_name": "",
        "model": "tools",
        "reason": "stop",
    }


def test_nothing_is_wider_than_80_columns_and_no_name_is_broken(tmp_path: Path) -> None:
    name, model = "gtx1080-in-the-living-room", "qwen2.5-coder-32b-instruct-q4_k_m-00001-of-00003"
    verdicts = [
        pb.StageVerdict(stage=stage, micros=1234.5, note="a note that is as long as notes are " * 3)
        for stage in ("memo", "exact", "rules", "conversation", "classifier", "embedding", "judge")
    ]
    rows = [
        pb.Candidate(
            node_id="n", node_name=name, model=model, eligible=n < 3, reason="resident, free " * 5
        )
        for n in range(5)
    ]
    mesh = FakeMesh(route=pb.RouteResponse(decision=decision(verdicts=verdicts), candidates=rows))
    lines = run(mesh, "route", "hi").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("gtx1080-i…ing-room" in line for line in lines) == 5
    assert sum("classifier" in line for line in lines) == 1
    many = run(mesh, "route", "--file", written(tmp_path, "long " * 50, "日本語 " * 50, "a\tb"))
    assert max(map(len, many.stdout.splitlines())) <= 80
    assert len(many.stdout.splitlines()) == 8


@pytest.mark.parametrize(
    "arguments",
    [
        ("what", "is", "17", "+", "25"),
        ("what is", "17 + 25"),
        ("what", "--tenant", "a", "is", "17", "+", "25", "--json"),
        ("--json", "--", "what", "is", "17", "+", "25"),
    ],
)
def test_a_prompt_needs_no_quotes(arguments: tuple[str, ...]) -> None:
    mesh = FakeMesh()
    result = run(mesh, "route", *arguments)

    assert result.exit_code == 0, result.stderr
    assert [m.content for m in mesh.requests[0].messages] == ["what is 17 + 25"]


def test_a_prompt_with_a_misspelt_option_is_refused() -> None:
    result = run(FakeMesh(), "route", "what", "--tenand", "a", "is", "17")

    assert result.exit_code == 2
    assert "--tenant" in result.stderr
    assert "after --" in result.stderr
