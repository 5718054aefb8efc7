"""Engine ``exllamav2``: EXL2 and GPTQ weights on a CUDA GPU, with the library's dynamic generator.

A slot is a job of the generator, which batches, pages its cache and shares equal prefixes by
itself. It cannot pause one job: a slot without credit has its job cancelled, and a new one that
starts from the tokens so far when it may go on; the pages are still in the cache then.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mesh.errors import ConfigError, EngineFailed, InternalError
from mesh.types import FinishReason, Message, Sampling
from node.engines.base import Emission, Ended, ModelFacts, ModelSpec, Prefilling, Token
from node.engines.chat_template import PromptBuilder
from node.engines.draws import Draws
from node.engines.exllamav2.loading import OpenedModel, open_model
from node.engines.exllamav2.options import read_options
from node.engines.first_line import first_line

# What the library raises when something is wrong with the GPU, or with itself.
_BROKEN = (RuntimeError, AssertionError, ValueError)


@dataclass(slots=True)
class _Sequence:
    """An open slot. The first ``prefill`` of ``tokens`` were there at the start, of which ``begun``
    are answer; the rest was drawn. ``job``: None while the slot is held, and once it has
    ended; it began with ``started`` tokens."""

    slot: int
    tokens: list[int]
    prefill: int
    begun: int
    sampling: Sampling
    seed: int
    job: Any = None
    started: int = 0
    prefilled: bool = False
    cached: int = 0
    ended: bool = False


@dataclass(slots=True)
class _Live:
    opened: OpenedModel
    prompts: PromptBuilder
    spec: ModelSpec
    ends: tuple[int, ...] = field(default=())


class ExLlamaV2Engine:
    """See ``node.engines.base.Engine``. ``fresh_seed`` gives seeds to requests that have none;
    ``opener`` loads the library's model: tests pass their own."""

    def __init__(
        self,
        *,
        fresh_seed: Callable[[], int] = lambda: secrets.randbits(32),
        opener: Callable[..., OpenedModel] = open_model,
    ) -> None:
        self.on_progress: Callable[[float], None] = lambda _: None
        self._fresh_seed = fresh_seed
        self._opener = opener
        self._live: _Live | None = None
        self._open: dict[int, _Sequence] = {}

    def load(self, spec: ModelSpec) -> ModelFacts:
        """Raises ``ModelFileError``, and ``ConfigError`` for a bad option or where the extra is not
        installed."""
        if self._live is not None:
            raise InternalError("a model is loaded already; unload it first")
        options = read_options(spec)
        try:
            opened = self._opener(spec, options, lambda share: self.on_progress(share))
        except ImportError as error:
            raise ConfigError(
                f"engine exllamav2 cannot be loaded: {error}; pip install "
                "'squadron-mesh[exllamav2]', with a CUDA build of PyTorch"
            ) from None
        self._live = _Live(
            opened, PromptBuilder(opened.template, opened.vocabulary, spec.context_length), spec
        )
        return opened.facts

    def open(
        self,
        slot: int,
        messages: Sequence[Message],
        sampling: Sampling,
        delivered: Sequence[int],
        delivered_text: str,
    ) -> int:
        """Raises ``ContextOverflow`` and ``InvalidRequest``. Returns the tokens of the messages;
        what was delivered counts as answer."""
        live = self._loaded()
        if slot in self._open or not 0 <= slot < live.spec.slots:
            raise InternalError(f"slot {slot} is not free")
        begun = live.prompts.begin(messages, delivered, delivered_text)
        self._open[slot] = _Sequence(
            slot=slot,
            tokens=begun.tokens,
            prefill=len(begun.tokens),
            begun=len(begun.answer),
            sampling=sampling,
            seed=self._fresh_seed(),
        )
        return len(begun.prompt)

    def step(self, held: frozenset[int]) -> Sequence[Emission]:
        """Raises ``EngineFailed``: the model is lost."""
        live = self._loaded()
        emissions: list[Emission] = []
        try:
            running = self._start_and_stop(live, held, emissions)
            if running:
                for result in live.opened.generator.iterate():
                    emissions += self._read(live, result)
        except _BROKEN as error:
            raise EngineFailed(f"exllamav2 could not go on: {first_line(error)}") from None
        return emissions

    def close(self, slot: int) -> None:
        sequence = self._open.pop(slot, None)
        if sequence is not None and sequence.job is not None and self._live is not None:
            self._live.opened.generator.cancel(sequence.job)

    def spell(self, tokens: Sequence[int]) -> bytes:
        """The raw bytes of ``tokens``. Raises ``InvalidRequest`` for a foreign id."""
        vocabulary = self._loaded().opened.vocabulary
        vocabulary.check(tokens)
        return b"".join(map(vocabulary.piece, tokens))

    def unload(self) -> None:
        for slot in tuple(self._open):
            self.close(slot)
        live, self._live = self._live, None
        if live is not None:
            live.opened.generator.unload()

    def _loaded(self) -> _Live:
        if self._live is None:
            raise InternalError("no model is loaded")
        return self._live

    def _start_and_stop(self, live: _Live, held: frozenset[int], emissions: list[Emission]) -> bool:
        """Gives every slot that may go on a job, and no other; whether there is one."""
        running = False
        for sequence in self._open.values():
            if sequence.ended:
                continue
            if sequence.slot in held:
                if sequence.job is not None:
                    live.opened.generator.cancel(sequence.job)
                    sequence.job = None
                continue
            room = live.spec.context_length - len(sequence.tokens)
            if room <= 0:  # only a resume can find its context full before it starts
                sequence.ended = True
                emissions.append(Ended(sequence.slot, FinishReason.CONTEXT))
                continue
            if sequence.job is None:
                answered = sequence.begun + len(sequence.tokens) - sequence.prefill
                sequence.started = len(sequence.tokens)
                sequence.job = live.opened.generator.start(
                    sequence.tokens,
                    room,
                    sequence.sampling,
                    Draws(sequence.sampling, fresh=sequence.seed, position=answered),
                    sequence.slot,
                )
            running = True
        return running

    def _read(self, live: _Live, result: dict[str, Any]) -> list[Emission]:
        sequence = self._open.get(result.get("identifier", -1))
        if sequence is None or result["job"] is not sequence.job:
            return []
        match result["stage"]:
            case "prefill":
                done = min(int(result["curr_progress"]), sequence.started - 1)
                return [Prefilling(sequence.slot, done, sequence.started, sequence.cached)]
            case "streaming":
                return self._streamed(live, sequence, result)
        return []

    def _streamed(self, live: _Live, sequence: _Sequence, result: dict[str, Any]) -> list[Emission]:
        slot = sequence.slot
        vocabulary = live.opened.vocabulary
        emissions: list[Emission] = []
        # Not those of the result, which come only when their text is whole.
        ids = live.opened.generator.drawn(sequence.job, len(sequence.tokens))
        stopped = bool(ids) and vocabulary.ends_turn(ids[-1])
        if not sequence.prefilled:
            sequence.prefilled = True
            total = sequence.prefill
            sequence.cached = min(live.opened.generator.cached(sequence.job), total - 1)
            emissions.append(Prefilling(slot, total, total, sequence.cached))
        said = ids[:-1] if stopped else ids
        sequence.tokens += said
        emissions += [Token(slot, token, vocabulary.piece(token)) for token in said]
        if result["eos"]:
            sequence.ended, sequence.job = True, None
            reason = FinishReason.STOP if stopped else FinishReason.CONTEXT
            emissions.append(Ended(slot, reason))
        return emissions
