"""What a command stands on: in processes of their own, since limits and streams are a process's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# The process limits itself and becomes the command: the fork of a test process with gRPC's threads
# in it may crash by itself.
ITSELF = "import os, resource, sys; {}; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
PATH = {"PYTHONPATH": str(Path(__file__).parents[2])}


def mesh(*arguments: str, before: str, **given: Any) -> tuple[int, str]:
    """Exit code, and what it said on standard error."""
    done = subprocess.run(
        [sys.executable, "-c", ITSELF.format(before), "-m", "mesh.cli", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | PATH,
        **given,
    )
    return done.returncode, done.stderr


def limited(kind: str, value: int) -> str:
    return f"resource.setrlimit(resource.RLIMIT_{kind}, ({value}, {value}))"


@pytest.mark.parametrize(
    ("command", "kind", "value", "said"),
    [
        ("status", "NOFILE", 12, "12 open files (ulimit -n), and needs at least 24"),
        ("status", "AS", 400 << 20, "400 MiB of address space (ulimit -v)"),
        ("status", "DATA", 100 << 20, "100 MiB of memory (ulimit -d)"),
        ("up", "NOFILE", 64, "64 open files (ulimit -n), and needs at least 128"),
        ("up", "AS", 700 << 20, "700 MiB of address space (ulimit -v)"),
        ("node", "DATA", 200 << 20, "200 MiB of memory (ulimit -d)"),
    ],
)
def test_a_limit_that_is_too_low_is_one_line_before_anything_breaks(
    command: str, kind: str, value: int, said: str
) -> None:
    code, told = mesh(command, before=limited(kind, value))
    assert code == 2
    assert said in told
    assert len(told.splitlines()) == 1


def test_a_soft_limit_that_may_be_raised_is_raised() -> None:
    low = "n = resource.RLIMIT_NOFILE; resource.setrlimit(n, (12, resource.getrlimit(n)[1]))"
    code, told = mesh("status", "--endpoint", "127.0.0.1:1", before=low)
    assert code == 4, told


@pytest.mark.parametrize("numbers", [(0,), (1,), (2,), (0, 1, 2)])
def test_standard_streams_that_are_closed_are_nobody_elses(numbers: tuple[int, ...]) -> None:
    closed = f"[os.close(number) for number in {numbers}]"
    code, told = mesh("status", "--endpoint", "127.0.0.1:1", before=closed)
    assert code == 4
    assert len(told.splitlines()) == (0 if 2 in numbers else 1)


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    code, told = mesh("status", before="os.rmdir(os.getcwd())", cwd=tmp_path / "gone")
    assert (code, len(told.splitlines())) == (2, 1)
    assert "is gone" in told


def test_an_output_that_cannot_be_written_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mesh.cli", "--help"], stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "mesh: the output cannot be written: No space left on device\n"
