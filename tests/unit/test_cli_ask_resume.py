"""`mesh ask` on answers that went on elsewhere."""

from __future__ import annotations

from mesh.v1 import mesh_pb2 as pb
from tests.fake_mesh import ANSWER, FakeMesh, assigned, done, tokens
from tests.unit.test_cli_ask import ask, lines


def resume(**given: object) -> pb.Resume:
    fields = {
        "from_node": "math",
        "to_node": "math-2",
        "at_token": 2,
        "gap_ms": 210.0,
        "reason": "node_lost",
        "same_weights": True,
    }
    return pb.Resume(**(fields | given))  # type: ignore[arg-type]


def resumed(*resumes: pb.Resume) -> FakeMesh:
    end = done(resumed=True, attempts=1 + len(resumes), resumes=resumes)
    return FakeMesh((*ANSWER[:3], assigned("math-2", 2), tokens(2, "."), end))


def test_the_closing_line_says_from_where_to_where_and_how_long_it_took() -> None:
    result = ask(resumed(resume()), "What is 40 + 2?")
    assert "resumed math -> math-2 at token 2 after 210 ms (node_lost)" in result.stderr


def test_of_several_resumes_the_last_is_told_in_full() -> None:
    result = ask(resumed(resume(reason="draining"), resume(at_token=9)), "What is 40 + 2?")
    assert "resumed 2 times, last math -> math-2 at token 9" in result.stderr


def test_json_lists_them_all() -> None:
    end = lines(ask(resumed(resume(), resume(at_token=9)), "--json", "What is 40 + 2?"))[-1]
    assert [each["at_token"] for each in end["resumes"]] == [2, 9]
    assert end["resumes"][0] == {
        "from": "math",
        "to": "math-2",
        "at_token": 2,
        "gap_ms": 210.0,
        "reason": "node_lost",
        "from_model": "",
        "to_model": "",
        "same_weights": True,
        "by_ids": False,
    }


def test_another_model_is_named() -> None:
    again = resume(from_model="one", to_model="two", same_weights=False)
    result = ask(resumed(again), "What is 40 + 2?")
    assert "after 210 ms (node_lost), by another model: two" in result.stderr


def test_a_wait_is_told_beside_the_answer_and_not_in_it() -> None:
    wait = pb.GenerateEvent(waiting=pb.Waiting(why="math: killed; waiting\x1b[2J", up_to_s=10.0))
    mesh = FakeMesh((*ANSWER[:3], wait, assigned("math", 2), tokens(2, "."), done()))
    result = ask(mesh, "What is 40 + 2?")
    assert result.stdout == "It is 42.\n"
    assert "[math: killed; waiting" in result.stderr
    assert "\x1b[2J" not in result.stderr
    (told,) = [line for line in lines(ask(mesh, "--json", "hi")) if line["event"] == "waiting"]
    assert told["up_to_s"] == 10.0


def test_strict_travels() -> None:
    mesh = FakeMesh()
    assert ask(mesh, "--strict", "hi").exit_code == 0
    assert ask(mesh, "hi").exit_code == 0
    assert [request.strict for request in mesh.requests] == [True, False]


def test_no_resume_travels() -> None:
    mesh = FakeMesh()
    assert ask(mesh, "--no-resume", "hi").exit_code == 0
    assert ask(mesh, "hi").exit_code == 0
    assert [request.no_resume for request in mesh.requests] == [True, False]
