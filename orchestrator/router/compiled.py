"""Compiled rules kept on disk: compiling takes seconds, loading takes a millisecond.

A file is named by what it was compiled from and with; its first 32 bytes are the SHA-256 of the
rest. What cannot be read, was cut short, or belongs to another processor is compiled anew: a cache
is never the reason why something fails.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import hyperscan

from mesh.files import write_whole

# Files, up to three a rule set. Older ones are removed, so that editing rules all day does not fill
# the disk.
KEPT = 16
Entry = tuple[int, bytes, int]  # id, expression, flags

_LOG = logging.getLogger(__name__)


class CompiledRules:
    """The cache in ``folder`` (made when something is first kept)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ready: dict[str, hyperscan.Database] = {}  # by name; of the rules compiled last

    def load(self, entries: Sequence[Entry]) -> hyperscan.Database | None:
        """The database compiled from these entries earlier, None when there is none."""
        return self._ready.pop(self.name(entries), None) or self._loaded(entries)

    def recall(self, entries: Sequence[Entry]) -> bool:
        """Whether these were compiled earlier; the next ``load`` of them then succeeds. No entries
        need no database."""
        if not entries:
            return True
        database = self._loaded(entries)
        if database is not None:
            self._ready[self.name(entries)] = database
        return database is not None

    def take(self, made: Mapping[str, bytes | bytearray]) -> None:
        """What another process of this machine compiled, by ``name``, for the next ``load``."""
        self._ready = {name: _database(bytes(data)) for name, data in made.items()}

    def _loaded(self, entries: Sequence[Entry]) -> hyperscan.Database | None:
        path = self._path(entries)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            _LOG.warning("compiled rules in %s are damaged: compiling them anew", path)
            return None
        try:
            return _database(data[32:])
        except hyperscan.error as error:  # another library or processor wrote it
            _LOG.info("compiled rules in %s do not fit this machine (%s)", path, error)
            return None

    def keep(self, entries: Sequence[Entry], database: hyperscan.Database) -> None:
        """Writes it atomically. A disk that refuses is logged and costs only the next start."""
        data = hyperscan.dumpb(database)
        path = self._path(entries)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, hashlib.sha256(data).digest() + data)
            kept = sorted(self.folder.glob("*.hsdb"), key=lambda p: p.stat().st_mtime)
            for old in kept[:-KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            _LOG.warning("cannot keep compiled rules in %s: %s", self.folder, error.strerror)

    def name(self, entries: Sequence[Entry]) -> str:
        """Of the database of these entries, by what it is compiled from and with."""
        digest = hashlib.sha256(f"1 {version('hyperscan')}".encode())
        for number, expression, flags in entries:
            digest.update(b"%d %d %d " % (number, flags, len(expression)) + expression)
        return digest.hexdigest()[:32]

    def _path(self, entries: Sequence[Entry]) -> Path:
        return self.folder / f"{self.name(entries)}.hsdb"


def _database(data: bytes) -> hyperscan.Database:
    """Raises ``hyperscan.error`` when another library or processor made it."""
    database = hyperscan.loadb(data, hyperscan.HS_MODE_BLOCK)
    database.scratch = hyperscan.Scratch(database)
    return database
