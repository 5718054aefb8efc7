"""What a mesh leaves on disk in its state folder, and nothing else that may lie there."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from mesh.errors import ConfigError
from mesh.settings.state import RUN_FILE

# In words, and where: what is not named here is not ours. Conversations are their writer's, and
# `mesh chats rm` deletes them.
_OURS = {
    "the registry's data": ("etcd/member",),
    "logs": ("logs/*.log", "logs/*.log.1"),
    "compiled rules": ("cache/rules*/*.hsdb",),
    "identities and measured speeds of nodes": (
        *("nodes/*/id", "nodes/*/lock", "nodes/*/calibration.json"),
    ),
    "identities of orchestrators": ("orchestrators/*/id", "orchestrators/*/ticket.key"),
    "who runs it": (RUN_FILE, "mesh.new", "mesh.lock"),
}
_FOLDERS = ("logs", "etcd", "cache/rules*", "cache", "nodes/*", "nodes", "orchestrators/*")


@dataclass(frozen=True, slots=True)
class Leftover:
    """``size``: bytes."""

    what: str
    paths: tuple[Path, ...]
    size: int


def found(folder: Path) -> tuple[Leftover, ...]:
    """What there is. Links are passed over, since what they lead to is somewhere else."""
    kinds = []
    for what, patterns in _OURS.items():
        paths = tuple(p for each in patterns for p in sorted(folder.glob(each)) if _in(p, folder))
        if paths:
            kinds.append(Leftover(what, paths, sum(_size(path) for path in paths)))
    return tuple(kinds)


def require_unused(folder: Path) -> None:
    """Raises ``ConfigError`` while a node or an orchestrator runs on this folder, whoever started
    it: it would lose who it is."""
    for path in sorted(folder.glob("nodes/*/lock")):
        with suppress(OSError), path.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _used(f"node '{path.parent.name}'", lock.read(32).decode(), folder) from None
    for process in psutil.process_iter(["cmdline"]):
        match process.info["cmdline"]:
            case [*_, "-m", "orchestrator", settings]:
                with suppress(msgspec.MsgspecError):
                    told = msgspec.json.decode(settings, type=_Orchestrator)
                    if told.state_dir and Path(told.state_dir).expanduser() == folder:
                        raise _used(f"orchestrator '{told.name}'", str(process.pid), folder)
            case _:
                pass


def delete(leftovers: tuple[Leftover, ...], folder: Path) -> None:
    """All of them, and folders of ours that are empty then. Raises ``ConfigError``."""
    try:
        for path in (path for each in leftovers for path in each.paths):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot delete {error.filename}: {error.strerror}") from None
    for each in (*_FOLDERS, "orchestrators"):
        for path in folder.glob(each):
            with suppress(OSError):  # something of somebody else's lies in it
                path.rmdir()


class _Orchestrator(msgspec.Struct):
    name: str = ""
    state_dir: str | None = None


def _used(who: str, pid: str, folder: Path) -> ConfigError:
    return ConfigError(
        f"{who} (pid {pid.strip() or 'unknown'}) runs on {folder}; stop it first, or it would lose "
        "who it is"
    )


def _in(path: Path, folder: Path) -> bool:
    inner = [path, *path.parents]
    return not any(each.is_symlink() for each in inner[: inner.index(folder)])


def _size(path: Path) -> int:
    return sum(_bytes(each) for each in _files(path))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for root, _, names in os.walk(path):
        yield from (Path(root, name) for name in names)


def _bytes(path: Path) -> int:
    try:
        status = path.lstat()
    except OSError:
        return 0
    # What it takes: etcd makes its files larger than what is in them.
    return min(status.st_size, status.st_blocks * 512)
