"""Who this node is, for good: its id on disk, and a lock that keeps a second agent off it."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import ConfigError, DuplicateNode
from mesh.types import NodeId

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID_PATTERN = re.compile(r"node-[0-9a-f]{16}")


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
    if not NAME_PATTERN.fullmatch(name):
        raise ConfigError(
            f"node name '{name}' is not usable: letters, digits, '.', '_' and '-', starting with a "
            "letter or digit, at most 64"
        )
    folder = state_dir / "nodes" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"cannot keep this node's state in {folder}: {error.strerror}; give another state_dir"
        ) from None
    try:
        _take(lock, folder, name)
        yield Identity(id=_load_or_make(folder), instance=secrets.token_hex(8), folder=folder)
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


def _load_or_make(folder: Path) -> NodeId:
    path = folder / "id"
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return _make(path)
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        raise ConfigError(f"cannot read this node's id from {path}: {error.strerror}") from None
    if not _ID_PATTERN.fullmatch(text):
        raise ConfigError(
            f"{path} is damaged: it does not hold 'node-' and 16 hex digits; restore it, or delete "
            "it to let this box join as a new node"
        )
    return NodeId(text)


def _make(path: Path) -> NodeId:
    """Written beside, synced, then renamed: after a power cut there is a whole file or none."""
    node_id = NodeId(f"node-{uuid.uuid4().hex[:16]}")
    draft = path.with_name(f".id-{os.getpid()}")
    try:
        with draft.open("w", encoding="ascii") as file:
            file.write(f"{node_id}\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise ConfigError(f"cannot write this node's id to {path}: {error.strerror}") from None
    return node_id
