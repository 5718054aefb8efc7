"""Measured speeds, kept in the node's state folder from one run to the next."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from node.engines.base import ModelSpec
from node.models.calibration.speeds import Speeds
from node.models.kept import Content, KeptFile

FILE = "calibration.json"
FORMAT = 1
MAX_ENTRIES = 256  # then the one written longest ago goes
_SAMPLES, _SAMPLE_BYTES = 16, 64 * 1024
_MOST_FILES = 256  # of a model that is a folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What speeds hold for. ``device``: as the engine says once it has loaded, a GPU's UUID or
    ``cpu``; ``engine``: with its version; ``model``: ``digest``."""

    model: str
    device: str
    slots: int
    context_length: int
    engine: str


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    key: Key
    speeds: Speeds


class _File(Content, frozen=True):
    entries: list[_Entry]


class Store:
    """``folder``/calibration.json: at most ``MAX_ENTRIES``, the oldest goes; written at once and
    whole. A file that cannot be read counts as empty, with one line in the log; a write that fails
    is logged, and the entry holds in memory. Used from one thread."""

    def __init__(self, folder: Path) -> None:
        self._file = KeptFile(folder / FILE, _File, FORMAT, "measured speeds")
        found = self._file.read()
        kept = found.entries[-MAX_ENTRIES:] if found is not None else []
        self._entries = {entry.key: entry.speeds for entry in kept if _sane(entry)}
        self._given_up: dict[Key, None] = {}

    def given_up(self, key: Key) -> bool:
        """Whether measuring it failed, since the node started."""
        return key in self._given_up

    def give_up(self, key: Key) -> None:
        """At most ``MAX_ENTRIES``, the oldest goes."""
        self._given_up[key] = None
        while len(self._given_up) > MAX_ENTRIES:
            del self._given_up[next(iter(self._given_up))]

    def get(self, key: Key) -> Speeds | None:
        return self._entries.get(key)

    def put(self, key: Key, speeds: Speeds) -> None:
        self._entries.pop(key, None)
        self._entries[key] = speeds
        while len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        entries = [_Entry(key=each, speeds=found) for each, found in self._entries.items()]
        self._file.write(_File(FORMAT, entries))


def _sane(entry: _Entry) -> bool:
    speeds = entry.speeds
    figures = (
        speeds.prefill_tps,
        speeds.decode_tps,
        speeds.decode_tps_half,
        speeds.decode_tps_full,
    )
    return speeds.slots == entry.key.slots >= 1 and all(
        math.isfinite(figure) and figure >= 0.0 for figure in figures
    )


def digest(spec: ModelSpec) -> str:
    """What identifies the weights and how they are run: hex digits. Of a file, its size and samples
    from all over it (about 1 MiB is read, whatever its size); of a folder, its files' names, sizes
    and times of change; of neither, the name. Then threads, layers on the GPU and the engine's
    options. Blocking. Raises ``OSError``."""
    found = hashlib.blake2b(digest_size=16)
    path = Path(spec.source).expanduser()
    if path.is_file():
        size = path.stat().st_size
        found.update(f"file:{size}:".encode())
        with path.open("rb") as file:
            for place in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE_BYTES) * place // (_SAMPLES - 1))
                found.update(file.read(_SAMPLE_BYTES))
    elif path.is_dir():
        for each in sorted(path.iterdir())[:_MOST_FILES]:
            told = each.stat()
            found.update(f"{each.name}:{told.st_size}:{told.st_mtime_ns};".encode())
    else:
        found.update(f"name:{spec.source}".encode())
    found.update(_way(spec))
    return found.hexdigest()


def _way(spec: ModelSpec) -> bytes:
    way: dict[str, Any] = {
        "threads": spec.threads,
        "gpu_layers": spec.gpu_layers,
        "options": spec.options,
    }
    return json.dumps(way, sort_keys=True, default=str).encode()
