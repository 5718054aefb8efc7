"""A text file for the next prompt."""

from __future__ import annotations

import stat
from pathlib import Path

from mesh.cleaned import cleaned
from mesh.cli.chat.effects import Attached
from mesh.errors import ConfigError
from mesh.validation import MAX_REQUEST_BYTES


def attached(path: str) -> Attached:
    """Blocks on the disk. Raises ``ConfigError`` for what is no text, or too much of it."""
    try:
        file = Path(path).expanduser()
    except RuntimeError:  # a user that there is not
        file = Path(path)
    name = cleaned(file.name or path)
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            what = "a folder" if file.is_dir() else "no regular file"
            raise ConfigError(f"{path} is {what}; name a text file")
        with file.open("rb") as opened:
            data = opened.read(MAX_REQUEST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot read {path}: {why}") from None
    if len(data) > MAX_REQUEST_BYTES:
        raise ConfigError(
            f"{path} is over {MAX_REQUEST_BYTES // 2**20} MiB, which is all that a prompt may have"
        )
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text (byte 0x{data[error.start]:02x} at {error.start:,})"
        ) from None
    if "\0" in text:
        raise ConfigError(f"{path} is binary (a zero byte at {text.index(chr(0)):,})")
    if not text.strip():
        raise ConfigError(f"{path} is empty")
    return Attached(name, text.rstrip("\n"))
