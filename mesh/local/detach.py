"""Goes on in the background: the caller's process stays until the mesh is up, then returns.

The background process tells the one in the foreground what happens through a pipe, as JSON lines.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, assert_never

import msgspec

from mesh.errors import InternalError, MeshError, from_code


class Line(msgspec.Struct, frozen=True, tag="line"):
    text: str


class Started(msgspec.Struct, frozen=True, tag="started"):
    pid: int


class Up(msgspec.Struct, frozen=True, tag="up"):
    pass


class Broke(msgspec.Struct, frozen=True, tag="broke"):
    code: str
    message: str


Word = Line | Started | Up | Broke


class Teller:
    """The background's end. What is told also goes to its own log (standard output)."""

    def __init__(self, pipe: int) -> None:
        self._pipe: int | None = pipe

    def line(self, text: str) -> None:
        _log(text)
        self.tell(Line(text))

    def tell(self, word: Word) -> None:
        if self._pipe is None:
            return
        try:
            os.write(self._pipe, msgspec.json.encode(word) + b"\n")
        except BrokenPipeError:  # nobody waits any longer; the mesh goes on
            self.close()

    def close(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def detach(log: Path) -> tuple[Teller, None] | tuple[None, int]:
    """Forks. In the background: ``(teller, None)``, output going to ``log``. In the foreground:
    ``(None, pipe)`` for ``follow``. To be called before any thread or event loop exists."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if child := os.fork():
        os.close(writer)
        os.waitpid(child, 0)  # it ends at once: the second fork is the background process
        return None, reader
    os.close(reader)
    os.setsid()  # no terminal: closing the window stops nothing
    if os.fork():
        os._exit(0)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):
            stream.flush()
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)
    os.chdir(log.parent)  # hold no folder of the user's busy
    teller = Teller(writer)
    teller.tell(Started(os.getpid()))
    return teller, None


def follow(pipe: int, show: Callable[[str], None]) -> None:
    """Shows the background's lines until the mesh is up. Raises the ``MeshError`` that it ended
    with. Ctrl-C stops the background process too."""
    pid: int | None = None
    try:
        with os.fdopen(pipe, "rb") as lines:
            for data in lines:
                match msgspec.json.decode(data, type=Word):
                    case Line(text):
                        show(text)
                    case Started(started):
                        pid = started
                    case Up():
                        return
                    case Broke(code, message):
                        raise from_code(code, message)
                    case never:
                        assert_never(never)
    except KeyboardInterrupt:
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        raise
    raise InternalError("the background process ended without a word; see its log, mesh.log")


def end(teller: Teller, error: MeshError | None) -> NoReturn:
    """The background process's end."""
    if error is not None:
        _log(f"mesh: {error.message}")
        teller.tell(Broke(error.code, error.message))
    teller.close()
    sys.stdout.flush()
    os._exit(error.exit_code if error else 0)


def _log(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
