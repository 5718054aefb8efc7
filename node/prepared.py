"""A model's file, found and looked at, before anything loads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mesh.config import ModelSettings
from mesh.types import ModelId
from node import catalogue
from node.catalogue import GgufFacts
from node.engines.base import ModelSpec

DEFAULT_CONTEXT = 8192  # tokens; a longer one is asked for, since its cache costs memory
FILE_ENGINES = frozenset({"llama_cpp"})  # their source is a GGUF file, inspected before loading


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is known of a model before it is loaded. ``file`` "" and ``gguf`` None for engines
    without one."""

    spec: ModelSpec
    gguf: GgufFacts | None = None
    file: str = ""
    file_bytes: int = 0
    architecture: str = ""
    parameters: int = 0
    quantisation: str = ""


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

    if settings.engine not in FILE_ENGINES:
        return Prepared(spec=spec(settings.source, settings.context_length or DEFAULT_CONTEXT))
    path = catalogue.resolve(settings.source)
    facts = catalogue.inspect(path)
    context = settings.context_length or min(
        facts.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT
    )
    return Prepared(
        spec=spec(str(path), context),
        gguf=facts,
        file=str(path),
        file_bytes=facts.file_bytes,
        architecture=facts.architecture,
        parameters=facts.parameters,
        quantisation=facts.quantisation,
    )
