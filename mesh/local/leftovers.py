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
from mesh.local.run_file import LOCK
from mesh.settings.state import RUN_FILE

# In words, and where: what is not named here is not ours. Conversations are their writer's, and
# `mesh chats rm` deletes them.
_OURS = {
    "the registry's data": ("etcd/member",),
    "logs": ("logs/*.log", "logs/*.log.1"),  # of those that ran here: ``_ran``
    "compiled rules": ("cache/rules*/*.hsdb", "cache/rules*/.*.hsdb.draft"),
    "identities and measured speeds of nodes": (
        *("nodes/*/id", "nodes/*/lock", "nodes/*/calibration.json", "nodes/*/fit.json"),
        *("nodes/*/.id.draft", "nodes/*/.calibration.json.draft", "nodes/*/.fit.json.draft"),
    ),
    "identities of orchestrators": (
        *("orchestrators/*/id", "orchestrators/*/.id.draft", "orchestrators/*/ticket.key"),
    ),
    "who runs it": (RUN_FILE, f".{RUN_FILE}.draft", LOCK),
}
_WHO = ("nodes/*/lock", "nodes/*/id", "orchestrators/*/id")
_FOLDERS = ("logs", "etcd", "cache/rules*", "cache", "nodes/*", "nodes", "orchestrators/*")


@dataclass(frozen=True, slots=True)
class Leftover:
    """``size``: bytes."""

    what: str
    paths: tuple[Path, ...]
    size: int


def found(folder: Path) -> tuple[Leftover, ...]:
    """What there is. Links are passed over, since what they lead to is somewhere else. Nothing in a
    folder in which no mesh ever ran: a project may well have a ``logs/server.log``."""
    ran = _ran(folder)
    if not ran:
        return ()
    kinds = []
    for what, patterns in _OURS.items():
        there = (path for each in patterns for path in sorted(folder.glob(each)))
        if what == "logs":
            there = (path for path in there if path.name.partition(".log")[0] in ran)
        paths = tuple(path for path in there if _in(path, folder))
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
                raise _used(
                    f"node '{path.parent.name}'", lock.read(32).decode("ascii", "replace"), folder
                ) from None
    for process in psutil.process_iter(["cmdline"]):
        match process.info["cmdline"]:
            case [*_, "-m", "orchestrator", settings]:
                with suppress(msgspec.MsgspecError):
                    told = msgspec.json.decode(settings, type=_Orchestrator)
                    if told.state_dir and _same(Path(told.state_dir).expanduser(), folder):
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


def _ran(folder: Path) -> set[str]:
    """The names of processes that ran on this folder: they have identities, or a lock, in it."""
    ran = {path.parent.name for each in _WHO for path in folder.glob(each) if _in(path, folder)}
    if ran or (folder / LOCK).is_file():
        ran |= {"mesh", "etcd", "orchestrator"}
    return ran


def _same(one: Path, other: Path) -> bool:
    """One folder may have several names: a link, a path with dots."""
    try:
        return one.samefile(other)
    except OSError:
        return one == other


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
