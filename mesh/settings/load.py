"""Settings: read once, frozen, checked. An error names the key and says what would be right.

``mesh node`` and ``mesh orchestrator`` build settings from a TOML file and flags; the processes get
them as one JSON argument. Nothing else reads the environment for settings.
"""

from __future__ import annotations

import tomllib
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from mesh.errors import ConfigError


class Settings(Protocol):
    """A frozen dataclass. ``check``: what its types cannot say; raises ``ConfigError`` that begins
    with ``where``, the file or command that the settings are from."""

    def check(self, where: str) -> None: ...


S = TypeVar("S", bound=Settings)


def load(kind: type[S], source: dict[str, Any], *, where: str = "settings") -> S:
    """Builds and checks settings from plain data. Raises ``ConfigError`` naming the key."""
    _check_keys(kind, source, where, "")
    try:
        settings = msgspec.convert(source, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
    settings.check(where)
    return settings


def _check_keys(kind: Any, source: dict[str, Any], where: str, table: str) -> None:
    """Tables within tables too: a misspelt key that is read as nothing is a setting ignored."""
    known = get_type_hints(kind)
    for key, value in source.items():
        if key not in known:
            listed = ", ".join(sorted(known))
            raise ConfigError(f"{where}: unknown key '{table}{key}'; known: {listed}")
        inner, several = known[key], False
        if get_origin(inner) is tuple:
            inner, several = get_args(inner)[0], True
        if not is_dataclass(inner):
            continue
        for entry in value if several and isinstance(value, list) else [value]:
            if isinstance(entry, dict):
                _check_keys(inner, entry, where, f"{table}{key}.")


def load_toml(path: Path) -> dict[str, Any]:
    """The file as plain data. Raises ``ConfigError`` with file and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
