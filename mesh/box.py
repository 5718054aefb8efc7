"""What the box refuses a process, in words: memory, files, threads, its state folder's disk.

Where one of these stops a process or a command, its user is told in one line what to do about it;
the traceback would say where in our code it happened to be. Anything else is a defect of ours.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mesh.cleaned import cleaned

_MOST = 300
_FULL_BYTES = 64 * 1024  # below which a line of a log may be the one that does not go
NO_SPACE = "no space left on device"
_STATE = "give another state folder (--state-dir, or $MESH_STATE_DIR)"
_REMEDIES = {
    errno.ENOSPC: f"free some, or {_STATE}",
    errno.EDQUOT: f"free some, or {_STATE}",
    errno.EROFS: _STATE,
    errno.EACCES: _STATE,
    errno.EPERM: _STATE,
    errno.ENOTDIR: _STATE,
    errno.EMFILE: "let it open more (`ulimit -n`)",
    errno.ENFILE: "the whole system has too many",
    errno.ENOMEM: "give it more memory (`ulimit -v`, the container's limit), or less to do",
}
_NO_MEMORY = f"out of memory: {_REMEDIES[errno.ENOMEM]}"


def refusal(error: BaseException) -> str | None:
    """What the box refused, and what to do; None where the error says no such thing."""
    match error:
        case MemoryError():
            return _NO_MEMORY
        case OSError(errno=int(code)) if code in _REMEDIES:
            at = f": {error.filename}" if error.filename is not None else ""
            return cleaned(f"{error.strerror}{at}; {_REMEDIES[code]}", _MOST)
        case ImportError() if "cannot allocate memory" in str(error).lower():
            return _NO_MEMORY
        case RuntimeError() if "can't start new thread" in str(error):
            return "no thread can be started: let it have more (`ulimit -u`, or `ulimit -v`)"
    return None


def full_disk(folder: Path) -> str | None:
    """What to say where nothing more can be written into ``folder``, None where something can, or
    nobody knows."""
    try:
        free = os.statvfs(folder)
    except OSError:
        return None
    if free.f_bavail * free.f_frsize >= _FULL_BYTES:
        return None
    return f"{NO_SPACE}: {folder}; {_REMEDIES[errno.ENOSPC]}"


def no_space(words: str) -> str:
    """``words`` with what to do, where a process said in its own that its disk is full."""
    return f"{words}; {_REMEDIES[errno.ENOSPC]}" if NO_SPACE in words.lower() else words
