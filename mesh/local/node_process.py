"""The process of a node on this box, known for certain before anything is done to it.

A record names a host and a pid. Hosts share names and pids come again, so neither is believed: the
process of that pid must be ``python -m node`` with settings of this node's name, whose state folder
holds this node's id. It is held from before it is looked at (a pidfd, where the kernel has them),
so that what is killed is what was looked at.
"""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from mesh.errors import ConfigError
from mesh.fleet.records import NodeRecord
from mesh.local.run_file import process_start

_MODULE = ("-m", "node")


class _Told(msgspec.Struct, frozen=True):
    """What is needed here of a node's settings as its command line has them."""

    name: str
    state_dir: str


@dataclass(slots=True)
class NodeProcess:
    """``parent``: the pid of who started it. ``close`` it."""

    pid: int
    started: float
    parent: int
    _fd: int | None = None

    def kill(self) -> None:
        """SIGKILL, now. Raises ``ConfigError`` when it is gone already or somebody else's."""
        try:
            if self._fd is not None:
                signal.pidfd_send_signal(self._fd, signal.SIGKILL)
            elif process_start(self.pid) == self.started:
                os.kill(self.pid, signal.SIGKILL)
            else:
                raise ProcessLookupError
        except ProcessLookupError:
            raise ConfigError(f"process {self.pid} ended by itself; nothing was killed") from None
        except PermissionError:
            raise ConfigError(f"process {self.pid} is another user's; nothing was killed") from None

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def find(record: NodeRecord) -> NodeProcess:
    """Raises ``ConfigError`` with the reason where it is not on this box, or not for certain."""
    here = socket.gethostname()
    if record.host != here:
        raise ConfigError(
            f"node {record.name} is on another box ({record.host}, this one is {here}); to see it "
            f"die, ask something long here and run `kill -9 {record.pid}` there"
        )
    fd = _held(record)
    try:
        started = process_start(record.pid)
        parent = _checked(record)
        if started is None:
            raise _not_here(record, "there is no such process")
    except BaseException:
        if fd is not None:
            os.close(fd)
        raise
    return NodeProcess(pid=record.pid, started=started, parent=parent, _fd=fd)


def _held(record: NodeRecord) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(record.pid)
    except ProcessLookupError:
        raise _not_here(record, "there is no such process") from None
    except OSError:  # a kernel without them, or one that keeps them
        return None


def _checked(record: NodeRecord) -> int:
    """The parent's pid, if process ``record.pid`` is this node's agent."""
    try:
        process = psutil.Process(record.pid)
        command, parent = process.cmdline(), process.ppid()
    except psutil.AccessDenied:
        raise _not_here(record, "it is another user's") from None
    except psutil.Error:
        raise _not_here(record, "there is no such process") from None
    settings = told(command)
    if settings is None:
        raise _not_here(record, "it is no node of Squadron's")
    if settings.name != record.name:
        raise _not_here(record, f"it is node {settings.name}")
    path = Path(settings.state_dir).expanduser() / "nodes" / settings.name / "id"
    try:
        kept = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise _not_here(record, f"{path} cannot be read ({error.strerror})") from None
    if kept != record.id:
        raise _not_here(record, "it is another node of that name")
    return parent


def told(command: list[str]) -> _Told | None:
    """The settings in a node's command line (`python -m node JSON`); None: it is no such. Pure."""
    if len(command) < 4 or tuple(command[-3:-1]) != _MODULE:
        return None
    try:
        return msgspec.json.decode(command[-1], type=_Told)
    except msgspec.DecodeError:
        return None


def _not_here(record: NodeRecord, why: str) -> ConfigError:
    return ConfigError(
        f"process {record.pid} of this box is not node {record.name} for certain: {why}; in "
        f"another container or of another user, run `kill -9 {record.pid}` there"
    )
