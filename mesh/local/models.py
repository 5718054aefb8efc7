"""The models that lie on this box: in the hub's cache, in the package of the first one, in folders
that somebody names. Each is looked at and none is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mesh.errors import ConfigError, MeshError
from mesh.local import first_model
from node.models import catalogue
from node.models import gguf_parts as parts
from node.models.catalogue import GgufFacts
from node.models.hub import cached
from node.models.hub.cached import Cached
from node.models.hub.choice import near
from node.models.hub.place import Hub
from node.models.hub.source import HubSource, is_hub, read

MOST_FILES = 2_000  # of a folder


class Place(StrEnum):
    HUB = "hub"
    PACKAGE = "package"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """``source``: what ``mesh node --model`` takes. ``paths``: of all its parts. ``facts``: None
    where its header cannot be read, and ``error`` says why. ``cached``: of the hub's cache."""

    id: str
    source: str
    paths: tuple[Path, ...]
    place: Place
    facts: GgufFacts | None
    error: str = ""
    cached: Cached | None = None

    @property
    def path(self) -> Path:
        return self.paths[0]

    @property
    def bytes(self) -> int:
        return sum(_bytes(path) for path in self.paths)


class NotHere(ConfigError):
    """Nothing on this box is called so."""


def models_here(hub: Hub, folders: Sequence[Path] = ()) -> list[LocalModel]:
    """By place and name. Raises ``ConfigError`` for a folder that cannot be read."""
    found = [_of_hub(hub, model) for model in cached.every(hub)]
    found += _packaged()
    for folder in folders:
        found += [of_file(path) for path in _ggufs(folder)]
    return sorted(found, key=lambda each: (list(Place).index(each.place), each.id, each.source))


def named(name: str, hub: Hub, folders: Sequence[Path] = ()) -> LocalModel:
    """The model of this box that ``name`` means: a file, a source, or the name that a node would
    give it. Raises ``MeshError`` for none, with those near it, and for several."""
    if not name.strip():
        raise ConfigError("no model is named; `mesh models` lists them")
    if is_hub(name):
        wanted = read(name)
        path = cached.find(hub, wanted)
        found = [each for each in cached.every(hub) if path is not None and each.paths[0] == path]
        if not found:
            raise ConfigError(f"{wanted} is not on this box; `mesh models pull {wanted}` brings it")
        return _of_hub(hub, found[0])
    path = Path(name).expanduser()
    if path.is_file():
        resolved = path.resolve()
        for each in cached.every(hub):
            if resolved in each.blobs:
                return _of_hub(hub, each)
        return of_file(path)
    if path.is_dir():
        raise ConfigError(f"{name} is a folder; `mesh models --folder {name}` lists its models")
    there = models_here(hub, folders)
    word = name.lower()
    exact = [each for each in there if word in _words(each)]
    several = exact or [each for each in there if each.id.startswith(word)]
    if len(several) == 1:
        return several[0]
    if several:
        which = ", ".join(each.source for each in several)
        raise ConfigError(f"'{name}' may be one of several models of this box; say which: {which}")
    close = near(name, [each.id for each in there])
    instead = f"near it: {', '.join(close)}" if close else "`mesh models` lists them"
    raise NotHere(f"no model '{name}' on this box; {instead}")


def of_file(path: Path) -> LocalModel:
    """A file that lies anywhere; of a model in parts, any."""
    path = path.absolute()
    first, *rest = (path.with_name(name) for name in parts.names(path.name))
    return _looked_at(
        (first, *rest), source=str(first), name=catalogue.model_id(path.name), place=Place.FOLDER
    )


def _of_hub(hub: Hub, model: Cached) -> LocalModel:
    short = HubSource(repo=model.repo, quantisation=model.offer.quantisation)
    clear = model.offer.quantisation and cached.find(hub, short) == model.paths[0]
    return _looked_at(
        model.paths,
        source=str(short if clear else model.source),
        name=catalogue.model_id(model.offer.name),
        place=Place.HUB,
        model=model,
    )


def _packaged() -> list[LocalModel]:
    try:
        path = first_model.first_model()
    except ConfigError as error:
        return [
            LocalModel(
                id=first_model.MODEL_ID,
                source="",
                paths=(Path(first_model.PACKAGE),),
                place=Place.PACKAGE,
                facts=None,
                error=error.message,
            )
        ]
    if path is None:
        return []
    return [_looked_at((path,), source=str(path), name=first_model.MODEL_ID, place=Place.PACKAGE)]


def _looked_at(
    paths: tuple[Path, ...], *, source: str, name: str, place: Place, model: Cached | None = None
) -> LocalModel:
    facts, error = None, ""
    try:
        facts = catalogue.inspect(paths[0])
    except MeshError as found:
        error = found.message
    return LocalModel(
        id=name, source=source, paths=paths, place=place, facts=facts, error=error, cached=model
    )


def _ggufs(folder: Path) -> Iterator[Path]:
    """First parts only. Raises ``ConfigError``."""

    def refused(error: OSError) -> None:
        raise ConfigError(f"cannot read folder {folder}: {error.strerror or error}")

    count = 0
    for here, folders, names in os.walk(folder.expanduser(), onerror=refused):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(".gguf") and parts.names(name)[0] == name:
                count += 1
                if count > MOST_FILES:
                    raise ConfigError(f"{folder} has more than {MOST_FILES:,} models; name another")
                yield Path(here, name)


def _words(model: LocalModel) -> set[str]:
    """All that it may be called by."""
    words = {model.id, model.source, str(model.path), model.path.name}
    if model.cached is not None:
        words |= {model.cached.repo, str(model.cached.source)}
        words |= {str(model.source).removeprefix("hf:")}
    return {word.lower() for word in words}


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
