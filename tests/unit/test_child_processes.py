"""Child processes, real and short: tied to their parent, under limits, ended within bounds."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mesh.child.ending import collect, describe_exit, exits, kill_group, terminate
from mesh.child.limits import Limits
from mesh.child.start import start, tethered

pytestmark = pytest.mark.processes

WAIT_S = 30.0
SLEEPS = (sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)")


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.01)


def output(code: str, limits: Limits) -> str:
    """What a child under limits prints."""
    command = tethered((sys.executable, "-c", code), limits)
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    return done.stdout.strip() or done.stderr.strip()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (0, "exit code 0"),
        (1, "exit code 1"),
        (-signal.SIGKILL, "killed by SIGKILL"),
        (-200, "killed by signal 200"),
    ],
)
def test_an_exit_is_described_in_words(code: int, told: str) -> None:
    assert describe_exit(code) == told


def test_a_child_dies_with_a_parent_that_is_killed() -> None:
    script = (
        "import subprocess, sys\nfrom mesh.child.start import tethered\n"
        "code = 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'\n"
        "subprocess.run(tethered((sys.executable, '-c', code)))"
    )
    parent = subprocess.Popen((sys.executable, "-c", script), stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        assert not gone(orphan)
    finally:
        parent.kill()
        parent.communicate()
    deadline = time.monotonic() + WAIT_S
    while not gone(orphan):
        assert time.monotonic() < deadline, "it outlived its parent"
        time.sleep(0.01)


def test_a_child_whose_parent_died_before_the_tie_runs_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    command = list(tethered(("touch", str(made))))
    assert subprocess.run(command, timeout=WAIT_S, check=False).returncode == 0
    assert made.exists()
    made.unlink()
    command[command.index(str(os.getpid()))] = str(os.getppid())
    assert subprocess.run(command, timeout=WAIT_S, check=False).returncode == 1
    assert not made.exists()


def test_a_command_that_does_not_exist_says_so() -> None:
    done = subprocess.run(
        tethered(("/nowhere/etcd",)), capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.stderr.strip() == "cannot run /nowhere/etcd: No such file or directory"
    assert done.returncode == 1


def test_memory_is_limited() -> None:
    code = "try:\n    bytearray(1 << 30)\nexcept MemoryError:\n    print('refused')\n"
    assert output(code, Limits(memory_bytes=256 * 1024 * 1024)) == "refused"


def test_no_files_are_written(tmp_path: Path) -> None:
    path = tmp_path / "x"
    code = f"with open({str(path)!r}, 'wb', buffering=0) as f: f.write(b'1')"
    assert "File too large" in output(code, Limits(file_bytes=0))
    assert path.read_bytes() == b""


def test_no_limit_is_raised_and_what_is_not_said_is_as_it_was() -> None:
    code = "from resource import *; print(getrlimit(RLIMIT_NOFILE), getrlimit(RLIMIT_CORE))"
    plain = output(code, Limits())
    assert output(code, Limits(file_bytes=7)) == plain
    nested = tethered((sys.executable, "-c", code), Limits(core_bytes=2**40))
    lowered = tethered(("sh", "-c", 'exec "$@"', "sh", *nested), Limits(core_bytes=5))
    done = subprocess.run(lowered, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.stdout.endswith("(5, 5)\n"), done.stderr


def test_a_child_runs_on_the_cpus_that_it_is_given() -> None:
    cpu = max(os.sched_getaffinity(0))
    code = "import os; print(os.sched_getaffinity(0))"
    assert output(code, Limits(cpus=frozenset({cpu}))) == f"{{{cpu}}}"
    missing = frozenset({10_000})  # better on all than not at all
    assert output(code, Limits(cpus=missing)) == str(os.sched_getaffinity(0))


def test_cpu_time_is_limited_even_if_nobody_kills() -> None:
    code = "from mesh.child.limits import limit_cpu\nlimit_cpu(1)\nwhile True:\n    pass\n"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=100)
    assert result.returncode == -signal.SIGXCPU


async def test_an_exit_is_waited_for_no_longer_than_told() -> None:
    process = await start(SLEEPS)
    assert not await exits(process, 0.01)
    process.kill()
    assert await exits(process, WAIT_S)
    for _ in range(2):  # what comes too late does no harm
        await collect(process)
        terminate(process)
        kill_group(process)


async def test_starting_one_holds_the_loop_no_longer_the_more_memory_its_parent_has() -> None:
    """A fork would copy the page tables of it all: 30 ms."""
    ours = bytearray(512 * 2**20)
    ours[::4096] = b"1" * (len(ours) // 4096)
    held = []
    for _ in range(5):
        began = time.perf_counter()
        process = await start(SLEEPS)
        held.append(time.perf_counter() - began)
        await collect(process)
    assert min(held) < 0.01


async def test_an_exit_is_noticed_where_there_is_no_descriptor_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(_pid: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", none_left)
    process = await start((sys.executable, "-I", "-S", "-c", "raise SystemExit(7)"))
    assert process.returncode is None
    async with asyncio.timeout(WAIT_S):
        assert await process.wait() == 7
    assert process.returncode == 7
    with pytest.raises(ProcessLookupError):
        process.kill()


async def test_what_a_child_started_is_killed_with_it_and_after_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys\n"
        f"pid = subprocess.Popen({SLEEPS!r}).pid\n"
        f"with open({str(pids)!r}, 'w') as file: file.write(str(pid))\n"
        "sys.exit(0)"
    )
    process = await start((sys.executable, "-c", code))
    assert await process.wait() == 0
    left = int(pids.read_text())
    assert not gone(left)
    kill_group(process)
    await until(lambda: gone(left))


async def test_whoever_is_cancelled_while_collecting_leaves_no_process() -> None:
    process = await start(SLEEPS)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(collect(process))
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    assert process.returncode == -signal.SIGKILL


def test_a_child_has_no_input() -> None:
    script = (
        "import asyncio, sys\nfrom mesh.child.start import start\n"
        "async def main():\n"
        "    code = 'import sys; sys.exit(len(sys.stdin.read()))'\n"
        "    print(await (await start((sys.executable, '-c', code))).wait())\n"
        "asyncio.run(main())"
    )
    command = (sys.executable, "-c", script)
    done = subprocess.run(
        command, input="ours", capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.stdout == "0\n", done.stderr
