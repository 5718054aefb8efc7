"""Whence the nodes of `mesh up` have their models: the first model, one that was named, or a folder
of them; and the room that this box has for such nodes.

Files are looked at here, before anything starts: what is wrong with one is one line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mesh.errors import ConfigError
from mesh.local.first_model import MODEL_ID, first_model
from mesh.local.roster import Entry, Room, choose, pair
from mesh.settings.model import ModelSettings
from node.engines.base import ModelSpec
from node.engines.registry import traits_of
from node.engines.traits import EngineTraits, ModelFiles, Source, Target
from node.hardware.host import Host
from node.models import catalogue
from node.models.folder import ggufs, named
from node.models.prepared import default_context

# Of a pair, so that both of the first model stay within a gigabyte together (README.md).
SLOTS = 2
CONTEXT = 4096  # tokens a slot
AGENT_BYTES = 130 * 2**20  # a node's agent; the runner's process is in the engine's estimate

_NVIDIA = Path("/proc/driver/nvidia/version")


def offered(engine: str, model: str | None, folder: Path | None) -> tuple[Entry, ...]:
    """The nodes that could be; none where no model was named and none is on this box. Downloads an
    ``hf:`` source. Raises ``ConfigError`` and ``ModelFileError``."""
    traits = traits_of(engine)
    if folder is not None:
        return _of_folder(traits, folder.expanduser())
    if model is None:
        if Source.FILE in traits.sources:
            found = first_model()
            return () if found is None else _pair(traits, str(found), MODEL_ID)
        if Source.NAME not in traits.sources:
            raise ConfigError(f"engine {engine} needs a model: say --model FOLDER")
        model = engine  # such as `simulated`, which takes any name
    return _pair(traits, model, catalogue.model_id(model))


def _pair(traits: EngineTraits[Any], source: str, model_id: str) -> tuple[Entry, ...]:
    path = _path(traits, source)
    own = 0 if path is None else traits.own_context(path, traits.inspect(path))
    settings = ModelSettings(
        source=source if path is None else str(path),
        specialties=(),
        id=model_id,
        engine=traits.name,
        slots=4 if path is None else SLOTS,
        context_length=None if path is None else min(own or CONTEXT, CONTEXT),
    )
    return pair(settings)


def _path(traits: EngineTraits[Any], source: str) -> Path | None:
    """Absolute: nodes run in folders of their own. None for an engine's own names."""
    if Source.FILE in traits.sources:
        path = catalogue.resolve(source)
        traits.check(path)
        return path
    if Source.FOLDER in traits.sources:
        path = Path(source).expanduser().absolute()
        if not path.is_dir():
            raise ConfigError(f"--model: there is no folder {path}")
        return path
    return None


def _of_folder(traits: EngineTraits[Any], folder: Path) -> tuple[Entry, ...]:
    """A node for each GGUF file, named after it, and so is its specialty."""
    if not {Source.FILE, Source.NAME} & traits.sources:
        raise ConfigError(f"--models is for GGUF files, which engine {traits.name} does not load")
    try:
        files = ggufs(folder)
    except OSError as error:
        raise ConfigError(f"--models {folder}: {error.strerror or error}") from None
    if not files:
        raise ConfigError(
            f"--models {folder}: there is no *.gguf file in it; name a folder with some, or one "
            "model with --model"
        )
    made: list[Entry] = []
    for file in files:
        try:
            name, specialties = named(file)
        except ConfigError as error:
            raise ConfigError(f"--models: {error.message}") from None
        path = _path(traits, str(file))
        model = ModelSettings(
            source=name if path is None else str(path),
            specialties=specialties,
            id=name,
            engine=traits.name,
        )
        if name in (entry.name for entry in made):
            raise ConfigError(f"--models: two files of {folder} would be node '{name}'; rename one")
        made.append(Entry(name=name, model=model))
    return tuple(made)


def fitting(wanted: str | None, roster: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """What ``choose`` takes of ``roster`` on this box. Only the files of those are read: a folder
    may have thousands, and those that nobody asks for need no memory. Raises ``ConfigError``."""
    by_cores = choose(wanted, roster, Room(cores=Host().cpu().logical_cores))
    return choose(wanted, roster, room(by_cores))


def room(roster: tuple[Entry, ...]) -> Room:
    """For nodes of ``roster``; their largest counts for all. Nothing is said of memory where the
    engine cannot tell, and only of the processes where a GPU may hold the models."""
    host = Host()
    free = host.memory().available_bytes
    cores = host.cpu().logical_cores
    weights: dict[str, int] = {}
    each = 0
    for entry in roster:
        need = _need(entry.model)
        if need is None:
            return Room(cores=cores)
        weights[entry.model.source] = need[0]
        each = max(each, AGENT_BYTES + need[1])
    return Room(cores=cores, free_bytes=free, shared_bytes=sum(weights.values()), node_bytes=each)


def _need(model: ModelSettings) -> tuple[int, int] | None:
    """Bytes of the weights, which nodes of one file share, and of all else that a load takes of
    this box's memory; None: the engine does not know."""
    traits = traits_of(model.engine)
    path = _path(traits, model.source)
    files: ModelFiles | None = None if path is None else traits.inspect(path)
    if path is None or files is None:
        return None
    if _NVIDIA.exists():
        return 0, 0
    own = default_context(traits.own_context(path, files), embeds=files.embeds)
    spec = ModelSpec(
        id=model.id or "",
        source=model.source,
        slots=model.slots,
        context_length=model.context_length or own,
        threads=1,
        options=model.options,
    )
    ram = traits.estimate(spec, files, Target()).ram
    return ram.weights_bytes, ram.total_bytes - ram.weights_bytes
