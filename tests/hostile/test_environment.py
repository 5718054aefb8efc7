"""The environment's door: what a box may lack, and each process and command says in one line."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from mesh import box
from mesh.errors import ConfigError
from mesh.settings.state import state_dir
from node.hardware.care.cores import read_cores
from node.hardware.host import Host
from training.rigs.odd_start import odd

MIB = 1024 * 1024
_STAMP = re.compile(r"^\d{4}-\S+ ")
MODEL = {"source": "simulated", "id": "s", "engine": "simulated", "specialties": ["math"]}


def settings(folder: str, **more: Any) -> str:
    return json.dumps({"name": "x", "state_dir": folder, "etcd": "127.0.0.1:1"} | more)


def commands(folder: str) -> dict[str, list[str]]:
    """What is started, by the name of the row."""
    flags = ["--etcd", "127.0.0.1:1"]
    return {
        "up": ["mesh.cli", "up"],
        "mesh node": [*("mesh.cli", "node", "--model", "simulated", "--engine", "simulated"),
                      *("--specialty", "math"), *flags],
        "mesh orchestrator": ["mesh.cli", "orchestrator", *flags],
        "node": ["node", settings(folder, models=[MODEL])],
        "orchestrator": ["orchestrator", settings(folder, bind="127.0.0.1:0")],
        "status": ["mesh.cli", "status", "--endpoint", "127.0.0.1:1"],
        "ask": ["mesh.cli", "ask", "hi", "--endpoint", "127.0.0.1:1"],
        "down": ["mesh.cli", "down"],
    }  # fmt: skip


async def ends(
    name: str, folder: str, *, address_space: int | None = None, **environment: str
) -> tuple[int, list[str]]:
    """Exit code and lines of all that it wrote."""
    limits = {} if address_space is None else {resource.RLIMIT_AS: address_space}
    process = await asyncio.create_subprocess_exec(
        *odd([sys.executable, "-P", "-m", *commands(folder)[name]], limits=limits),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "MESH_STATE_DIR": folder, **environment},
    )
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    assert process.returncode is not None
    return process.returncode, said.decode().splitlines()


def one_line(lines: list[str], says: str) -> None:
    assert len(lines) == 1, lines
    assert says in lines[0]
    assert "Traceback" not in lines[0]


@pytest.mark.processes
@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", ["no such place", "a file"])
async def test_a_state_folder_that_cannot_be_is_one_line(tmp_path: Path, where: str) -> None:
    folder = "/proc/nowhere" if where == "no such place" else str(tmp_path / "file" / "x")
    (tmp_path / "file").touch()
    for name in ("up", "mesh node", "mesh orchestrator", "node", "orchestrator"):
        code, lines = await ends(name, folder)
        assert code == 2, (name, lines)
        one_line(lines, folder)


@pytest.mark.processes
@pytest.mark.timeout(300)
async def test_an_address_space_that_is_too_small_is_one_line(tmp_path: Path) -> None:
    rows = [
        ("up", 700, 2, "needs at least 1,024"),
        ("up", 2000, 2, "needs at least 12,288"),
        ("mesh node", 700, 2, "needs at least 1,024"),
        ("mesh orchestrator", 700, 2, "needs at least 1,024"),
        ("node", 700, 2, "address space (ulimit -v)"),
        ("orchestrator", 700, 2, "address space (ulimit -v)"),
        ("status", 300, 2, "needs at least 512"),
        ("ask", 300, 2, "needs at least 512"),
        ("status", 700, 4, "no orchestrator answers"),
        ("ask", 700, 4, "no orchestrator answers"),
        ("down", 700, 0, "no mesh is running"),
    ]
    for name, mebibytes, expected, says in rows:
        code, lines = await ends(name, str(tmp_path), address_space=mebibytes * MIB)
        assert code == expected, (name, lines)
        one_line(lines, says)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "out of memory: give it more"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "device: /x/y; free some, or"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; free some"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "give another state folder"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "give another state folder"),
        (OSError(errno.EMFILE, "Too many open files"), "`ulimit -n`"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "`ulimit -v`"),
        (RuntimeError("can't start new thread"), "no thread can be started"),
        (ImportError("libx.so: failed to map segment: Cannot allocate memory"), "out of memory"),
        (OSError(errno.EROFS, "Read-only file system", "/a\n\x1b[31mb"), "/a b; give"),
        (RuntimeError("anything else"), None),
        (OSError("without a number"), None),
        (ImportError("no module named x"), None),
        (KeyError("x"), None),
    ],
)
def test_what_the_box_refuses_has_a_remedy_and_a_defect_has_none(
    error: Exception, says: str | None
) -> None:
    found = box.refusal(error)
    if says is None:
        assert found is None
    else:
        assert found is not None
        assert says in found
        assert found.isprintable()


def test_a_user_without_a_home_is_told_what_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("MESH_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "expanduser", no_home)
    with pytest.raises(ConfigError, match=r"no home folder.*\$MESH_STATE_DIR"):
        state_dir()


def test_without_proc_a_box_says_what_it_can(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_proc(*_: object, **__: object) -> Any:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/proc/stat")

    for name in ("cpu_percent", "cpu_count", "virtual_memory", "Process"):
        monkeypatch.setattr(psutil, name, no_proc)
    host = Host(tmp_path)
    cpu, memory = host.cpu(), host.memory()
    assert cpu.load is None
    assert cpu.physical_cores == cpu.logical_cores == os.cpu_count()
    assert 0 < memory.available_bytes <= memory.total_bytes
    assert host.threads() >= 1
    assert read_cores(tmp_path).allowed
