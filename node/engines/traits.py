"""What an engine says of itself, beside and before its models.

All that the node asks of an engine outside its runner it asks here: what a model's files say, what
a load of it takes, whether its speed is worth measuring, what its process needs. Entry points of
the group ``squadron.engines`` name traits; loading them must not load the engine's libraries.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from mesh.errors import ConfigError
from node.engines.base import Engine, ModelSpec
from node.engines.estimate import CPU, Estimate


class Source(StrEnum):
    """What a model's ``source`` may be."""

    FILE = "file"  # a path, or hf:OWNER/REPO[:QUANT], or hf:OWNER/REPO/FILE
    FOLDER = "folder"
    NAME = "name"  # the engine's own name for it; there is nothing to look at


class ModelFiles(Protocol):
    """What a model's files say of it before it is loaded. Counts are 0 and texts "" where they do
    not say. ``context_length``: tokens that it was trained for; ``file_bytes``: of all its files;
    ``embeds``: it is made for vectors."""

    @property
    def name(self) -> str: ...
    @property
    def architecture(self) -> str: ...
    @property
    def parameters(self) -> int: ...
    @property
    def quantisation(self) -> str: ...
    @property
    def context_length(self) -> int: ...
    @property
    def file_bytes(self) -> int: ...
    @property
    def embeds(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a load is for. ``device``: ``cpu``, or a GPU's UUID or any name for one;
    ``compute_capability``: of the GPU, as NVML gives it (``6.1``)."""

    device: str = CPU
    compute_capability: str | None = None


F = TypeVar("F", bound=ModelFiles)


class EngineTraits(Generic[F]):
    """``name``: as the entry point has it. ``distribution``: the package that its version is of,
    "" for none. ``needs_gpu``: it never runs on the CPU. ``splits_layers``: ``gpu_layers`` of a
    model are on the GPU and the rest on the CPU; others have all layers on one device. ``embeds``:
    some models of its make vectors. ``measured``: its speed is this box's, and is measured.
    ``instant``: an answer takes milliseconds. ``memory_note``: for the record, why nothing is
    reserved for a model whose files say nothing; None where that is a lack. ``trial``: the module
    of a process that tries grammars and schemas with a model's vocabulary alone, given its file
    (``node/models/forms``), "" for none. ``no_choice``: of
    ``kv_type``, ``dtype``, ``gpu_layers`` and ``cpu``, what ``mesh models fit`` cannot be asked,
    each with why not.

    An engine states what differs from this one, which is right for one that has neither files nor
    libraries of its own. ``F``: what ``inspect`` returns.
    """

    name: ClassVar[str]
    distribution: ClassVar[str] = ""
    sources: ClassVar[frozenset[Source]] = frozenset({Source.NAME})
    needs_gpu: ClassVar[bool] = False
    splits_layers: ClassVar[bool] = False
    embeds: ClassVar[bool] = False
    measured: ClassVar[bool] = True
    instant: ClassVar[bool] = False
    memory_note: ClassVar[str | None] = None
    trial: ClassVar[str] = ""
    no_choice: ClassVar[Mapping[str, str]] = {}

    def make(self) -> Engine:
        """A new engine. Imports its libraries: called in a runner. Raises ``ImportError`` and
        ``OSError`` for what is not installed."""
        raise NotImplementedError

    @property
    def version(self) -> str:
        """``llama_cpp 0.3.36``; only the name where no package is known or installed."""
        if self.distribution:
            with suppress(importlib.metadata.PackageNotFoundError):
                return f"{self.name} {importlib.metadata.version(self.distribution)}"
        return self.name

    def check(self, path: Path) -> None:
        """Raises ``MeshError`` for files that are another engine's."""

    def inspect(self, path: Path) -> F | None:
        """None: they say nothing. Blocking. Raises ``ModelFileError``."""
        return None

    def own_context(self, path: Path, files: F | None) -> int:
        """Tokens that the model takes, 0 where that is not known; ``files``: None where they could
        not be read. Raises ``ModelFileError``."""
        return files.context_length if files is not None else 0

    def estimate(self, spec: ModelSpec, files: F, target: Target) -> Estimate:
        """What loading it takes. Raises ``ConfigError`` and ``ModelFileError`` for what cannot be
        had, as the engine would."""
        raise ConfigError(f"model '{spec.id}' says nothing of its size; set memory_bytes")

    def spare_bytes(self, whole: int, mapped: int, files: F, estimate: Estimate) -> int:
        """How much RAM a runner of ``whole`` bytes could do without, ``mapped`` of them being pages
        of the model's file."""
        return 0

    def gpu_gap(self) -> str:
        """Why it computes on no GPU although the box has one, and what to do, in one line; "" when
        it does."""
        return ""

    def runner_environment(self, spec: ModelSpec) -> Mapping[str, str]:
        """Variables that suit the runner's process, where the user has not set them."""
        return {}


def to_embed(options: Mapping[str, Any], files: ModelFiles | None) -> bool:
    """Whether a model is to make vectors: as its option ``embedding`` says, else as its files do.
    ``files``: None for engines without."""
    chosen = options.get("embedding")
    if isinstance(chosen, bool):
        return chosen
    return files is not None and files.embeds


def check_wanted(files: ModelFiles, *, context_length: int, slots: int) -> None:
    """Raises ``ConfigError``."""
    if slots < 1:
        raise ConfigError(f"slots must be at least 1, not {slots}")
    if context_length < 1:
        raise ConfigError(f"the context must be at least 1 token, not {context_length}")
    if files.context_length and context_length > files.context_length:
        raise ConfigError(
            f"a context of {context_length} tokens is more than the {files.context_length} that "
            f"'{files.name}' was trained for; ask for at most {files.context_length}"
        )
