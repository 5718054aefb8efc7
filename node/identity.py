"""Who this node is, for good: its id on disk, and a lock that keeps a second agent off it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import ConfigError, DuplicateNode
from mesh.identity import check_name, fresh_instance, kept_id
from mesh.types import NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """``id`` never changes; ``instance`` is new at every start. ``folder``: this node's own."""

    id: NodeId
    instance: str
    folder: Path


@contextmanager
def claim(state_dir: Path, name: str) -> Iterator[Identity]:
    """The identity in ``<state_dir>/nodes/<name>/``, made at first use, held until the block ends.

    The lock is the kernel's (``flock``): it ends with the process, however that dies.
    Raises ``DuplicateNode`` naming the pid that holds it, ``ConfigError`` for a bad name, a folder
    that cannot be written or a damaged identity file.
    """
    check_name("node", name)
    folder = state_dir / "nodes" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"cannot keep this node's state in {folder}: {error.strerror}; give another state_dir"
        ) from None
    try:
        try:
            _take(lock, folder, name)
        except OSError as error:
            raise ConfigError(
                f"cannot write in {folder}: {error.strerror}; give another state_dir"
            ) from None
        known = NodeId(kept_id(folder / "id", who="node", prefix="node"))
        yield Identity(id=known, instance=fresh_instance(), folder=folder)
    finally:
        os.close(lock)


def _take(lock: int, folder: Path, name: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise DuplicateNode(
            f"node '{name}' is already running as pid {holder} (it holds {folder}); stop that one, "
            "or start this one with another name"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
