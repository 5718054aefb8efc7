"""`mesh down`: whom it waits for, what stays on disk, and what --purge deletes: its own files."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from mesh.cli.down import waits_for
from mesh.cli.main import cli
from mesh.errors import ConfigError
from mesh.local import leftovers, run_file
from mesh.local.plan import name_in
from node.identity import claim
from node.models.calibration import store
from node.models.fit import measured

OWN = (
    *("etcd/member/wal/0.wal", "etcd/member/snap/db", "logs/robin.log", "logs/robin.log.1"),
    *("cache/rules/ab.hsdb", "cache/rules-check/cd.hsdb", "mesh.lock", "mesh.json"),
    *("nodes/robin/id", "nodes/robin/lock"),
    # What a node keeps from one run to the next.
    *(f"nodes/robin/{kept.FILE}" for kept in (store, measured)),
    *("orchestrators/orchestrator/id", "orchestrators/orchestrator/ticket.key"),
)
FOREIGN = (
    *("letter.txt", "logs/holiday.txt", "cache/thumbnails/a.png", "nodes/robin/mine.txt"),
    *("logs/server.log", "etcd/other", "chats/trip.json", "chat-history", "orchestrators/notes/x"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*OWN, *FOREIGN):
        path = tmp_path / "state" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 5000)
    return (tmp_path / "state").resolve()


def down(folder: Path, *arguments: str, **options: str) -> Result:
    return CliRunner().invoke(cli, ["down", "--state-dir", str(folder), *arguments], **options)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_purge_deletes_its_own_files_and_no_other(folder: Path) -> None:
    result = down(folder, "--purge", "--yes")
    assert result.exit_code == 0, result.stderr
    assert files(folder) == set(FOREIGN)
    for words in ("the registry's data", "logs", "identities", str(folder)):
        assert words in result.stdout
    assert not (folder / "cache" / "rules").exists()
    assert "nothing is left" in down(folder, "--purge", "--yes").stdout


@pytest.mark.parametrize("name", ["mesh.json", ".mesh.json.draft", "nodes/x/calibration.json"])
def test_a_folder_in_which_no_mesh_ran_has_nothing_of_it(name: str, tmp_path: Path) -> None:
    for each in ("logs/mesh.log", "etcd/member/snap/db", "cache/rules/ab.hsdb", name):
        path = tmp_path / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
    before = files(tmp_path) - {"mesh.json"}  # a stale one is removed by whoever meets it
    assert "nothing is left" in down(tmp_path, "--purge", "--yes").stdout
    assert files(tmp_path) - {"mesh.json"} == before


def test_purge_is_refused_while_a_mesh_begins_there(folder: Path) -> None:
    with run_file.held(folder):
        result = down(folder, "--purge", "--yes")
        assert "just starting or stopping" in result.stderr
        assert set(OWN) - {"mesh.json"} <= files(folder)


def test_a_mesh_does_not_begin_with_a_lock_that_was_deleted_under_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fcntl.flock

    def purged(file: int, how: int) -> None:
        (folder / run_file.LOCK).unlink()
        plain(file, how)

    monkeypatch.setattr(fcntl, "flock", purged)
    with pytest.raises(ConfigError, match="just starting or stopping"), run_file.held(folder):
        raise AssertionError("held what nobody else sees")


def test_purge_knows_a_folder_by_another_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").symlink_to(folder)
    settings = json.dumps({"name": "o1", "state_dir": str(tmp_path / "other")})
    process = SimpleNamespace(pid=7, info={"cmdline": ["python", "-m", "orchestrator", settings]})
    monkeypatch.setattr(leftovers.psutil, "process_iter", lambda _: [process])
    assert "orchestrator 'o1' (pid 7) runs on" in down(folder, "--purge", "--yes").stderr
    assert set(OWN) - {"mesh.json"} <= files(folder)


def test_what_a_link_leads_to_is_not_its_own(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "robin").mkdir(parents=True)
    (elsewhere / "robin" / "id").write_text("x", encoding="utf-8")
    (elsewhere / "a.log").write_text("x", encoding="utf-8")
    (folder / "orchestrators" / "linked").symlink_to(elsewhere / "robin")
    (folder / "logs" / "linked.log").symlink_to(elsewhere / "a.log")
    assert down(folder, "--purge", "--yes").exit_code == 0
    assert files(elsewhere) == {"robin/id", "a.log"}


def test_purge_without_anybody_to_answer_deletes_nothing(folder: Path) -> None:
    result = down(folder, "--purge", input="y\n")
    assert (result.exit_code, "--yes" in result.stderr) == (2, True)
    assert files(folder) == {*OWN, *FOREIGN} - {"mesh.json"}  # of one that does not run


@pytest.mark.parametrize("answer", [True, False])
def test_purge_says_what_it_deletes_and_asks(
    folder: Path, answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr("mesh.cli.down.click.confirm", confirm)
    monkeypatch.setattr("mesh.cli.down._answers", lambda: True)
    result = down(folder, "--purge")
    assert asked == [f"delete these in {folder}?"]
    assert "the registry's data: 10 KiB" in result.stdout
    assert (files(folder) == set(FOREIGN)) is answer


def test_purge_is_refused_while_a_node_runs_there(folder: Path) -> None:
    (folder / "nodes" / "robin" / "id").unlink()
    with claim(folder, "robin"):
        result = down(folder, "--purge", "--yes")
    assert result.exit_code == 2
    assert f"node 'robin' (pid {os.getpid()}) runs on {folder}" in result.stderr
    assert (folder / "etcd" / "member").exists()


def test_purge_is_refused_while_an_orchestrator_runs_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs(*commands: list[str] | None) -> None:
        found = [SimpleNamespace(pid=4711, info={"cmdline": each}) for each in commands]
        monkeypatch.setattr("mesh.local.leftovers.psutil.process_iter", lambda _: found)

    def orchestrator(state_dir: str | None) -> list[str]:
        return ["python", "-m", "orchestrator", json.dumps({"name": "o", "state_dir": state_dir})]

    monkeypatch.setenv("HOME", str(folder.parent))
    runs(None, [], ["python", "-m", "orchestrator", "{"], ["vi"], orchestrator(None))
    leftovers.require_unused(folder)
    runs(orchestrator(str(folder.parent)), ["python", "-m", "node", *orchestrator(str(folder))[3:]])
    leftovers.require_unused(folder)
    for state_dir in (str(folder), "~/state"):
        runs(None, ["python", "-m", "orchestrator", "{"], orchestrator(state_dir))
        with pytest.raises(ConfigError) as refused:
            leftovers.require_unused(folder)
        assert refused.value.message.startswith(
            f"orchestrator 'o' (pid 4711) runs on {folder}; stop it first"
        )


@pytest.mark.parametrize("trace", ["nodes/robin/id", "mesh.lock"])
def test_one_trace_of_a_mesh_makes_its_logs_known(trace: str, tmp_path: Path) -> None:
    for name in (trace, "logs/etcd.log", "logs/wren.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (logs,) = (each for each in leftovers.found(tmp_path) if each.what == "logs")
    assert logs.paths == (tmp_path / "logs" / "etcd.log",)


def test_a_lock_that_says_more_than_a_pid_is_cut(folder: Path) -> None:
    with (folder / "nodes" / "robin" / "lock").open("w") as lock:
        lock.write("7" * 40)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match=rf"node 'robin' \(pid {'7' * 32}\) runs"):
            leftovers.require_unused(folder)


def test_what_went_meanwhile_is_deleted_too(folder: Path) -> None:
    found = leftovers.found(folder)
    (folder / "mesh.lock").unlink()
    leftovers.delete(found, folder)
    assert files(folder) == set(FOREIGN)


def test_without_purge_nothing_is_deleted(folder: Path) -> None:
    assert "no mesh is running" in down(folder).stdout
    assert files(folder) == {*OWN, *FOREIGN} - {"mesh.json"}  # of one that does not run
    assert down(folder, "--yes").exit_code == 2


def test_sizes_are_what_it_takes(folder: Path) -> None:
    sparse = folder / "etcd" / "member" / "sparse"
    with sparse.open("wb") as file:
        file.truncate(2**30)
    (registry,) = (e for e in leftovers.found(folder) if e.what == "the registry's data")
    assert registry.size == 10_000
    with sparse.open("r+b") as file:
        file.write(b"x" * 100)
        file.flush()
        os.fsync(file.fileno())
    (registry,) = (e for e in leftovers.found(folder) if e.what == "the registry's data")
    assert registry.size == 10_000 + sparse.stat().st_blocks * 512
    assert leftovers._size(folder / "none") == 0


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["node 'robin'"], "waiting for node 'robin' to finish, at most 14 s more"),
        (["a", "b", "c"], "waiting for a, b and c to finish"),
        ([], "waiting for its supervisor, at most 14 s more"),
    ],
)
def test_whom_it_waits_for_is_said(names: list[str], told: str) -> None:
    assert waits_for(names, 14.2).startswith(told)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "-P", "-m", "node", '{"name":"robin","slots":2}'], "node 'robin'"),
        (["python", "-m", "orchestrator", '{"name":"orchestrator"}'], "orchestrator"),
        (["python", "-m", "node", "{"], "node"),
        (["/opt/etcd/etcd", "--name=mesh"], "etcd"),
        ([], "a process"),
    ],
)
def test_a_child_is_named_by_its_command(command: list[str], name: str) -> None:
    assert name_in(command) == name


def test_the_stop_command_names_the_folder(folder: Path) -> None:
    assert str(folder) in run_file.down_command(folder)
