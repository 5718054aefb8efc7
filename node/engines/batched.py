"""What engines share whose slots are computed together, one batch a step.

A sequence has a cache of its own, of as many as there are slots. A slot that is closed leaves its
tokens in its cache until the room is needed, and the next prompt that begins alike starts from
there, or from a copy of a cache that is still busy. An engine supplies what its library does:
copy and cut a cache, evaluate a batch, draw a token.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from mesh.errors import InternalError
from mesh.types import FinishReason, Message, Sampling
from node.engines.base import Emission, Ended, Prefilling, Token
from node.engines.chat_template import PromptBuilder, TokenizedPrompt
from node.engines.scheduler import OpenSlot, Reuse, Share, StepSpeed, choose_reuse, plan
from node.runner.at_work import AtWork

# A copy between slots moves a whole slot's cache. It must spare at least this many tokens of
# prefill, and this share of the slot's context.
LEAST_COPY = 16
COPY_SHARE = 128


class Vocabulary(Protocol):
    def check(self, tokens: Sequence[int]) -> None:
        """Raises ``InvalidRequest`` for an id that is not of this model."""
        ...

    def piece(self, token: int) -> bytes: ...

    def ends_turn(self, token: int) -> bool: ...


class LoadedModel(Protocol):
    """What this needs of a loaded model. ``batch_size``: tokens that one batch takes at most;
    ``context_length``: tokens a slot."""

    @property
    def prompts(self) -> PromptBuilder: ...
    @property
    def vocabulary(self) -> Vocabulary: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def context_length(self) -> int: ...


L = TypeVar("L", bound=LoadedModel)
S = TypeVar("S")


@dataclass(slots=True)
class Running(Generic[S]):
    """An open slot. The first ``evaluated`` of ``tokens`` are in ``cache``, the first ``prefill``
    were there at the start, ``cached`` of them computed before; the rest was drawn by
    ``sampler``."""

    slot: int
    cache: int
    arrival: int
    tokens: list[int]
    prefill: int
    cached: int
    evaluated: int
    sampler: S
    ended: bool = False

    @property
    def work(self) -> OpenSlot:
        return OpenSlot(
            slot=self.slot, prefill=max(0, self.prefill - self.evaluated), arrival=self.arrival
        )


class BatchedEngine(Generic[L, S]):
    """See ``node.engines.base.Engine``. ``fresh_seed`` gives seeds to requests that have none;
    ``on_progress`` hears how far loading is, 0..1; ``work`` what it is at."""

    def __init__(
        self,
        *,
        fresh_seed: Callable[[], int] = lambda: secrets.randbits(32),
        seconds: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.on_progress: Callable[[float], None] = lambda _: None
        self.work = AtWork()
        self._fresh_seed = fresh_seed
        self._seconds = seconds
        self._live: L | None = None
        self._open: dict[int, Running[S]] = {}
        self._caches: dict[int, list[int]] = {}  # tokens that each cache not in use holds
        self._last_used: dict[int, int] = {}
        self._arrivals = 0
        self._pace = StepSpeed()

    # What an engine supplies.

    def _sampler(self, live: L, sampling: Sampling, begun: TokenizedPrompt) -> S:
        """What draws the tokens of a new sequence. Raises as ``open`` does."""
        raise NotImplementedError

    def _take(self, live: L, reuse: Reuse) -> int:
        """Copies and cuts caches as ``reuse`` says; how many tokens its cache then begins with."""
        raise NotImplementedError

    def _evaluate(self, live: L, shares: Sequence[Share]) -> None:
        """One batch: the next tokens of each share's sequence, after those that are evaluated.
        Raises ``EngineFailed``."""
        raise NotImplementedError

    def _sample(self, live: L, running: Running[S]) -> Sequence[Emission]:
        """What the batch says of a sequence that samples: ``_say`` for each token drawn."""
        raise NotImplementedError

    def _forget(self, running: Running[S]) -> None:
        """The sequence is over."""

    # What they share.

    def _begin(self, live: L, slots: int) -> None:
        self._live = live
        self._caches = {cache: [] for cache in range(slots)}

    def _loaded(self) -> L:
        if self._live is None:
            raise InternalError("no model is loaded")
        return self._live

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
        if slot in self._open or not self._caches:
            raise InternalError(f"slot {slot} is not free")
        begun = live.prompts.begin(messages, delivered, delivered_text)
        sampler = self._sampler(live, sampling, begun)
        reuse = choose_reuse(
            begun.tokens,
            self._caches,
            {each.cache: each.tokens[: each.evaluated] for each in self._open.values()},
            self._last_used,
            worth_copying=max(LEAST_COPY, live.context_length // COPY_SHARE),
        )
        common = self._take(live, reuse)
        del self._caches[reuse.cache]
        self._arrivals += 1
        self._open[slot] = Running(
            slot=slot,
            cache=reuse.cache,
            arrival=self._arrivals,
            tokens=begun.tokens,
            prefill=len(begun.tokens),
            cached=common,
            evaluated=common,
            sampler=sampler,
        )
        return len(begun.prompt)

    def step(self, held: frozenset[int]) -> Sequence[Emission]:
        """Raises ``EngineFailed``: the model is lost."""
        live = self._loaded()
        able = [each for each in self._open.values() if each.slot not in held and not each.ended]
        # Only a resume can find its context full before it starts.
        full = [each for each in able if each.prefill >= live.context_length]
        emissions: list[Emission] = [_end(each, FinishReason.CONTEXT) for each in full]
        work = [each.work for each in able if not each.ended]
        if not work:
            return emissions
        count = sum(1 for each in work if not each.prefill)
        chunk = self._pace.chunk(running=count, batch=live.batch_size)
        shares = plan(work, batch=live.batch_size, chunk=chunk)
        started = self._seconds()
        self._evaluate(live, shares)
        self._pace = self._pace.observe(
            prefilled=sum(share.count for share in shares) - count,
            running=count,
            seconds=self._seconds() - started,
        )
        for share in shares:
            running = self._open[share.slot]
            running.evaluated += share.count
            if running.evaluated <= running.prefill:
                emissions.append(
                    Prefilling(share.slot, running.evaluated, running.prefill, running.cached)
                )
            if share.sample:
                emissions += self._sample(live, running)
        return emissions

    def _say(self, live: L, running: Running[S], token: int | None) -> Sequence[Emission]:
        """The sequence's next token; None: there is none, and it ends."""
        if token is None or live.vocabulary.ends_turn(token):
            return (_end(running, FinishReason.STOP),)
        running.tokens.append(token)
        said = Token(running.slot, token, live.vocabulary.piece(token))
        if len(running.tokens) >= live.context_length:
            return said, _end(running, FinishReason.CONTEXT)
        return (said,)

    def close(self, slot: int) -> None:
        running = self._open.pop(slot, None)
        if running is None:
            return
        self._forget(running)
        self._caches[running.cache] = running.tokens[: running.evaluated]
        self._arrivals += 1
        self._last_used[running.cache] = self._arrivals

    def spell(self, tokens: Sequence[int]) -> bytes:
        """The raw bytes of ``tokens``. Raises ``InvalidRequest`` for a foreign id."""
        vocabulary = self._loaded().vocabulary
        vocabulary.check(tokens)
        return b"".join(map(vocabulary.piece, tokens))

    def _end_all(self) -> L | None:
        """Closes every slot; what was loaded, to be freed."""
        for slot in tuple(self._open):
            self.close(slot)
        self._caches.clear()
        live, self._live = self._live, None
        return live


def _end(running: Running[S], reason: FinishReason) -> Ended:
    running.ended = True
    return Ended(running.slot, reason)
