"""The local mesh's processes: started, started again, stopped in order, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from mesh.clock import SystemClock
from mesh.errors import ConfigError, InternalError, PortInUse, leaf
from mesh.local import logs, run_file
from mesh.local.plan import ChildSpec, ProcessKind
from mesh.local.ports import can_bind, free_port, require_free
from mesh.local.supervisor import Supervisor

WAIT_S = 20.0


class QuickClock(SystemClock):
    """Real time, but waits are noted and hardly waited."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.01 if seconds < 10 else 3600)


def child(name: str, code: str, part: ProcessKind = ProcessKind.NODE) -> ChildSpec:
    return ChildSpec(part=part, name=name, command=(sys.executable, "-I", "-S", "-c", code))


SLEEPS = "import time; time.sleep(600)"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  # another process makes it true
            await asyncio.sleep(0.01)


async def supervised(
    supervisor: Supervisor, body: Callable[[], Awaitable[None]]
) -> BaseException | None:
    """Runs ``body`` beside the supervisor, then stops that; returns what it raised."""
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(supervisor.run())
            await body()
            running.cancel()
    except BaseExceptionGroup as error:
        return leaf(error)
    return None


async def for_ever() -> None:
    await asyncio.sleep(WAIT_S)


@pytest.mark.processes
class TestSupervisor:
    @pytest.fixture
    def lines(self) -> list[str]:
        return []

    def make(self, tmp_path: Path, lines: list[str], *specs: ChildSpec) -> Supervisor:
        return Supervisor(specs, log_dir=tmp_path, report=lines.append, clock=QuickClock())

    async def test_a_child_that_dies_is_started_again_and_that_is_said(
        self, tmp_path: Path, lines: list[str]
    ) -> None:
        supervisor = self.make(tmp_path, lines, child("math", SLEEPS))

        async def body() -> None:
            await until(lambda: supervisor.pid("math") is not None)
            supervisor.settled()
            first = supervisor.pid("math") or 0
            os.kill(first, signal.SIGKILL)
            await until(lambda: supervisor.pid("math") not in (None, first))

        assert await supervised(supervisor, body) is None
        assert lines == ["math died (killed by SIGKILL); starting again in 1 s"]

    async def test_bad_settings_are_not_started_again(
        self, tmp_path: Path, lines: list[str]
    ) -> None:
        code = "import sys, time; time.sleep(0.3); print('slots: must be 1'); sys.exit(2)"
        supervisor = self.make(tmp_path, lines, child("math", code), child("code", SLEEPS))
        supervisor.settled()

        async def body() -> None:
            await until(lambda: bool(lines))
            assert supervisor.pid("code") is not None

        assert await supervised(supervisor, body) is None
        assert lines == ["math ended: slots: must be 1; not starting it again"]

    @pytest.mark.parametrize(("code", "kind"), [(2, ConfigError), (1, InternalError)])
    async def test_a_child_that_fails_to_start_ends_everything_with_its_last_words(
        self, tmp_path: Path, lines: list[str], code: int, kind: type[Exception]
    ) -> None:
        words = f"import sys; print('one'); print('it broke'); sys.exit({code})"
        supervisor = self.make(tmp_path, lines, child("math", words), child("code", SLEEPS))
        error = await supervised(supervisor, for_ever)
        assert type(error) is kind
        assert f"math ended while starting (exit code {code}): it broke" in str(error)
        assert str(tmp_path / "math.log") in str(error)
        assert lines == ["  math: one", "  math: it broke"]
        assert supervisor.pid("code") is None

    async def test_a_command_that_does_not_exist_says_so(
        self, tmp_path: Path, lines: list[str]
    ) -> None:
        spec = ChildSpec(part=ProcessKind.ETCD, name="etcd", command=("/nowhere/etcd",))
        error = await supervised(self.make(tmp_path, lines, spec), for_ever)
        assert "cannot run /nowhere/etcd: No such file or directory" in str(error)

    async def test_etcd_goes_last(self, tmp_path: Path, lines: list[str]) -> None:
        polite = (
            "import signal, sys, time\n"
            "def bye(*_):\n"
            "    time.sleep({late}); print(time.monotonic()); sys.exit(0)\n"
            "signal.signal(signal.SIGTERM, bye); print('up', flush=True); time.sleep(600)"
        )
        supervisor = self.make(
            tmp_path,
            lines,
            child("etcd", polite.format(late=0), ProcessKind.ETCD),
            child("math", polite.format(late=0.3)),
        )

        async def body() -> None:
            await until(lambda: all(logs.tail(tmp_path / f"{n}.log") for n in ("etcd", "math")))

        assert await supervised(supervisor, body) is None
        ended = {n: float(logs.tail(tmp_path / f"{n}.log")[-1]) for n in ("etcd", "math")}
        assert ended["math"] < ended["etcd"]

    async def test_a_stubborn_child_is_killed_when_told_to_hurry(
        self, tmp_path: Path, lines: list[str]
    ) -> None:
        code = "import signal,time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
        supervisor = self.make(tmp_path, lines, child("math", f"{code}; time.sleep(600)"))
        pids: list[int | None] = []

        async def body() -> None:
            await until(lambda: bool(logs.tail(tmp_path / "math.log")))
            pids.append(supervisor.pid("math"))
            supervisor.hurry()

        assert await supervised(supervisor, body) is None
        assert not psutil.pid_exists(pids[0] or 0)

    def test_children_die_with_a_supervisor_that_is_killed(self, tmp_path: Path) -> None:
        script = (
            "import asyncio, sys\nfrom pathlib import Path\n"
            "from mesh.clock import SystemClock\n"
            "from mesh.local.plan import ChildSpec, ProcessKind\n"
            "from mesh.local.supervisor import Supervisor\n"
            f"spec = ChildSpec(part=ProcessKind.NODE, name='math', command=(sys.executable, '-c', "
            f"'import os, time; print(os.getpid(), flush=True); time.sleep(600)'))\n"
            f"asyncio.run(Supervisor([spec], log_dir=Path({str(tmp_path)!r}), report=print, "
            "clock=SystemClock()).run())"
        )
        process = subprocess.Popen([sys.executable, "-c", script])
        try:
            log = tmp_path / "math.log"
            wait(lambda: bool(logs.tail(log)))
            grandchild = psutil.Process(int(logs.tail(log)[0]))
        finally:
            process.kill()
            process.wait()
        grandchild.wait(timeout=WAIT_S)


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_log_starts_afresh_and_keeps_the_run_before(tmp_path: Path) -> None:
    log = tmp_path / "math.log"
    log.write_text("old\n")
    logs.start_afresh(log)
    assert not log.exists()
    assert (tmp_path / "math.log.1").read_text() == "old\n"


def test_a_log_that_grows_too_long_is_cut_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "math.log"
    descriptor = logs.open_for_child(log)
    try:
        os.write(descriptor, b"x" * 100 + b"\n")
        assert logs.bound(log, limit=50)
        os.write(descriptor, b"after\n")
    finally:
        os.close(descriptor)
    assert log.read_text() == "after\n"
    assert not logs.bound(log, limit=50)


def test_the_tail_of_a_log_is_its_last_lines_that_say_something(tmp_path: Path) -> None:
    log = tmp_path / "math.log"
    log.write_bytes(b"".join(b"line %d\n\n" % i for i in range(5000)) + b"\xff end")
    assert logs.tail(log, 2) == ["line 4999", "\ufffd end"]
    assert logs.tail(tmp_path / "none.log") == []


def test_a_taken_port_is_named_with_its_holder_and_the_remedy() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        assert not can_bind("127.0.0.1", port)
        with pytest.raises(PortInUse) as caught:
            require_free(f"127.0.0.1:{port}", what="etcd", remedy="say --etcd-port")
    message = str(caught.value)
    assert f"port {port} for etcd is taken" in message
    assert f"(pid {os.getpid()})" in message
    assert message.endswith("; say --etcd-port")


def test_an_address_of_another_box_is_refused_as_such() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        can_bind("192.0.2.1", 7700)


def test_the_next_free_port_is_found() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        assert free_port(near=port - 1) != port


def test_a_port_that_somebody_is_about_to_take_is_passed_over() -> None:
    first = free_port(near=20_000)
    assert free_port(near=20_000, but=(first,)) > first


def own_run_file(state: Path) -> run_file.RunFile:
    run_file.prepare(state)
    mine = run_file.own("127.0.0.1:7700", "127.0.0.1:7779", now=1.0, detached=False)
    run_file.write(state, mine)
    return mine


def test_a_running_mesh_is_found_by_its_run_file(tmp_path: Path) -> None:
    mine = own_run_file(tmp_path)
    assert run_file.running(tmp_path) == mine
    assert mine.pid_started > 0


def test_a_run_file_of_another_process_with_the_same_id_is_stale(tmp_path: Path) -> None:
    own_run_file(tmp_path)
    file = tmp_path / "mesh.json"
    file.write_text(file.read_text().replace('"pid_started": ', '"pid_started": 1'))
    assert run_file.running(tmp_path) is None
    assert not file.exists()


@pytest.mark.parametrize("content", ["", "{}", "garbage", '{"pid": 999999999}'])
def test_a_spoilt_run_file_is_stale(tmp_path: Path, content: str) -> None:
    (tmp_path / "mesh.json").write_text(content)
    assert run_file.running(tmp_path) is None


def test_a_process_that_is_gone_has_no_start() -> None:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    process.wait()
    assert run_file.process_start(process.pid) is None


def test_a_second_supervisor_of_a_state_folder_is_refused_and_told_where(tmp_path: Path) -> None:
    run_file.prepare(tmp_path)
    with run_file.held(tmp_path):
        own_run_file(tmp_path)
        with (
            pytest.raises(ConfigError, match=r"already running at 127\.0\.0\.1:7700"),
            run_file.held(tmp_path),
        ):
            pass
    assert run_file.running(tmp_path) is None
