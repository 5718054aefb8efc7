"""A folder of models: which files are models of it, what each is called, and what has changed
between two looks. Of a model in parts the first one stands for all.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.cleaned import cleaned
from mesh.errors import ConfigError
from mesh.types import SPECIALTY_PATTERN, ModelId
from node.models import catalogue
from node.models.gguf_parts import names as parts_of
from node.models.gguf_parts import ways, with_all_beside

MOST_FILES = 2_000  # of a folder
LONGEST_NAME = 255

# Size and time (ns) of each part; None for one that is not there, or no file.
Mark = tuple[tuple[int, int] | None, ...]
Look = Mapping[Path, Mark]


def ggufs(folder: Path) -> list[Path]:
    """Its models' files, by name; hidden ones are other programs' own. Raises ``OSError``."""
    files = sorted(file for file in folder.absolute().iterdir() if file.suffix == ".gguf")
    return [
        file
        for file in files
        if parts_of(file.name)[0] == file.name and not file.name.startswith(".")
    ]


def look(folder: Path) -> tuple[Look, int]:
    """Its models as they are now, and how many more than ``MOST_FILES`` there are. Raises
    ``OSError``."""
    files = ggufs(folder)
    return {file: _marks(file) for file in files[:MOST_FILES]}, max(0, len(files) - MOST_FILES)


def named(file: Path, specialties: Sequence[str] = ()) -> tuple[ModelId, tuple[str, ...]]:
    """What its model is called, and its specialties: those said, else its name. Raises
    ``ConfigError`` where that is no name of one, or cannot be shown."""
    if file.name != cleaned(file.name, LONGEST_NAME):
        raise ConfigError(
            f"{cleaned(file.name)} has characters in its name that cannot be shown, or more than "
            f"{LONGEST_NAME}; rename it"
        )
    model = catalogue.model_id(file.name)
    if specialties:
        return model, tuple(specialties)
    if not SPECIALTY_PATTERN.fullmatch(model):
        raise ConfigError(
            f"{file.name} is to be named after its specialty, such as math.gguf (lower-case "
            "letters, digits, '-' and '_', at most 32); rename it or link to it"
        )
    return model, (model,)


@dataclass(frozen=True, slots=True)
class Moves:
    """``gone``: served, and not there any more. ``changed``: served, and others now. ``still``: to
    be looked into: there, whole as far as a name says, and as they were at the last look.
    ``partly``: likewise, with a part missing."""

    gone: tuple[Path, ...] = ()
    changed: tuple[Path, ...] = ()
    still: tuple[Path, ...] = ()
    partly: tuple[Path, ...] = ()


def moves(before: Look, now: Look, known: Look) -> Moves:
    """``known``: what is served, or was found to be of no use, as it was then. Pure."""
    still = [
        file for file, mark in now.items() if known.get(file) != mark and before.get(file) == mark
    ]
    return Moves(
        gone=tuple(file for file in known if file not in now),
        changed=tuple(file for file in known if file in now and now[file] != known[file]),
        still=tuple(file for file in still if None not in now[file]),
        partly=tuple(file for file in still if None in now[file]),
    )


def _marks(file: Path) -> Mark:
    """Of a link to the first of several parts too, which are beside what it leads to."""
    try:
        file = with_all_beside(ways(file))
    except OSError:
        return (None,)
    return tuple(_mark(file.with_name(name)) for name in parts_of(file.name))


def _mark(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):  # a pipe would keep whoever reads it for ever
        return None
    return status.st_size, status.st_mtime_ns
