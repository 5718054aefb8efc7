"""Lines of a chat without an editor: from a pipe or a file, typed on a terminal that knows no
sequences, or while the answers go elsewhere."""

from __future__ import annotations

import asyncio
import io
import os
from typing import BinaryIO, TextIO

import click

from mesh.cli.chat.commands import continued, goes_on
from mesh.validation import MAX_REQUEST_BYTES

_CHUNK_BYTES = 64 * 1024


class PipedLines:
    """Each line is a prompt or a command, as at the terminal; ``\"\"\"`` and a backslash at its end
    take more of them. Waiting for one can be interrupted."""

    def __init__(self, source: BinaryIO, labels: TextIO | None = None) -> None:
        """``labels``: where somebody who types is told that it is their turn."""
        self._source = source
        self._labels = labels
        self._number = 0
        self._begun = b""  # of what was read, behind the last line
        self._ended = False

    async def line(self, label: str, text: str) -> str:
        """Raises ``UsageError`` for what is no text, or more than a prompt may have."""
        if self._labels is not None:
            self._labels.write(label)
            self._labels.flush()
        begun = ""
        while (data := await self._next()) is not None:
            self._number += 1
            if len(data) + len(begun) > MAX_REQUEST_BYTES:
                raise self._too_long()
            begun += _decoded(data, self._number).removesuffix("\r")
            if not goes_on(begun):
                return begun
            begun = continued(begun)
        if begun.strip():
            return begun
        raise EOFError

    async def _next(self) -> bytes | None:
        """Without its end; None behind the last one."""
        searched = 0
        while (at := self._begun.find(b"\n", searched)) < 0 and not self._ended:
            searched = len(self._begun)
            if searched > MAX_REQUEST_BYTES:
                self._number += 1
                raise self._too_long()
            chunk = await self._read()
            self._ended = not chunk
            self._begun += chunk
        if at < 0:
            line, self._begun = self._begun, b""
            return line or None
        line, self._begun = self._begun[:at], self._begun[at + 1 :]
        return line

    async def _read(self) -> bytes:
        try:
            number = self._source.fileno()
        except (OSError, io.UnsupportedOperation):  # a stand-in that is no file
            return self._source.read(_CHUNK_BYTES)
        await _readable(number)
        try:
            return os.read(number, _CHUNK_BYTES)
        except OSError as error:
            raise click.UsageError(f"cannot read standard input: {error.strerror}") from None

    def _too_long(self) -> click.UsageError:
        return click.UsageError(
            f"line {self._number} of standard input is over {MAX_REQUEST_BYTES // 2**20} MiB, "
            "which is all that a prompt may have"
        )


async def _readable(number: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(number, ready.set)
    except PermissionError:  # a file, which never makes anybody wait
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(number)


def _decoded(data: bytes, number: int) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"line {number} of standard input is not valid UTF-8 text "
            f"(byte 0x{data[error.start]:02x})"
        ) from None
    if "\0" in text:
        raise click.UsageError(f"line {number} of standard input is binary (it has a zero byte)")
    return text
