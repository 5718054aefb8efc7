"""Starting a child process that cannot outlive us, nor use more than it may."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import IO

from mesh.child.limits import UNLIMITED, Limits
from mesh.child.process import Process

_TETHER = str(Path(__file__).with_name("tether.py"))


def tethered(command: Sequence[str], limits: Limits = UNLIMITED) -> tuple[str, ...]:
    """What to run in the command's place, so that it is killed when this process dies, or the
    thread of it that starts the command: the kernel counts by threads."""
    tether = (sys.executable, "-I", "-S", _TETHER, str(os.getpid()), *limits.arguments())
    return (*tether, *command)


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """``python -m module``. ``-P``: a file or folder of that name where we were started must not be
    taken for ours."""
    return (sys.executable, "-P", "-m", module, *arguments)


async def start(
    command: Sequence[str],
    *,
    limits: Limits = UNLIMITED,
    stdout: int | IO[bytes] = DEVNULL,
    stderr: int | IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    fds: Sequence[int] = (),
) -> Process:
    """Starts it, tethered, with no input. Raises ``OSError``; a command that cannot be run says so
    on ``stderr`` and ends. ``environment`` None, ``stderr`` None: ours. ``fds``: kept open for it.

    In a session of its own: a signal to our terminal does not reach it, and what it starts can be
    killed with it.
    """
    return Process(
        Popen(  # noqa: ASYNC220 - a millisecond; see Process
            tethered(command, limits),
            stdin=DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            pass_fds=fds,
            start_new_session=True,
        )
    )
