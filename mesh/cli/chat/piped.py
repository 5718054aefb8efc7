"""Lines of a chat where no terminal is: from a pipe or a file, or typed while the answers go
elsewhere."""

from __future__ import annotations

import asyncio
from typing import BinaryIO

import click

from mesh.cli.chat.commands import continued, goes_on
from mesh.validation import MAX_REQUEST_BYTES


class PipedLines:
    """Each line is a prompt or a command, as at the terminal; ``\"\"\"`` and a backslash at its end
    take more of them."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._number = 0

    async def line(self, label: str, text: str) -> str:
        """Raises ``UsageError`` for what is no text, or more than a prompt may have."""
        begun = ""
        while True:
            data = await asyncio.to_thread(self._source.readline, MAX_REQUEST_BYTES + 1)
            if not data:
                if begun.strip():
                    return begun
                raise EOFError
            self._number += 1
            if len(data) + len(begun) > MAX_REQUEST_BYTES:
                raise click.UsageError(
                    f"line {self._number} of standard input is over "
                    f"{MAX_REQUEST_BYTES // 2**20} MiB, which is all that a prompt may have"
                )
            begun += _decoded(data, self._number).rstrip("\r\n")
            if not goes_on(begun):
                return begun
            begun = continued(begun)


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
