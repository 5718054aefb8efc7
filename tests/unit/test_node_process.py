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

import psutil
import pytest

from mesh.errors import ConfigError
from mesh.fleet.records import NodeRecord, NodeState
from mesh.local.node_process import NodeProcess, find, told
from mesh.local.run_file import process_start
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


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def refusal_of(found: NodeRecord) -> str:
    """Why ``find`` would not have it, and that it holds nothing open then."""
    before = open_files()
    with pytest.raises(ConfigError) as refused:
        find(found)
    assert open_files() == before
    begin = f"process {found.pid} of this box is not node {found.name} for certain: "
    assert refused.value.message.startswith(begin)
    assert refused.value.message.endswith(f"run `kill -9 {found.pid}` there")
    return refused.value.message.removeprefix(begin).partition(";")[0]


def ended() -> int:
    """The pid of a process that is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def no_pidfds(monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    def refuses(pid: int) -> int:
        raise OSError(38, "Function not implemented")

    if kernel == "without":
        monkeypatch.setattr(os, "pidfd_open", refuses)
    else:
        monkeypatch.delattr(os, "pidfd_open")


@pytest.mark.parametrize("kernel", ["without", "before"])
def test_where_no_process_can_be_held_its_start_is_what_it_is_known_by(
    kernel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_pidfds(monkeypatch, kernel)
    with standing_in(tmp_path) as pid:
        before = open_files()
        process = find(record(pid))
        assert open_files() == before
        assert process.started == process_start(pid)
        later = NodeProcess(pid=pid, started=process.started + 1, parent=1)
        with pytest.raises(ConfigError, match=f"process {pid} ended by itself"):
            later.kill()
        assert psutil.Process(pid).is_running()
        process.kill()
        process.close()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
        with pytest.raises(ConfigError, match=f"process {pid} ended by itself"):
            process.kill()


def test_what_is_found_is_held_until_it_is_closed(tmp_path: Path) -> None:
    with standing_in(tmp_path) as pid:
        before = open_files()
        process = find(record(pid))
        assert open_files() == before + 1
        assert process.started == process_start(pid)
        process.close()
        process.close()
        assert open_files() == before


def test_one_that_is_gone_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pid = ended()
    assert refusal_of(record(pid)) == "there is no such process"
    no_pidfds(monkeypatch, "without")
    assert refusal_of(record(pid)) == "there is no such process"


def test_one_that_goes_while_it_is_looked_at_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.local.node_process.process_start", lambda pid: None)
    with standing_in(tmp_path) as pid:
        assert refusal_of(record(pid)) == "there is no such process"


def test_one_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: psutil.Process) -> list[str]:
        raise psutil.AccessDenied(self.pid)

    def forbidden(*_: object) -> None:
        raise PermissionError

    with standing_in(tmp_path) as pid:
        process = find(record(pid))
        with monkeypatch.context() as patch:
            patch.setattr("signal.pidfd_send_signal", forbidden)
            with pytest.raises(ConfigError, match=f"process {pid} is another user's; nothing was"):
                process.kill()
        process.close()
        monkeypatch.setattr(psutil.Process, "cmdline", denied)
        assert refusal_of(record(pid)) == "it is another user's"


def test_one_whose_id_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    with standing_in(tmp_path) as pid:
        path = tmp_path / "nodes" / "wren" / "id"
        path.unlink()
        assert refusal_of(record(pid)) == f"{path} cannot be read (No such file or directory)"
        path.write_bytes(b"\xff\xfe")
        assert refusal_of(record(pid)) == "it is another node of that name"


def test_a_command_line_is_read_from_its_end() -> None:
    found = told(["python", "-P", "-m", "node", '{"name": "a", "state_dir": "b", "more": 1}'])
    assert found is not None
    assert (found.name, found.state_dir) == ("a", "b")
    assert told(["-m", "node", '{"name": "a", "state_dir": "b"}']) is None, "of no program"
