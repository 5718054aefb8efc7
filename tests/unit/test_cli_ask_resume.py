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
    }


def test_no_resume_travels() -> None:
    mesh = FakeMesh()
    assert ask(mesh, "--no-resume", "hi").exit_code == 0
    assert ask(mesh, "hi").exit_code == 0
    assert [request.no_resume for request in mesh.requests] == [True, False]
