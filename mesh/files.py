"""Small files that are there whole or not at all, and are read without waiting for anybody.

A full disk, a power cut and a second process each leave what was there before: what is new is
written beside it, on the disk before it takes the name, and gone again where it could not be.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

PRIVATE = 0o600  # for this user only
SHOWN = 0o644


def draft_of(path: Path) -> Path:
    """Beside ``path``. The one that a killed process left is what the next write begins with."""
    return path.with_name(f".{path.name}.draft")


def write_whole(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Blocks on the disk. Of several at once each is whole, and the last stands. ``path``'s folder
    is there. Raises ``OSError``."""
    draft = draft_of(path)
    file = _alone(draft, mode)
    try:
        with os.fdopen(file, "wb") as out:
            os.fchmod(file, mode)
            out.truncate(0)
            out.write(data)
            out.flush()
            os.fsync(file)
            draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise


def _alone(draft: Path, mode: int) -> int:
    """Open, and nobody else's: who had it before may have given it its name meanwhile."""
    while True:
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if is_still(file, draft):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def is_still(file: int, path: Path) -> bool:
    """Whether an open file is the one of that name."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def read_whole(path: Path, most: int) -> bytes:
    """Its first ``most`` bytes, and one more where it has more. Raises ``OSError``, also for what
    is no regular file: a pipe of that name would make everybody wait."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            raise OSError(code, "Is a directory" if code == errno.EISDIR else "no regular file")
        return file.read(most + 1)
