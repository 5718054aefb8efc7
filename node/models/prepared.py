"""A model's files, found and looked at, before anything loads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.errors import ConfigError, ModelFileError
from mesh.settings.model import ModelSettings
from mesh.types import ModelId
from node.engines.base import ModelSpec
from node.engines.registry import traits_of
from node.engines.traits import EngineTraits, ModelFiles, Source, to_embed
from node.models import catalogue

DEFAULT_CONTEXT = 8192  # tokens; a longer one is asked for, since its cache costs memory
# Of a model that embeds: a text is one batch, and what a batch takes grows with its longest text.
EMBEDDING_CONTEXT = 2048
MOST_FILES = 256  # of a folder, or named by options, that are looked at for a change


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is known of a model before it is loaded. ``file`` "" and ``files`` None for engines
    without one. ``embeds``: it is to make vectors, and no answers. ``instant``: see
    ``EngineTraits``."""

    spec: ModelSpec
    files: ModelFiles | None = None
    file: str = ""
    embeds: bool = False
    instant: bool = False


Percent = Callable[[int], None]
Prepare = Callable[[ModelSettings, ModelId, int, Percent | None], Prepared]


def prepare(
    settings: ModelSettings,
    model: ModelId,
    default_threads: int,
    percent: Percent | None = None,
) -> Prepared:
    """Finds (downloads) and inspects the model's files. Blocking, possibly for hours; ``percent``
    is told how much of a download is here.

    Raises ``ModelFileError``, and ``ConfigError`` for an engine that is not installed.
    """
    traits = traits_of(settings.engine)
    path, files, own = _looked_at(traits, settings, percent)
    embeds = traits.embeds and to_embed(settings.options, files)
    default = default_context(own, embeds=embeds and files is not None)
    spec = ModelSpec(
        id=model,
        source=settings.source if path is None else str(path),
        slots=settings.slots,
        context_length=settings.context_length or default,
        threads=settings.threads or default_threads,
        gpu_layers=settings.gpu_layers,
        options=settings.options,
    )
    return Prepared(
        spec=spec,
        files=files,
        file="" if path is None else str(path),
        embeds=embeds,
        instant=traits.instant,
    )


def default_context(own: int, *, embeds: bool) -> int:
    """Tokens a slot where nobody says; ``own``: that the model takes, 0 where it does not say.
    ``embeds``: it makes vectors, of files of this box."""
    most = EMBEDDING_CONTEXT if embeds else DEFAULT_CONTEXT
    return min(own or most, most)


def _looked_at(
    traits: EngineTraits[Any], settings: ModelSettings, percent: Percent | None
) -> tuple[Path | None, ModelFiles | None, int]:
    """Where the model is, what its files say, and how long a context it takes. Nothing is known of
    a folder that cannot be read: its engine is to say what is wrong."""
    if Source.FOLDER in traits.sources:
        path, files, own = Path(settings.source), None, 0
        try:
            path = path.expanduser()
            if settings.context_length is None:
                own = traits.own_context(path, None)
            files = traits.inspect(path)
        except (ModelFileError, RuntimeError, ValueError, OSError):
            pass
        return (None if files is None else path), files, own
    if Source.FILE not in traits.sources:
        return None, None, 0
    path = catalogue.resolve(settings.source, percent)
    files = traits.inspect(path)
    return path, files, traits.own_context(path, files)


def files_mark(settings: ModelSettings, prepared: Prepared | None) -> tuple[object, ...]:
    """Changes when a file does that the model is made of: its own, or one that an option names, be
    it an adapter or a key. ``prepared``: None while it could not be looked at."""
    named = [name for _, name in zip(range(MOST_FILES), _texts(settings.options), strict=False)]
    marks = [_mark(name, whole=False) for name in named]
    try:
        sources = traits_of(settings.engine).sources
    except ConfigError:  # what is not installed no file mends
        return tuple(marks)
    if sources != {Source.NAME}:
        source = (prepared and prepared.file) or settings.source
        marks.append(_mark(source, whole=Source.FOLDER in sources))
    return tuple(marks)


def _texts(options: object) -> Iterator[str]:
    """Every string among the options, at any depth: some of them are paths."""
    match options:
        case str():
            yield options
        case Mapping():
            for value in options.values():
                yield from _texts(value)
        case list() | tuple():
            for value in options:
                yield from _texts(value)


def _mark(name: str, *, whole: bool) -> tuple[tuple[int, int] | None, ...]:
    """Size and time; of a folder, those of the files in it if it is a model as a ``whole``. None
    for what is not there, or no file."""
    found: list[tuple[int, int] | None] = []
    try:
        path = Path(name).expanduser()
        paths = [path]
        if path.is_dir():
            paths = sorted(path.iterdir())[:MOST_FILES] if whole else []
    except (OSError, RuntimeError, ValueError):
        return (None,)
    for each in paths:
        try:
            status = each.stat()
        except (OSError, ValueError):
            found.append(None)
        else:
            found.append((status.st_size, status.st_mtime_ns))
    return tuple(found)
