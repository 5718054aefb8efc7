"""Settings: read once, frozen, checked. An error names the key and says what would be right.

``mesh node`` and ``mesh orchestrator`` build settings from a TOML file and flags; the processes get
them as one JSON argument. Nothing else reads the environment for settings.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from mesh.errors import ConfigError
from mesh.settings.toml import read_toml


class Settings(Protocol):
    """A frozen dataclass. ``check``: what its types cannot say; raises ``ConfigError``. Its message
    begins with ``where``: the file or command that the settings are from, and for a part's own
    table that table behind it, as in ``orchestrator.toml: router.memo``."""

    def check(self, where: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSettings:
    """Of a part that has none: its table, where there is one, is empty."""

    def check(self, where: str) -> None:
        """Nothing to check."""


MAX_FILE_BYTES = 1024 * 1024

S = TypeVar("S", bound=Settings)

# Metadata of a field that takes all tables which are no fields: those of parts that describe
# themselves, which only the part can read.
TABLES = {"tables": True}


def load(kind: type[S], source: dict[str, Any], *, where: str = "settings") -> S:
    """Builds and checks settings from plain data. Raises ``ConfigError`` naming the key."""
    settings = _converted(kind, source, where, "")
    settings.check(where)
    return settings


def load_table(kind: type[S], source: dict[str, Any], table: str, *, where: str) -> S:
    """As ``load``, of a part's own table, called ``table`` in the file."""
    settings = _converted(kind, source, where, f"{table}.")
    settings.check(f"{where}: {table}")
    return settings


def plain(settings: Any) -> Any:
    """The data that ``load`` makes equal settings of."""
    if isinstance(settings, tuple):
        return [plain(each) for each in settings]
    if isinstance(settings, dict):
        return {name: plain(each) for name, each in settings.items()}
    if not is_dataclass(settings):
        return settings
    found: dict[str, Any] = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        found |= value if field.metadata == TABLES else {field.name: plain(value)}
    return found


def check_range(where: str, key: str, least: float, number: float, most: float) -> None:
    """Raises ``ConfigError`` for a number of a part's own table that is outside."""
    if not least <= number <= most:  # which nan is not either
        raise ConfigError(f"{where}.{key} must be {least:,} to {most:,}, not {number:,}")


def _converted(kind: type[S], source: dict[str, Any], where: str, table: str) -> S:
    arranged = _arranged(kind, source, where, table)
    try:
        return msgspec.convert(arranged, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {table and table[:-1] + ': '}{error}") from None


def _arranged(kind: Any, source: dict[str, Any], where: str, table: str) -> dict[str, Any]:
    """With each key where its field is. Tables within tables too: a misspelt key that is read as
    nothing is a setting ignored."""
    known = get_type_hints(kind)
    others = next((field.name for field in fields(kind) if field.metadata == TABLES), None)
    if others is not None:
        del known[others]
    arranged: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for key, value in source.items():
        if key in known:
            arranged[key] = _inner(known[key], value, where, f"{table}{key}.")
        elif others is not None and isinstance(value, dict):
            unknown[key] = value
        else:
            listed = ", ".join(sorted(known)) or "none"
            near = get_close_matches(key, known, n=1)
            meant = f"; did you mean '{near[0]}'?" if near else ""
            raise ConfigError(f"{where}: unknown key '{table}{key}'; known: {listed}{meant}")
    return arranged if others is None else arranged | {others: unknown}


def _inner(kind: Any, value: Any, where: str, table: str) -> Any:
    if get_origin(kind) is tuple and isinstance(value, list):
        return [_inner(get_args(kind)[0], each, where, table) for each in value]
    if isinstance(kind, UnionType):  # a table that may be absent
        kind = next((each for each in get_args(kind) if is_dataclass(each)), kind)
    if is_dataclass(kind) and isinstance(value, dict):
        return _arranged(kind, value, where, table)
    if get_origin(kind) is dict and isinstance(value, dict):
        of = get_args(kind)[1]
        return {name: _inner(of, each, where, f"{table}{name}.") for name, each in value.items()}
    return value


def load_toml(path: Path) -> dict[str, Any]:
    """The file as plain data. Raises ``ConfigError`` with file and line."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None
    try:
        return read_toml(content, MAX_FILE_BYTES)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}") from None
