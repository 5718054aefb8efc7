"""A model's file, found and looked at, before anything loads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.errors import ModelFileError
from mesh.settings.model import ModelSettings
from mesh.types import ModelId
from node.engines.base import ModelSpec
from node.engines.hugging_face.folder import own_context
from node.models import catalogue
from node.models.catalogue import GgufFacts
from node.models.safetensors_folder import FolderFacts, inspect_folder

DEFAULT_CONTEXT = 8192  # tokens; a longer one is asked for, since its cache costs memory
# Of a model that embeds: a text is one batch, and what a batch takes grows with its longest text.
EMBEDDING_CONTEXT = 2048
FILE_ENGINES = frozenset({"llama_cpp"})  # their source is a GGUF file, inspected before loading
MOST_FILES = 256  # of a folder that are looked at for a change
FOLDER_ENGINES = frozenset({"torch", "exllamav2"})  # their source is a folder of safetensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is known of a model before it is loaded. ``file`` "", ``gguf`` and ``folder`` None for
    engines without one. ``embeds``: it is to make vectors, and no answers."""

    spec: ModelSpec
    gguf: GgufFacts | None = None
    folder: FolderFacts | None = None
    file: str = ""
    file_bytes: int = 0
    architecture: str = ""
    parameters: int = 0
    quantisation: str = ""
    embeds: bool = False


Prepare = Callable[[ModelSettings, ModelId, int], Prepared]


def prepare(settings: ModelSettings, model: ModelId, default_threads: int) -> Prepared:
    """Finds (downloads) and inspects the model's file. Blocking, possibly for minutes.

    Raises ``ModelFileError``.
    """
    threads_wanted = settings.threads or default_threads

    def spec(source: str, context: int) -> ModelSpec:
        return ModelSpec(
            id=model,
            source=source,
            slots=settings.slots,
            context_length=context,
            threads=threads_wanted,
            gpu_layers=settings.gpu_layers,
            options=settings.options,
        )

    if settings.engine in FOLDER_ENGINES:
        return _prepare_folder(settings, spec)
    if settings.engine not in FILE_ENGINES:
        return Prepared(
            spec=spec(settings.source, settings.context_length or DEFAULT_CONTEXT),
            embeds=embeds(settings.options, None),
        )
    path = catalogue.resolve(settings.source)
    facts = catalogue.inspect(path)
    embedding = embeds(settings.options, facts)
    most = EMBEDDING_CONTEXT if embedding else DEFAULT_CONTEXT
    context = settings.context_length or min(facts.context_length or most, most)
    return Prepared(
        spec=spec(str(path), context),
        gguf=facts,
        file=str(path),
        file_bytes=facts.file_bytes,
        architecture=facts.architecture,
        parameters=facts.parameters,
        quantisation=facts.quantisation,
        embeds=embedding,
    )


def files_mark(settings: ModelSettings, prepared: Prepared | None) -> tuple[object, ...]:
    """Changes when a file does that the model is made of: weights, adapters, key. ``prepared``:
    None while it could not be looked at."""
    options = settings.options
    named = [options.get("api_key_file"), options.get("headers_file")]
    adapters = options.get("lora")
    if isinstance(adapters, list | tuple):
        named += [each.get("path") for each in adapters if isinstance(each, dict)]
    if settings.engine in FILE_ENGINES | FOLDER_ENGINES:
        named.append((prepared and prepared.file) or settings.source)
    whole = settings.engine in FOLDER_ENGINES
    return tuple(_mark(name, whole=whole) for name in named if isinstance(name, str))


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


def embeds(options: Mapping[str, Any], facts: GgufFacts | None) -> bool:
    """Whether a model is to make vectors: as its option ``embedding`` says, else as its file does.
    ``facts``: None for engines without one."""
    chosen = options.get("embedding")
    if isinstance(chosen, bool):
        return chosen
    return facts is not None and (bool(facts.pooling) or not facts.causal)


def _prepare_folder(settings: ModelSettings, spec: Callable[[str, int], ModelSpec]) -> Prepared:
    """Nothing is known of a folder that cannot be read: its engine is to say what is wrong."""
    context = settings.context_length or DEFAULT_CONTEXT
    try:
        path = Path(settings.source).expanduser()
        if settings.context_length is None:
            context = min(own_context(path) or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
        facts = inspect_folder(path)
    except (ModelFileError, RuntimeError, ValueError, OSError):
        return Prepared(spec=spec(settings.source, context))
    return Prepared(
        spec=spec(str(path), context),
        folder=facts,
        file=str(path),
        file_bytes=facts.file_bytes,
        architecture=facts.architecture,
        parameters=facts.numbers,
    )
