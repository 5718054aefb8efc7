"""`mesh up` and `mesh down`: real processes, from the first to the last."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from mesh.local.first_model import MODEL_ID
from mesh.local.ports import can_bind, free_port
from tests.etcd import EtcdServer
from tests.first_model import needs_first_model
from tests.local_mesh import Box, box, wait_for
from tests.toy_models import FOLDER

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

SIMULATED = ("--engine", "simulated")
TOYS = ("--models", str(FOLDER))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Box]:
    with box(tmp_path / "state") as made:
        yield made


def up(home: Box, *more: str) -> str:
    done = home.mesh("up", "--detach", *SIMULATED, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def none_left(home: Box) -> None:
    wait_for(lambda: not home.processes(), f"all processes gone:\n{home.describe()}", 5)


def test_a_detached_mesh_is_up_when_the_command_returns_and_gone_after_down(home: Box) -> None:
    text = up(home)
    for part in ("etcd", "orchestrator", "robin", "wren"):
        assert any(line.startswith(part) and " up after " in line for line in text.splitlines())
    assert home.endpoint in text
    nodes = home.status()
    assert {name: node["state"] for name, node in nodes.items()} == dict.fromkeys(
        ("robin", "wren"), "ready"
    )
    done = home.mesh("down")
    assert done.returncode == 0
    assert home.endpoint in done.stdout
    none_left(home)


def test_a_mesh_answers_in_the_moment_in_which_up_returns(home: Box) -> None:
    done = home.mesh("up", "--detach", *TOYS, "--nodes", "chat")  # loaded a moment ago
    assert done.returncode == 0, done.stdout + done.stderr
    answer = home.mesh("ask", "Hello! Who are you?")
    assert answer.returncode == 0, answer.stderr
    assert "toy model" in answer.stdout


def test_down_without_a_mesh_says_so_and_is_no_error(home: Box) -> None:
    done = home.mesh("down")
    assert done.returncode == 0
    assert "no mesh is running" in done.stdout


def test_a_second_up_says_where_the_first_one_is(home: Box) -> None:
    up(home, "--nodes", "1")
    again = home.mesh("up", *SIMULATED)
    assert again.returncode == 2
    assert again.stdout == ""
    assert len(again.stderr.splitlines()) == 1
    assert f"already running at {home.endpoint} (pid {home.supervisor()})" in again.stderr
    assert home.mesh("down").returncode == 0


def test_an_orchestrator_right_above_etcds_port_comes_up(home: Box) -> None:
    low = next(port for port in iter(free_port, 0) if can_bind("127.0.0.1", port + 1))
    home.endpoint = f"127.0.0.1:{low + 1}"  # which would else be taken for etcd's own peers
    up(home, "--nodes", "1", "--etcd-port", str(low))
    assert home.mesh("down").returncode == 0
    none_left(home)


def test_one_port_for_two_servers_is_refused_before_anything_starts(home: Box) -> None:
    _, _, port = home.endpoint.rpartition(":")
    done = home.mesh("up", *SIMULATED, "--etcd-port", port)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "cannot share a port; say another one with --endpoint or --etcd-port" in done.stderr


def test_a_supervisor_killed_with_sigkill_leaves_no_process_and_no_obstacle(home: Box) -> None:
    up(home, "--nodes", "2")
    os.kill(home.supervisor(), signal.SIGKILL)
    none_left(home)
    assert "no mesh is running" in home.mesh("down").stdout
    up(home, "--nodes", "1")
    assert home.mesh("down").returncode == 0
    none_left(home)


def test_a_node_that_is_killed_comes_back_under_its_name_and_id(home: Box) -> None:
    up(home, "--nodes", "2")
    before = home.status()["robin"]
    os.kill(before["pid"], signal.SIGKILL)

    def back() -> bool:
        now = home.status().get("robin", before)
        return bool(now["pid"] != before["pid"] and now["state"] == "ready" and now["link_up"])

    wait_for(back, "robin is back")
    assert home.status()["robin"]["id"] == before["id"]
    log = (home.state_dir / "logs" / "mesh.log").read_text()
    assert "robin died (killed by SIGKILL); starting again in 1 s" in log
    assert home.mesh("down").returncode == 0
    none_left(home)


def test_ctrl_c_stops_a_mesh_in_the_foreground_and_leaves_no_process(
    home: Box, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    process = home.start("up", *SIMULATED, "--nodes", "2", output=output)
    wait_for(lambda: "Ctrl-C stops it" in output.read_text(), "the mesh is up")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=16) == 0
    assert output.read_text().splitlines()[-1] == "stopped"
    none_left(home)


def test_ctrl_c_before_a_detached_mesh_is_up_stops_it(home: Box, tmp_path: Path) -> None:
    output = tmp_path / "output"
    process = home.start("up", "--detach", *SIMULATED, output=output)
    wait_for(lambda: "etcd" in output.read_text(), "it has begun")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=5) == 130
    assert "Traceback" not in output.read_text()
    wait_for(lambda: not home.processes(), "all processes gone", 16)


def test_a_running_answer_may_end_after_ctrl_c_but_not_after_a_second_one(
    home: Box, tmp_path: Path
) -> None:
    output, answer = tmp_path / "output", tmp_path / "answer"
    process = home.start("up", *SIMULATED, "--nodes", "1", output=output)
    wait_for(lambda: "Ctrl-C stops it" in output.read_text(), "the mesh is up")
    node = home.start_endless(tmp_path / "node")
    asking = home.start(
        "ask", "--specialty", "endless", "--max-tokens", "90000", "go on for ever", output=answer
    )
    wait_for(lambda: answer.stat().st_size > 20, "tokens come")
    os.killpg(process.pid, signal.SIGINT)
    wait_for(lambda: "stopping" in output.read_text(), "it stops")
    size = answer.stat().st_size
    wait_for(lambda: answer.stat().st_size > size, "tokens still come")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=5) == 0
    assert asking.wait(timeout=10) == 4
    text, error = answer.read_text().splitlines()
    assert text.startswith("tok0 tok1 ")
    assert error.startswith("mesh: ")
    node.terminate()
    assert node.wait(timeout=15) == 0
    none_left(home)


def test_down_stops_a_mesh_in_the_foreground_too(home: Box, tmp_path: Path) -> None:
    output = tmp_path / "output"
    process = home.start("up", *SIMULATED, "--nodes", "1", output=output)
    wait_for(lambda: "Ctrl-C stops it" in output.read_text(), "the mesh is up")
    assert home.mesh("down").returncode == 0
    assert process.wait(timeout=16) == 0
    none_left(home)


def test_a_taken_port_is_one_line_that_names_it_and_nothing_is_started(home: Box) -> None:
    host, port = home.endpoint.split(":")
    with closing(socket.create_server((host, int(port)))):
        done = home.mesh("up", "--detach", *SIMULATED)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"port {port} for the orchestrator is taken" in done.stderr
    assert f"pid {os.getpid()}" in done.stderr
    none_left(home)


def test_a_node_that_cannot_start_ends_everything_with_its_reason(home: Box) -> None:
    done = home.mesh("up", "--detach", "--engine", "nonsense")
    assert done.returncode not in (0, 130)
    assert "nonsense" in done.stderr
    assert "Traceback" not in done.stderr
    none_left(home)
    assert "no mesh is running" in home.mesh("down").stdout


async def test_an_etcd_of_somebody_elses_is_used_and_left_alone(home: Box) -> None:
    async with EtcdServer() as etcd:
        text = up(home, "--nodes", "1", "--etcd", etcd.endpoint)
        assert f"{etcd.endpoint} (not ours)" in text
        assert set(home.status()) == {"robin"}
        assert not (home.state_dir / "etcd").exists()
        assert home.mesh("down").returncode == 0
        none_left(home)


@needs_first_model
def test_the_first_model_answers_on_both_nodes_within_their_memory(home: Box) -> None:
    done = home.mesh("up", "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = home.mesh("ask", "--max-tokens", "12", "What is the capital of France?")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()
    nodes = home.status()
    assert {model["id"] for node in nodes.values() for model in node["models"]} == {MODEL_ID}
    whole = [process for node in nodes.values() for process in family(node["pid"])]
    assert sum(process.memory_info().rss for process in whole) < 2**30
    assert home.mesh("down").returncode == 0
    none_left(home)


def family(pid: int) -> list[psutil.Process]:
    """A node's agent and its runner."""
    agent = psutil.Process(pid)
    return [agent, *agent.children(recursive=True)]


def test_a_front_door_answers_exactly_without_a_model(home: Box) -> None:
    done = home.mesh("up", "--detach", "--nodes", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a front door without a node: exact answers only" in done.stdout
    assert "12" in home.mesh("ask", "What is 15% of 80?").stdout
    assert home.mesh("ask", "Hello, who are you?").returncode == 3
    assert home.mesh("down").returncode == 0
    none_left(home)


def test_a_count_repeats_the_nodes(home: Box) -> None:
    up(home, "--nodes", "3")
    assert sorted(home.status()) == ["robin", "robin-2", "wren"]
    assert home.mesh("down").returncode == 0
    none_left(home)
