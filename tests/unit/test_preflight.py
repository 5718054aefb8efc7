"""What a command stands on: in processes of their own, since limits and streams are a process's."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from training.rigs.odd_start import odd

PATH = {"PYTHONPATH": str(Path(__file__).parents[2])}


def mesh(*arguments: str, **oddities: Any) -> tuple[int, str]:
    """Exit code, and what it said on standard error."""
    done = subprocess.run(
        odd([sys.executable, "-m", "mesh.cli", *arguments], **oddities),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | PATH,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("command", "kind", "value", "said"),
    [
        ("status", resource.RLIMIT_NOFILE, 12, "12 open files (ulimit -n), and needs at least 24"),
        ("status", resource.RLIMIT_AS, 400 << 20, "400 MiB of address space (ulimit -v)"),
        ("status", resource.RLIMIT_DATA, 100 << 20, "100 MiB of memory (ulimit -d)"),
        ("up", resource.RLIMIT_NOFILE, 64, "64 open files (ulimit -n), and needs at least 128"),
        ("up", resource.RLIMIT_AS, 700 << 20, "700 MiB of address space (ulimit -v)"),
        ("node", resource.RLIMIT_DATA, 200 << 20, "200 MiB of memory (ulimit -d)"),
    ],
)
def test_a_limit_that_is_too_low_is_one_line_before_anything_breaks(
    command: str, kind: int, value: int, said: str
) -> None:
    code, told = mesh(command, limits={kind: value})
    assert code == 2
    assert said in told
    assert len(told.splitlines()) == 1


def test_a_soft_limit_that_may_be_raised_is_raised() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = {resource.RLIMIT_NOFILE: (12, hard)}
    code, told = mesh("status", "--endpoint", "127.0.0.1:1", limits=low)
    assert code == 4, told


@pytest.mark.parametrize("numbers", [(0,), (1,), (2,), (0, 1, 2)])
def test_standard_streams_that_are_closed_are_nobody_elses(numbers: tuple[int, ...]) -> None:
    code, told = mesh("status", "--endpoint", "127.0.0.1:1", closed=numbers)
    assert code == 4
    assert len(told.splitlines()) == (0 if 2 in numbers else 1)


def test_a_folder_that_is_gone_is_one_line() -> None:
    code, told = mesh("status", gone=True)
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


def test_a_compiled_file_that_was_cut_is_told_and_not_taken_for_a_ctrl_d() -> None:
    code = (
        "import sys, mesh.cli.main as main\n"
        "def cut(self, ctx, name):\n    raise EOFError('marshal data too short')\n"
        "main.MeshGroup.get_command = cut\n"
        "sys.argv = ['mesh', '--help']\nmain.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
        env=os.environ | PATH,
    )  # fmt: skip
    assert done.returncode == 1
    assert "mesh: marshal data too short (a file that Python compiled" in done.stderr
