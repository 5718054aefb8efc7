"""`mesh route` and `mesh status`: tables for people, JSON for programs."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from mesh.cli.main import cli
from mesh.fleet.records import Gpu, ModelState, NodeState
from mesh.v1 import mesh_pb2
from tests.fake_mesh import Broken, FakeMesh, decision, model, node, serving

GIB = 2**30


def run(mesh: FakeMesh, *arguments: str) -> Result:
    with serving(mesh):
        return CliRunner().invoke(cli, ["--endpoint", mesh.endpoint, *arguments])


def fleet(*nodes: mesh_pb2.Node) -> FakeMesh:
    return FakeMesh(fleet=mesh_pb2.FleetResponse(nodes=nodes, registry_connected=True))


def test_route_json_has_decision_alternatives_and_ranked_candidates() -> None:
    result = run(FakeMesh(), "route", "--json", "Tom has 12 apples")
    data = json.loads(result.stdout)
    assert result.exit_code == 0
    assert list(data) == [
        "decision",
        "alternatives",
        "sampling",
        "system",
        "candidates",
        "ready",
        "prior",
    ]
    wanted = {"specialty": "math", "stage": "rules", "rule": "word_problem", "confidence": 0.97}
    assert data["decision"] | wanted == data["decision"]
    assert [a["specialty"] for a in data["alternatives"]] == ["math", "chat"]
    assert [(c["node_name"], c["eligible"]) for c in data["candidates"]] == [
        ("math", True),
        ("chat", False),
    ]


def test_route_shows_stages_and_why_each_node_ranks_where_it_does() -> None:
    result = run(FakeMesh(), "route", "Tom has 12 apples")
    assert "math via rules/word_problem (0.97)" in result.stdout
    assert "resident, 3 of 4 slots free" in result.stdout
    assert "does not serve 'math'" in result.stdout
    assert "otherwise: chat 0.02" in result.stdout


def test_route_shows_stages_that_abstained() -> None:
    verdicts = [mesh_pb2.StageVerdict(stage="rules", micros=9, note="no rule fired")]
    fallback = decision(stage="fallback", rule="", confidence=0, verdicts=verdicts, alternatives=[])
    mesh = FakeMesh(route=mesh_pb2.RouteResponse(decision=fallback))
    result = run(mesh, "route", "hm")
    assert "abstains" in result.stdout
    assert "no rule fired" in result.stdout
    assert "no node is known" in result.stdout


def test_who_decided_without_a_word_is_shown_with_its_lead() -> None:
    verdicts = [mesh_pb2.StageVerdict(stage="classifier", specialty="math", confidence=0.91)]
    others = [
        mesh_pb2.Alternative(specialty="math", probability=0.91),
        mesh_pb2.Alternative(specialty="chat", probability=0.06),
    ]
    decided = decision(
        stage="classifier", rule="", confidence=0.91, verdicts=verdicts, alternatives=others
    )
    text = run(FakeMesh(route=mesh_pb2.RouteResponse(decision=decided)), "route", "hm").stdout
    assert "leads 'chat' by 0.85" in text


def test_what_was_asked_for_by_name_and_nobody_can_take_is_said_to_be_so() -> None:
    asked = decision(stage="requested", rule="", confidence=1, verdicts=[], alternatives=[])
    row = mesh_pb2.Candidate(node_name="chat", model="chat", reason="does not serve 'math'")
    route = mesh_pb2.RouteResponse(decision=asked, candidates=[row])
    text = run(FakeMesh(route=route), "route", "--specialty", "math", "hm").stdout
    assert text.startswith("math, as requested\n")
    assert text.endswith("no node can take it now\n")


def test_route_passes_errors_on_with_their_exit_code() -> None:
    mesh = FakeMesh(route=Broken("unknown_specialty", "nobody serves 'art'; known: math"))
    result = run(mesh, "route", "--specialty", "art", "paint")
    assert result.exit_code == 3
    assert result.stderr == "mesh: nobody serves 'art'; known: math\n"


def test_status_json_has_the_promised_fields() -> None:
    data = json.loads(run(FakeMesh(), "status", "--json").stdout)
    first = data["nodes"][0]
    wanted = {
        "id": "node-math",
        "name": "math",
        "host": "box",
        "pid": 4242,
        "state": "ready",
        "reason": "",
        "specialties": ["math"],
        "slots": {"used": 1, "total": 4},
        "gpus": [],
        "memory": {"total_bytes": 8 * GIB, "available_bytes": 5 * GIB},
        "last_seen": 1_700_000_000.0,
    }
    assert first | wanted == first
    assert first["models"][0]["id"] == "math"
    assert first["models"][0]["state"] == "resident"
    assert data["orchestrators"][0]["name"] == "orchestrator"


def test_status_says_ram_for_a_box_without_a_gpu() -> None:
    text = run(fleet(node("math")), "status").stdout
    assert "CPU" in text
    assert "RAM 3.0/5.0/8.0" in " ".join(text.split())
    assert "1/4" in text


def test_status_shows_vram_of_each_gpu() -> None:
    gpus = tuple(
        Gpu(
            uuid=f"GPU-{i}",
            name="NVIDIA GeForce GTX 1080",
            index=i,
            total_bytes=8 * GIB,
            used_bytes=(i + 1) * GIB,
            free_bytes=(7 - i) * GIB,
        )
        for i in range(2)
    )
    text = " ".join(run(fleet(node("math", gpus=gpus)), "status").stdout.split())
    assert "GTX 1080" in text
    assert "1.0/7.0/8.0" in text
    assert "2.0/6.0/8.0" in text


def test_status_says_why_a_node_takes_no_work() -> None:
    draining = node("math", state=NodeState.DRAINING, reason="draining: 2 streams left")
    cut = node("code", link_up=False)
    result = run(fleet(draining, cut), "status")
    assert "math takes no work: draining: 2 streams left" in result.stdout
    assert "code takes no work: no connection to tcp://127.0.0.1:4000" in result.stdout


def test_status_names_a_failed_model_of_a_node_that_works_otherwise() -> None:
    bad = model("broken", state=ModelState.FAILED, error="the file is truncated", used_slots=0)
    text = run(fleet(node("math", models=(model("math"), bad))), "status").stdout
    assert "math: model broken failed: the file is truncated" in text
    assert "1/4" in text


def test_status_in_a_pipe_tears_no_name() -> None:
    long = "qwen2.5-coder-32b-instruct-q4_k_m-00001-of-00003"
    cold = {"state": ModelState.COLD, "slots": 64, "used_slots": 0}
    models = tuple(model(f"{long}-{i}", **cold) for i in range(3))
    gpu = Gpu(
        uuid="GPU-1",
        name="NVIDIA RTX 6000 Ada Generation",
        index=0,
        total_bytes=48 * GIB,
        used_bytes=20 * GIB,
        free_bytes=28 * GIB,
    )
    wide = node(
        "a-node-with-quite-a-long-name-indeed",
        specialties=("math", "code", "knowledge", "logic"),
        models=models,
        gpus=(gpu,),
        age_s=190_000,
    )
    lines = run(fleet(wide, node("math")), "status").stdout.splitlines()
    (row,) = (line for line in lines if line.startswith("a-node-with-quite-a-long-name-indeed"))
    for words in (*(f"{long}-{i} (cold)" for i in range(3)), "math, code, knowledge, logic"):
        assert words in row


def test_piped_tables_have_no_colours() -> None:
    assert "\x1b" not in run(FakeMesh(), "status").stdout
    assert "\x1b" not in run(FakeMesh(), "route", "hi").stdout


def test_an_empty_fleet_says_so() -> None:
    assert "no node is known" in run(fleet(), "status").stdout


def test_status_says_when_the_registry_is_away() -> None:
    mesh = FakeMesh(fleet=mesh_pb2.FleetResponse(nodes=[node()], registry_connected=False))
    assert "registry is away" in run(mesh, "status").stdout
