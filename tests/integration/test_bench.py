"""`mesh bench` against a real mesh of simulated nodes, with faults while it runs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench_page import read
from tests.local_mesh import Box, box, wait_for

# One mesh for the whole file, so all of it runs in one test process.
pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("test_bench"),
]

# `mesh up` restarts what is killed. These two are slow enough to be killed in mid-answer, and are
# not restarted, so that all of it must go on at the other one.
STEADY = """
name = "{name}"
[[models]]
source = "steady"
id = "steady"
engine = "simulated"
specialties = ["steady"]
slots = 8
[models.options]
words = 100
base_ms = 10.0
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("bench")
    with box(folder / "state") as made:
        done = made.mesh("up", "--detach", "--engine", "simulated", "--nodes", "wren,wren")
        assert done.returncode == 0, done.stdout + done.stderr
        yield made
        assert made.mesh("down").returncode == 0


@pytest.fixture(scope="module")
def steady(home: Box, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two paced nodes; the first test that kills one is their last."""
    folder = tmp_path_factory.mktemp("steady")
    etcd = json.loads((home.state_dir / "mesh.json").read_text())["etcd"]
    names = ("steady-1", "steady-2")
    for name in names:
        config = folder / f"{name}.toml"
        config.write_text(STEADY.format(name=name))
        home.start("node", "--config", str(config), "--etcd", etcd, output=folder / f"{name}.log")

    def ready() -> bool:
        nodes = home.status()
        return all(
            name in nodes and nodes[name]["state"] == "ready" and nodes[name]["link_up"]
            for name in names
        )

    wait_for(ready, "the paced nodes are ready")
    return names


def bench(home: Box, folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """Runs it; returns its JSON and its HTML."""
    data, page = folder / "report.json", folder / "report.html"
    done = home.mesh("bench", *arguments, "--json", str(data), "--html", str(page))
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(data.read_bytes()), page.read_text()


def whole(report: dict[str, Any]) -> None:
    """No stream had a gap or a duplicate, and all were checked, by content too."""
    check, requests = report["check"], report["requests"]
    assert check["violations"] == []
    assert check["broken_streams"] == 0
    streams = requests["finished"] + requests["failed"] + report["settings"]["warmup"]
    assert check["streams"] == streams
    assert check["by_content"] >= requests["finished"]


def test_a_closed_loop_is_measured_and_whole(home: Box, tmp_path: Path) -> None:
    report, page = bench(
        home, tmp_path, "--clients", "4", "--duration", "3", "--warmup", "4", "--slo", "ttft=5s"
    )
    whole(report)
    requests = report["requests"]
    assert requests["failed"] == requests["not_started"] == 0
    assert requests["finished"] == requests["due"] >= 10
    assert {row["node"] for row in report["nodes"]} <= {"wren", "wren-2"}
    assert report["window_s"] == 3.0
    assert report["throughput"]["tokens"] == 64 * requests["finished"]
    assert report["latency_ms"]["ttft"]["count"] == requests["finished"]
    assert report["latency_ms"]["itl"]["count"] == 63 * requests["finished"]
    assert report["goodput"]["good"] >= 1
    assert max(row["in_flight"] for row in report["series"]) <= 4
    references, tags, _ = read(page)
    assert references == []
    assert tags.count("svg") == 5


def test_an_open_loop_keeps_its_schedule(home: Box, tmp_path: Path) -> None:
    report, _ = bench(home, tmp_path, "--rate", "20", "--duration", "3", "--seed", "5")
    again, _ = bench(home, tmp_path, "--rate", "20", "--duration", "3", "--seed", "5")
    whole(report)
    assert 35 <= report["requests"]["due"] <= 85
    assert again["requests"]["due"] == report["requests"]["due"]
    started = report["requests"]["due"] - report["requests"]["not_started"]
    assert report["latency_ms"]["start_lag"]["count"] == started


def test_streams_of_a_killed_node_go_on_without_gap_or_duplicate(
    home: Box, steady: tuple[str, str], tmp_path: Path
) -> None:
    victim, survivor = steady
    report, page = bench(
        home,
        tmp_path,
        *("--clients", "8", "--duration", "3", "--specialty", "steady", "--max-tokens", "90"),
        *("--faults", f"stop {survivor} at 300ms for 300ms; kill {victim} at 1500ms"),
    )
    whole(report)
    assert report["requests"]["failed"] == 0
    assert [(mark["action"], mark["node"], mark["done"]) for mark in report["faults"]] == [
        ("stop", survivor, True),
        ("continue", survivor, True),
        ("kill", victim, True),
    ]
    resumes = report["resumes"]
    assert report["requests"]["resumed"] >= 1
    assert any((row["before"], row["after"]) == (victim, survivor) for row in resumes)
    assert all(row["gap_ms"] > 0 and row["index"] > 0 for row in resumes)
    assert report["latency_ms"]["resume_gap"]["count"] >= len(resumes)
    references, _, text = read(page)
    assert references == []
    assert f"kill {victim}" in text


def test_a_killed_node_of_a_supervised_mesh_comes_back_and_nothing_is_broken(
    home: Box, tmp_path: Path
) -> None:
    report, _ = bench(
        home,
        tmp_path,
        *("--clients", "4", "--duration", "3", "--specialty", "math", "--seed", "2"),
        *("--faults", "kill wren at 1s"),
    )
    whole(report)
    assert report["faults"][0]["done"]
    assert report["requests"]["finished"] >= 10


def test_ctrl_c_ends_it_with_its_report_and_130(home: Box, tmp_path: Path) -> None:
    output, data = tmp_path / "output", tmp_path / "report.json"
    process = home.start(
        "bench", "--clients", "2", "--duration", "10m", "--json", str(data), output=output
    )
    wait_for(lambda: "tokens/s" in output.read_text(), "the load runs")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=20) == 130
    report = json.loads(data.read_bytes())
    assert report["interrupted"]
    assert report["requests"]["finished"] > 0
    assert report["check"]["broken_streams"] == 0
    assert "Traceback" not in output.read_text()
