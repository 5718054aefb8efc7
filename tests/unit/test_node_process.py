"""Only what is this very node is ever killed: not another of its pid, its host, or its name."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.errors import ConfigError
from mesh.fleet.records import NodeRecord, NodeState
from mesh.local.node_process import find, told
from mesh.local.started import started_by
from mesh.types import NodeId

ID = "node-0123456789abcdef"


def record(pid: int, *, name: str = "wren", host: str | None = None) -> NodeRecord:
    return NodeRecord(
        id=NodeId(ID),
        instance="i",
        name=name,
        host=socket.gethostname() if host is None else host,
        pid=pid,
        state=NodeState.READY,
        reason="",
        endpoint="tcp://127.0.0.1:1",
    )


@contextmanager
def standing_in(folder: Path, *, kept: str = ID, name: str = "wren") -> Iterator[int]:
    """A process whose command line is a node's."""
    (folder / "nodes" / name).mkdir(parents=True)
    (folder / "nodes" / name / "id").write_text(f"{kept}\n")
    (folder / "node.py").write_text("print('up', flush=True)\ninput()\n")
    settings = json.dumps({"name": name, "state_dir": str(folder), "models": []})
    process = subprocess.Popen(
        [sys.executable, "-m", "node", settings],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def test_the_node_itself_is_found_and_killed(tmp_path: Path) -> None:
    with standing_in(tmp_path) as pid:
        process = find(record(pid))
        assert (process.pid, process.parent) == (pid, os.getpid())
        process.kill()
        os.waitpid(pid, 0)
        with pytest.raises(ConfigError, match="nothing was killed"):
            process.kill()
        process.close()


def test_a_box_elsewhere_is_told_of_with_the_command_to_run_there() -> None:
    with pytest.raises(ConfigError, match=r"another box \(attic.*`kill -9 4711` there"):
        find(record(4711, host="attic"))


def test_a_pid_that_came_again_is_left_alone() -> None:
    with pytest.raises(ConfigError, match="it is no node of Squadron's"):
        find(record(os.getpid()))


def test_another_node_of_that_pid_is_left_alone(tmp_path: Path) -> None:
    with standing_in(tmp_path) as pid, pytest.raises(ConfigError, match="it is node wren"):
        find(record(pid, name="robin"))


def test_another_node_of_that_name_is_left_alone(tmp_path: Path) -> None:
    with (
        standing_in(tmp_path, kept="node-fedcba9876543210") as pid,
        pytest.raises(ConfigError, match="another node of that name"),
    ):
        find(record(pid))


def test_a_node_that_mesh_up_did_not_start_wants_a_yes(tmp_path: Path) -> None:
    with (
        standing_in(tmp_path) as pid,
        pytest.raises(ConfigError, match="nothing is killed without --yes"),
    ):
        started_by(tmp_path)(record(pid))


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["python", "-m", "node"],
        ["python", "-m", "orchestrator", '{"name": "a", "state_dir": "b"}'],
        ["python", "-m", "node", "no json"],
        ["python", "-m", "node", '{"name": 3, "state_dir": "b"}'],
        ["python", "-m", "node", "--config", "node.toml"],
        ["grep", "node"],
    ],
)
def test_what_is_no_nodes_command_line_is_none(command: list[str]) -> None:
    assert told(command) is None
