"""Who runs the mesh of a state folder: a lock that its supervisor holds, a file that says where.

The lock (``flock``) ends with its process, whatever ends it. The file is for people and for `mesh
down`; a left-over one is known by its process id's start time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import msgspec
import psutil

from mesh.errors import ConfigError
from mesh.files import SHOWN, is_still, write_whole
from mesh.settings.state import RUN_FILE, state_dir

LOCK = "mesh.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    """``pid_started``: see ``process_start``. ``started_at``: Unix seconds. ``ready``: all parts
    were up once."""

    pid: int
    pid_started: float
    endpoint: str
    etcd: str
    started_at: float
    detached: bool = False
    ready: bool = False


def process_start(pid: int) -> float | None:
    """When a process began, None if there is none: two processes that had the same id in turn
    differ in it. Clock ticks since boot on Linux (proc(5), stat's field 22: unlike Unix time it
    does not move when the clock is set), Unix seconds elsewhere."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # The name may hold spaces and brackets: count from the last one. State Z is a zombie.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] == "Z" else float(fields[19])
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, IndexError, ValueError):
        return None
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def running(state_dir: Path) -> RunFile | None:
    """The mesh of this folder if it runs; a stale file is removed."""
    path = state_dir / RUN_FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=RunFile)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        found = None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if found is not None and process_start(found.pid) == found.pid_started:
        return found
    path.unlink(missing_ok=True)
    return None


def write(state_dir: Path, run: RunFile) -> None:
    """Whole or not at all."""
    path = state_dir / RUN_FILE
    write_whole(path, msgspec.json.format(msgspec.json.encode(run)) + b"\n", mode=SHOWN)


def remove(state_dir: Path) -> None:
    (state_dir / RUN_FILE).unlink(missing_ok=True)


def prepare(state_dir: Path) -> None:
    """Makes the folder, for this user only. Raises ``ConfigError``."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        (state_dir / "logs").mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the state folder {state_dir}: {error.strerror}; say another one with "
            "--state-dir"
        ) from None


@contextmanager
def held(state_dir: Path) -> Iterator[None]:
    """Makes this process the folder's supervisor. Raises ``ConfigError`` when one is running."""
    with (state_dir / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise already_running(running(state_dir), state_dir) from None
        if not is_still(lock.fileno(), state_dir / LOCK):  # `mesh down --purge` had it until now
            raise already_running(None, state_dir)
        try:
            yield
        finally:
            remove(state_dir)


def already_running(run: RunFile | None, state_dir: Path) -> ConfigError:
    if run is None:
        return ConfigError(f"another `mesh up` is just starting or stopping in {state_dir}")
    return ConfigError(
        f"a mesh is already running at {run.endpoint} (pid {run.pid}); see `mesh status`, stop it "
        f"with `{down_command(state_dir)}`, or start another one with --state-dir, --endpoint and "
        "--etcd-port"
    )


def down_command(folder: Path) -> str:
    """What stops the mesh of this state folder, and no other."""
    return "mesh down" if folder == state_dir() else f"mesh down --state-dir {quote(str(folder))}"


def own(endpoint: str, etcd: str, *, now: float, detached: bool) -> RunFile:
    """This process's entry."""
    pid = os.getpid()
    return RunFile(
        pid=pid,
        pid_started=process_start(pid) or 0.0,
        endpoint=endpoint,
        etcd=etcd,
        started_at=now,
        detached=detached,
    )
