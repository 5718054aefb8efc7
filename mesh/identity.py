"""Who a process is, for good: an id on disk that survives restarts (invariant 9)."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from mesh.errors import ConfigError
from mesh.files import SHOWN, write_whole

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGITS = 16


def check_name(who: str, name: str) -> None:
    """``who``: what is named, such as ``node``. Raises ``ConfigError``."""
    if not NAME_PATTERN.fullmatch(name):
        raise ConfigError(
            f"{who} name '{name}' is not usable: letters, digits, '.', '_' and '-', starting with "
            "a letter or digit, at most 64"
        )


def fresh_instance() -> str:
    """New at every start: 16 hex digits."""
    return secrets.token_hex(_DIGITS // 2)


def kept_id(path: Path, *, who: str, prefix: str) -> str:
    """The id in the file, ``prefix``, a dash and 16 hex digits, made at first use. Blocks on the
    disk. Raises ``ConfigError`` for a damaged file, and for a folder without permission or room."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="ascii").strip() if path.exists() else _made(path, prefix)
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        raise ConfigError(
            f"cannot keep this {who}'s id in {path}: {error.strerror}; give another state_dir"
        ) from None
    if not re.fullmatch(f"{re.escape(prefix)}-[0-9a-f]{{{_DIGITS}}}", text):
        raise ConfigError(
            f"{path} is damaged: it does not hold '{prefix}-' and {_DIGITS} hex digits; restore "
            f"it, or delete it to let this {who} join under a new id"
        )
    return text


def _made(path: Path, prefix: str) -> str:
    """Its name is on the disk, too, before anybody hears of it."""
    text = f"{prefix}-{secrets.token_hex(_DIGITS // 2)}"
    write_whole(path, f"{text}\n".encode("ascii"), mode=SHOWN)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return text
