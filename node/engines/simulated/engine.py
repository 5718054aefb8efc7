"""Engine ``simulated``: timing by formula and text by position, for tests and benchmarks.

The answer is ``tok0 tok1 tok2 ...``: token id = index = number in the text, so that a gap, a repeat
or a wrong resume shows in any stream.

    seconds of a step = (base_ms + slope_ms * running slots
                         + prefill_ms_per_token * tokens prefilled) / 1000
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mesh.embedding import MAX_DIMENSION
from mesh.errors import (
    CannotAnswer,
    ConfigError,
    ContextOverflow,
    EngineFailed,
    InternalError,
)
from mesh.parts import texts_of
from mesh.types import FinishReason, Message, Sampling
from node.engines.base import Emission, Ended, ModelFacts, ModelSpec, Prefilling, Token
from node.engines.options import check_sizes, options_of
from node.engines.scheduler import OpenSlot, plan
from node.engines.sight import refuse_images
from node.engines.simulated.vectors import OpenTexts

_MESSAGE_TOKENS = 4  # what a chat template would put around each message
_FOREVER_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedOptions:
    """``words``: length of an answer in tokens. ``fail_at``, ``crash_at``, ``hang_at``: at that
    index of any answer the step raises, the process kills itself, or the step never returns.
    ``batch``: tokens a step takes at most. ``embedding``: it makes vectors of ``dimension``
    numbers; the three indices are then of texts. Milliseconds otherwise."""

    words: int = 64
    base_ms: float = 0.0
    slope_ms: float = 0.0
    prefill_ms_per_token: float = 0.0
    load_ms: float = 0.0
    batch: int = 512
    fail_at: int | None = None
    crash_at: int | None = None
    hang_at: int | None = None
    embedding: bool = False
    dimension: int = 8


@dataclass(slots=True)
class _Sequence:
    slot: int
    arrival: int
    messages: int  # tokens of the messages
    prefill: int  # those and the delivered ones
    prefilled: int
    position: int  # index of the next token in the whole answer
    ended: bool = False


def count_tokens(messages: Sequence[Message]) -> int:
    """Prompt tokens of ``messages``: a word is a token."""
    return sum(_MESSAGE_TOKENS + sum(len(t.split()) for t in texts_of(m)) for m in messages)


def _spelling(token: int) -> bytes:
    return f"tok{token} ".encode()


class SimulatedEngine:
    """See ``node.engines.base.Engine``. ``sleep`` takes seconds; tests pass their own."""

    def __init__(self, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.on_progress: Callable[[float], None] = lambda _: None
        self._sleep = sleep
        self._spec: ModelSpec | None = None
        self._options = SimulatedOptions()
        self._open: dict[int, _Sequence] = {}
        self._texts: OpenTexts | None = None
        self._arrivals = 0

    def load(self, spec: ModelSpec) -> ModelFacts:
        """Raises ``ConfigError`` for a bad option, ``ModelFileError`` for no slots."""
        check_sizes(spec)
        self._options = options_of(spec, "simulated", SimulatedOptions)
        if not 1 <= self._options.dimension <= MAX_DIMENSION:
            raise ConfigError(
                f"model '{spec.id}': engine simulated: dimension must be 1 to {MAX_DIMENSION}, not "
                f"{self._options.dimension}"
            )
        for percent in range(0, 101, 25):
            self.on_progress(percent / 100)
            self._pause(self._options.load_ms / 5)
        self._spec = spec
        embeds = self._options.embedding
        if embeds:
            self._texts = OpenTexts(self._options.dimension, spec.context_length, self._reach)
        return ModelFacts(
            context_length=spec.context_length,
            device="cpu",
            architecture="simulated",
            tokenizer_hash="simulated",
            template_hash="" if embeds else "simulated",
            embeds=embeds,
        )

    def open(
        self,
        slot: int,
        messages: Sequence[Message],
        sampling: Sampling,
        delivered: Sequence[int],
        delivered_text: str,
    ) -> int:
        """Raises ``ContextOverflow``, and ``CannotAnswer`` for images and a model that embeds."""
        spec = self._loaded()
        if self._texts is not None:
            raise CannotAnswer("this model makes embeddings and no answers")
        refuse_images(messages)
        if slot in self._open or not 0 <= slot < spec.slots:
            raise InternalError(f"slot {slot} is not free")
        prompt = count_tokens(messages)
        if prompt >= spec.context_length:
            raise ContextOverflow(
                f"the prompt has {prompt} tokens and the model's context is {spec.context_length}, "
                "answer included; shorten the prompt or ask a model with a longer context"
            )
        position = len(delivered) or len(delivered_text.split())
        self._arrivals += 1
        self._open[slot] = _Sequence(
            slot=slot,
            arrival=self._arrivals,
            messages=prompt,
            prefill=prompt + position,
            prefilled=0,
            position=position,
        )
        return prompt

    def embed(self, slot: int, texts: Sequence[str]) -> int:
        """Raises ``ContextOverflow``, and ``CannotAnswer`` for a model that generates."""
        spec = self._loaded()
        if self._texts is None:
            raise CannotAnswer("this model gives answers and makes no embeddings")
        if slot in self._texts or not 0 <= slot < spec.slots:
            raise InternalError(f"slot {slot} is not free")
        return self._texts.open(slot, texts)

    def step(self, held: frozenset[int]) -> Sequence[Emission]:
        """Raises ``EngineFailed`` where ``fail_at`` says so."""
        spec, options = self._loaded(), self._options
        if self._texts is not None:
            embedded, tokens = self._texts.step(held)
            if embedded:
                self._pause(options.base_ms + options.prefill_ms_per_token * tokens)
            return embedded
        able = {s.slot: s for s in self._open.values() if s.slot not in held and not s.ended}
        emissions: list[Emission] = []
        for sequence in tuple(able.values()):
            if reason := self._end_of(sequence, spec):
                sequence.ended = True
                emissions.append(Ended(sequence.slot, reason))
                del able[sequence.slot]
        work = [
            OpenSlot(slot=s.slot, prefill=s.prefill - s.prefilled, arrival=s.arrival)
            for s in able.values()
        ]
        batch = max(options.batch, spec.slots)
        shares = plan(work, batch=batch, chunk=batch)
        prefilled = 0
        for share in shares:
            sequence = able[share.slot]
            if sequence.prefilled < sequence.prefill:
                sequence.prefilled += share.count
                prefilled += share.count
                emissions.append(Prefilling(share.slot, sequence.prefilled, sequence.prefill))
            if share.sample:
                emissions.append(self._next(sequence))
                if reason := self._end_of(sequence, spec):
                    sequence.ended = True
                    emissions.append(Ended(share.slot, reason))
        if shares:
            running = sum(1 for share in shares if share.sample)
            self._pause(
                options.base_ms
                + options.slope_ms * running
                + options.prefill_ms_per_token * prefilled
            )
        return emissions

    def close(self, slot: int) -> None:
        if self._texts is not None:
            self._texts.close(slot)
        self._open.pop(slot, None)

    def spell(self, tokens: Sequence[int]) -> bytes:
        """The raw bytes of ``tokens``."""
        return b"".join(map(_spelling, tokens))

    def unload(self) -> None:
        self._open.clear()
        self._spec = self._texts = None

    def _next(self, sequence: _Sequence) -> Token:
        position = sequence.position
        self._reach(position)
        sequence.position += 1
        return Token(sequence.slot, position, _spelling(position))

    def _reach(self, position: int) -> None:
        """The next token, or text, is that one."""
        options = self._options
        if position == options.fail_at:
            what = "text" if self._texts is not None else "token"
            raise EngineFailed(f"simulated failure at {what} {position}, as option fail_at says")
        if position == options.crash_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if position == options.hang_at:
            while True:
                self._sleep(_FOREVER_S)

    def _end_of(self, sequence: _Sequence, spec: ModelSpec) -> FinishReason | None:
        if sequence.position >= self._options.words:
            return FinishReason.STOP
        used = sequence.messages + sequence.position
        return FinishReason.CONTEXT if used >= spec.context_length else None

    def _pause(self, milliseconds: float) -> None:
        if milliseconds > 0:
            self._sleep(milliseconds / 1000)

    def _loaded(self) -> ModelSpec:
        if self._spec is None:
            raise InternalError("no model is loaded")
        return self._spec
