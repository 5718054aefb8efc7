"""Files of our own: there whole or not at all, and nobody waits at one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mesh.files import draft_of, read_whole, write_whole

KILLED = """
import os, sys
from pathlib import Path
from mesh import files
os.fsync = lambda file: os.kill(os.getpid(), 9)
files.write_whole(Path(sys.argv[1]), b"x" * 100_000)
"""


def test_a_writer_that_is_killed_leaves_what_was_there_and_no_second_draft(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write_whole(path, b"before")
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        assert done.returncode == -9
        assert path.read_bytes() == b"before"
        assert sorted(tmp_path.iterdir()) == [draft_of(path), path]
    write_whole(path, b"after")  # shorter than what the draft had
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["truncate", "write", "fsync"])
def test_a_disk_that_refuses_leaves_what_was_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept"
    write_whole(path, b"before")
    if name == "fsync":
        monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(errno.EIO, "")))
    else:
        plain = os.fdopen

        class Full:
            def __init__(self, file: int, mode: str) -> None:
                self.file = plain(file, mode)

            def __enter__(self) -> Full:
                return self

            def __exit__(self, *_: object) -> None:
                self.file.close()

            def __getattr__(self, asked: str) -> object:
                if asked == name:
                    raise OSError(errno.ENOSPC, "full")
                return getattr(self.file, asked)

        monkeypatch.setattr(os, "fdopen", Full)
    with pytest.raises(OSError, match=r"full|Errno 5"):
        write_whole(path, b"after")
    monkeypatch.undo()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_of_several_writers_one_stands_whole(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    texts = [bytes([letter]) * 200_000 for letter in b"abcdefgh"]
    writers = [threading.Thread(target=write_whole, args=(path, text)) for text in texts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_bytes() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_a_draft_that_is_a_link_leads_nowhere(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    path = tmp_path / "kept"
    draft_of(path).symlink_to(other)
    with pytest.raises(OSError, match="symbolic"):
        write_whole(path, b"after")
    assert other.read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_nobody_waits_at_what_is_no_regular_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path = Path("/dev/zero")
    with pytest.raises(OSError, match=r"no regular file|Is a directory"):
        read_whole(path, 100)


def test_what_is_longer_than_allowed_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write_whole(path, b"x" * 100)
    assert len(read_whole(path, 100)) == 100
    assert len(read_whole(path, 50)) == 51
    assert path.stat().st_mode & 0o777 == 0o600
