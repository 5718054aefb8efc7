"""A program on a terminal of its own, and what a person would see of it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyte

TIMEOUT_S = 20.0


class Terminal:
    """``sent``: all that the program wrote, as it is."""

    def __init__(self, command: Sequence[str], columns: int, rows: int, **names: str) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.screen.write_process_input = self._answer
        self._stream = pyte.ByteStream(self.screen)
        self.sent = b""
        self._end, other = pty.openpty()
        self._size(columns, rows)
        # The first terminal that a session's leader opens is its own, whose Ctrl-C it gets.
        self.process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(other), *command],
            env=_environment(names),
            start_new_session=True,
        )
        self._other = other

    def type(self, keys: str) -> None:
        data = keys.encode()
        while data:
            self._read(0.0)  # a terminal that nobody reads takes nothing either
            _, writable, _ = select.select([], [self._end], [], 0.1)
            if writable:
                data = data[os.write(self._end, data[:1024]) :]

    def resize(self, columns: int, rows: int) -> None:
        self._size(columns, rows)
        self.screen.resize(rows, columns)
        os.killpg(self.process.pid, signal.SIGWINCH)

    @property
    def lines(self) -> list[str]:
        shown = [line.rstrip() for line in self.screen.display]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def until(self, text: str, *, times: int = 1) -> str:
        """The screen, once ``text`` is on it, so often."""
        self._wait(lambda: self.text.count(text) >= times, repr(text))
        return self.text

    def ready(self) -> None:
        """Waits until it is this side's turn: the last line is a prompt."""
        self._wait(lambda: self.lines[-1:] != [] and self.lines[-1].startswith(">"), "a prompt")

    def ended(self) -> int:
        deadline = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.1)
        self._read(0.1)
        return self.process.wait(1)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._end)
        os.close(self._other)

    def _wait(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what} on the screen:\n{self.text}")
            self._read(0.2)

    def _answer(self, data: str) -> None:
        """Where its cursor is, as a terminal says when it is asked."""
        os.write(self._end, data.encode())

    def _read(self, seconds: float) -> None:
        readable, _, _ = select.select([self._end], [], [], seconds)
        if readable:
            try:
                data = os.read(self._end, 65536)
            except OSError:  # nobody is at the other end any more
                return
            self.sent += data
            self._stream.feed(data)

    def _size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@contextmanager
def terminal(
    command: Sequence[str], columns: int = 80, rows: int = 24, **names: str
) -> Iterator[Terminal]:
    """``names``: of the environment, beside what is there."""
    opened = Terminal(command, columns, rows, **names)
    try:
        yield opened
    finally:
        opened.close()


def _environment(names: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    return kept | {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | dict(names)
