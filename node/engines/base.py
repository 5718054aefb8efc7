"""What an engine is to its runner: sequences go in, one ``step`` at a time tokens come out.

An engine runs in a runner (a child process) and is driven by one thread; it knows nothing of
sockets, requests, credit or text. Slots are numbered 0..slots-1. What an engine says of itself
outside its runner stands beside it (``node/engines/traits.py``), and makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from mesh.errors import MeshError
from mesh.types import Message, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What to load. ``source`` is a local path (or the engine's own model name), ``context_length``
    tokens per slot, ``gpu_layers`` -1 for all, ``threads`` CPU threads. ``memory_bytes``: of RAM
    beside the model's file that its runner may take, None for as much as there is."""

    id: str
    source: str
    slots: int
    context_length: int
    threads: int
    gpu_layers: int = -1
    options: dict[str, Any] = field(default_factory=dict)
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What the engine knows once the model is loaded. ``device``: ``cpu`` or a GPU UUID or name.
    ``tier`` and prices (a million tokens): of a model that somebody else runs, see
    ``ModelRecord``. ``embeds``: it makes vectors and generates nothing, see ``Embeds``."""

    context_length: int
    device: str
    architecture: str = ""
    parameters: int = 0
    quantisation: str = ""
    tokenizer_hash: str = ""
    template_hash: str = ""
    tier: str = ""
    input_price: float | None = None
    output_price: float | None = None
    embeds: bool = False


@dataclass(frozen=True, slots=True)
class Prefilling:
    """``done`` of ``total`` prompt tokens of this slot are in the cache; ``cached`` of them were
    taken from an earlier sequence."""

    slot: int
    done: int
    total: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Token:
    """One sampled token: its id and the raw bytes that it stands for (b"" for control tokens)."""

    slot: int
    id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The model ended its turn (``stop``) or the slot's context is full (``context``). An upstream
    may also say that it was told to stop there (``length``, ``stop_string``). The slot stays open
    until ``close``."""

    slot: int
    reason: str


@dataclass(frozen=True, slots=True)
class Counted:
    """How many tokens the prompt really had, from an engine that could only guess when the
    sequence was opened; ``cached`` of them were not computed anew."""

    slot: int
    prompt: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """This sequence is lost, and the model is not. A ``NotServed`` or ``InvalidRequest`` before the
    first token is a refusal, as one from ``open`` would be. The slot stays open until ``close``."""

    slot: int
    error: MeshError


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of consecutive texts of this slot; ``first`` is the index of the first text, from 0.
    ``data``: for each a row of ``dimension`` little-endian float32, of Euclidean length 1 (or all
    zero, where the model sees nothing in the text)."""

    slot: int
    first: int
    dimension: int
    data: bytes


Emission = Prefilling | Token | Embedded | Ended | Counted | Failed


class Engine(Protocol):
    """Raises ``ModelFileError`` (load), ``ContextOverflow``/``InvalidRequest`` (open),
    ``NotServed`` (open: this engine does not answer such a thing, another may), ``EngineFailed``
    (step: the model is lost and the runner ends)."""

    def load(self, spec: ModelSpec) -> ModelFacts: ...

    def open(
        self,
        slot: int,
        messages: Sequence[Message],
        sampling: Sampling,
        delivered: Sequence[int],
        delivered_text: str,
    ) -> int:
        """Claims a free slot for a sequence and returns its number of prompt tokens.

        The chat template is applied to ``messages``; then ``delivered`` token ids (or, when they
        are empty, ``delivered_text`` tokenised) continue the assistant's turn.
        """
        ...

    def step(self, held: frozenset[int]) -> Sequence[Emission]:
        """One unit of work for all open slots that are not ``held`` (out of credit): a chunk of
        prefill and one token each. Returns [] only when no slot has work."""
        ...

    def close(self, slot: int) -> None:
        """Frees the slot and its cache at once; idempotent; safe between any two steps."""
        ...

    def unload(self) -> None: ...


@runtime_checkable
class Embeds(Protocol):
    """An engine that can load models which turn texts into vectors. ``ModelFacts.embeds`` says
    whether the one that it loaded is such a model; that one generates nothing, and only then is
    ``embed`` called, instead of ``open``.

    It is one or the other: an answer wants one output a sequence and a cache that lasts, a vector
    wants an output of every token and the whole text in one batch. A context that does both in turn
    stops its running streams for each text.
    """

    def embed(self, slot: int, texts: Sequence[str]) -> int:
        """Claims a free slot for the texts and returns their number of tokens together, the marks
        that the model wants around each included.

        ``step`` then gives ``Embedded`` for all of them, in order and as they are ready, and
        ``Ended``; texts of several slots share a step where they can. Raises ``ContextOverflow``
        for a text that is too long (nothing is ever cut off), naming it by its number from 1.
        """
        ...
