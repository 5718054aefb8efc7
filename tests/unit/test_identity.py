"""A node's identity persists, is exclusive, and says what to do when it is damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.errors import ConfigError, DuplicateNode
from node.identity import claim


def test_the_id_stays_and_the_instance_changes_over_restarts(tmp_path: Path) -> None:
    with claim(tmp_path, "math") as first:
        pass
    with claim(tmp_path, "math") as second:
        pass
    assert first.id == second.id
    assert first.instance != second.instance
    assert first.folder == tmp_path / "nodes" / "math"


def test_two_names_in_one_state_folder_are_two_nodes(tmp_path: Path) -> None:
    with claim(tmp_path, "math") as one, claim(tmp_path, "code") as other:
        assert one.id != other.id


def test_a_second_agent_on_the_same_folder_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    with (
        claim(tmp_path, "math"),
        pytest.raises(DuplicateNode, match=rf"pid {os.getpid()}\b"),
        claim(tmp_path, "math"),
    ):
        pass
    with claim(tmp_path, "math"):
        pass  # free again


def test_the_lock_ends_with_its_process_however_that_dies(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from node.identity import claim\n"
        f"with claim(Path({str(tmp_path)!r}), 'math'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DuplicateNode, match=str(holder.pid)), claim(tmp_path, "math"):
            pass
        holder.kill()
        holder.wait(10)
    with claim(tmp_path, "math"):
        pass


@pytest.mark.parametrize("content", [b"", b"node-xyz\n", b"\xff\xfe\x00", b"node-" + b"0" * 17])
def test_a_damaged_id_is_refused_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "nodes" / "math"
    folder.mkdir(parents=True)
    (folder / "id").write_bytes(content)
    with pytest.raises(ConfigError, match="restore it, or delete it"), claim(tmp_path, "math"):
        pass
    assert (folder / "id").read_bytes() == content  # never overwritten


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "a\n", "ä", "x" * 65])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="node name"), claim(tmp_path, name):
        pass


def test_a_state_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="give another state_dir"), claim(tmp_path / "file", "a"):
        pass
