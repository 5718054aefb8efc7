"""Engine ``torch``: Hugging Face models from safetensors, with continuous batching.

One forward serves all slots that have work: chunks of prefill beside a token for each running
sequence, as ``node.engines.scheduler`` plans them. A closed slot leaves its tokens in the cache
until the room is needed; the next prompt that begins alike starts from there, or from a copy of a
busy one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

try:
    import torch
    import transformers  # noqa: F401 - so that what is missing is said here
except ImportError as error:
    raise ImportError(f"{error}: pip install 'squadron-mesh[torch]'") from None

from mesh.errors import ConfigError, EngineFailed, InternalError, ModelFileError
from mesh.types import FinishReason, Message, Sampling
from node.engines.base import Emission, Ended, Failed, ModelFacts, ModelSpec, Prefilling, Token
from node.engines.chat_template import PromptBuilder
from node.engines.scheduler import Pace, Share, Work, choose_reuse, plan
from node.engines.torch.attention import KEYWORD, Batch, Caches, Segment
from node.engines.torch.loading import Opened, open_model
from node.engines.torch.options import read_options
from node.engines.torch.sampling import Sampler

# A copy between slots moves keys and values of every layer: as engine llama_cpp has it, it must
# spare so many tokens of prefill, or this share of the context.
LEAST_COPY, COPY_SHARE = 16, 128


@dataclass(slots=True)
class _Sequence:
    """An open slot. ``cache``: its row of the caches. The first ``evaluated`` of ``tokens`` are in
    it, the first ``prefill`` were there at the start; the rest was drawn."""

    slot: int
    cache: int
    arrival: int
    tokens: list[int]
    prefill: int
    cached: int
    evaluated: int
    sampler: Sampler
    ended: bool = False

    @property
    def work(self) -> Work:
        waiting = max(0, self.prefill - self.evaluated)
        return Work(slot=self.slot, prefill=waiting, arrival=self.arrival)


@dataclass(slots=True, kw_only=True)
class _Live:
    opened: Opened
    caches: Caches
    prompts: PromptBuilder
    batch_size: int
    context_length: int


class TorchEngine:
    """See ``node.engines.base.Engine``. ``fresh_seed`` gives seeds to requests that have none;
    ``on_progress`` hears how far loading is, 0..1. ``forwards`` counts them."""

    def __init__(
        self,
        *,
        fresh_seed: Callable[[], int] = lambda: secrets.randbits(32),
        seconds: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.on_progress: Callable[[float], None] = lambda _: None
        self._fresh_seed = fresh_seed
        self._seconds = seconds
        self._live: _Live | None = None
        self._open: dict[int, _Sequence] = {}
        self._caches: dict[int, list[int]] = {}  # tokens that each row not in use holds
        self._last_used: dict[int, int] = {}
        self._arrivals = 0
        self._pace = Pace()
        self.forwards = 0

    def load(self, spec: ModelSpec) -> ModelFacts:
        """Raises ``ModelFileError``, and ``ConfigError`` for a bad option."""
        if self._live is not None:
            raise InternalError("a model is loaded already; unload it first")
        options = read_options(spec)
        opened = open_model(spec, options, lambda share: self.on_progress(share))
        live = _Live(
            opened=opened,
            caches=Caches(spec.slots, spec.context_length, opened.device, opened.dtype),
            prompts=PromptBuilder(opened.template, opened.vocabulary, spec.context_length),
            batch_size=max(options.batch, spec.slots),
            context_length=spec.context_length,
        )
        self._try(live, spec)
        self._live = live
        self._caches = {cache: [] for cache in range(spec.slots)}
        self.on_progress(1.0)
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
        if slot in self._open or not self._caches:
            raise InternalError(f"slot {slot} is not free")
        begun = live.prompts.begin(messages, delivered, delivered_text)
        reuse = choose_reuse(
            begun.tokens,
            self._caches,
            {s.cache: s.tokens[: s.evaluated] for s in self._open.values()},
            self._last_used,
            worth_copying=max(LEAST_COPY, live.context_length // COPY_SHARE),
        )
        if reuse.source != reuse.cache:
            live.caches.copy(reuse.source, reuse.cache, reuse.common)
        del self._caches[reuse.cache]
        self._arrivals += 1
        self._open[slot] = _Sequence(
            slot=slot,
            cache=reuse.cache,
            arrival=self._arrivals,
            tokens=begun.tokens,
            prefill=len(begun.tokens),
            cached=reuse.common,
            evaluated=reuse.common,
            sampler=Sampler(sampling, seed=self._fresh_seed(), position=len(begun.answer)),
        )
        return len(begun.prompt)

    def step(self, held: frozenset[int]) -> Sequence[Emission]:
        """Raises ``EngineFailed``: the model is lost."""
        live = self._loaded()
        able = [s for s in self._open.values() if s.slot not in held and not s.ended]
        # Only a resume can find its context full before it starts.
        full = [s for s in able if s.prefill >= live.context_length]
        for sequence in full:
            sequence.ended = True
        ended: list[Emission] = [Ended(s.slot, FinishReason.CONTEXT) for s in full]
        work = [s.work for s in able if not s.ended]
        if not work:
            return ended
        running = sum(1 for w in work if not w.prefill)
        chunk = self._pace.chunk(running=running, batch=live.batch_size)
        shares = plan(work, batch=live.batch_size, chunk=chunk)
        started = self._seconds()
        logits = self._forward(live, shares)
        drawn = self._draw([s for s in shares if s.sample], logits)
        self._pace = self._pace.observe(
            prefilled=sum(s.count for s in shares) - running,
            running=running,
            seconds=self._seconds() - started,
        )
        return [*ended, *(e for share in shares for e in self._advance(live, share, drawn))]

    def close(self, slot: int) -> None:
        sequence = self._open.pop(slot, None)
        if sequence is None:
            return
        self._caches[sequence.cache] = sequence.tokens[: sequence.evaluated]
        self._arrivals += 1
        self._last_used[sequence.cache] = self._arrivals

    def spell(self, tokens: Sequence[int]) -> bytes:
        """The raw bytes of ``tokens``. Raises ``InvalidRequest`` for a foreign id."""
        vocabulary = self._loaded().opened.vocabulary
        vocabulary.check(tokens)
        return b"".join(map(vocabulary.piece, tokens))

    def unload(self) -> None:
        self._open.clear()
        self._caches.clear()
        live, self._live = self._live, None
        on_gpu = live is not None and live.opened.device.type == "cuda"
        del live
        if on_gpu:
            torch.cuda.empty_cache()

    def _loaded(self) -> _Live:
        if self._live is None:
            raise InternalError("no model is loaded")
        return self._live

    def _try(self, live: _Live, spec: ModelSpec) -> None:
        """A forward of one token: makes the caches, and shows whether this model can be batched."""
        try:
            self._run(live, [0], [Segment(0, 0, 0, 1)], [0])
        except torch.OutOfMemoryError as error:
            raise ModelFileError(
                f"model '{spec.id}': its cache of {spec.slots} x {spec.context_length} tokens does "
                f"not fit {live.opened.facts.device}: {_line(error)}; use fewer slots or a shorter "
                "context"
            ) from None
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ModelFileError(
                f"model '{spec.id}' ({live.opened.facts.architecture}) does not run in batches of "
                f"engine torch: {_line(error)}; run it with another engine"
            ) from None

    def _forward(self, live: _Live, shares: Sequence[Share]) -> Any:
        """Evaluates the batch; logits of the last token of each share that samples, in order."""
        tokens: list[int] = []
        segments = []
        last = {}
        for share in sorted(shares, key=lambda share: share.count > 1):
            sequence = self._open[share.slot]
            first = sequence.evaluated
            segments.append(Segment(sequence.cache, first, len(tokens), share.count))
            tokens += sequence.tokens[first : first + share.count]
            last[share.slot] = len(tokens) - 1
        keep = [last[share.slot] for share in shares if share.sample] or [0]
        try:
            return self._run(live, tokens, segments, keep)
        except (RuntimeError, ValueError, ConfigError) as error:  # OutOfMemoryError is one as well
            raise EngineFailed(
                f"PyTorch could not evaluate a batch of {len(tokens)} tokens: {_line(error)}"
            ) from None

    def _run(
        self, live: _Live, tokens: list[int], segments: Sequence[Segment], keep: list[int]
    ) -> Any:
        device = live.opened.device
        places = [p for s in segments for p in range(s.first, s.first + s.count)]
        self.forwards += 1
        with torch.inference_mode():
            return live.opened.model(
                input_ids=torch.tensor([tokens], device=device),
                position_ids=torch.tensor([places], device=device),
                use_cache=False,
                logits_to_keep=torch.tensor(keep, device=device),
                **{KEYWORD: Batch(live.caches, segments, device)},
            ).logits[0]

    def _draw(self, shares: Sequence[Share], logits: Any) -> dict[int, int | None]:
        """The next token of each share's slot; None where the model computed no numbers."""
        if not shares:
            return {}
        with torch.inference_mode():
            # One transfer for all rows, since each one waits for the GPU.
            likeliest, sound = torch.stack(
                (logits.argmax(-1), torch.isfinite(logits.amax(-1)).long())
            ).tolist()
            found: dict[int, int | None] = {}
            for row, share in enumerate(shares):
                sequence = self._open[share.slot]
                if not sound[row]:
                    found[share.slot] = None
                elif sequence.sampler.plain_greedy:
                    sequence.sampler.skip()
                    found[share.slot] = likeliest[row]
                else:
                    found[share.slot] = sequence.sampler.draw(logits[row], sequence.tokens)
            return found

    def _advance(self, live: _Live, share: Share, drawn: dict[int, int | None]) -> list[Emission]:
        sequence = self._open[share.slot]
        sequence.evaluated += share.count
        emissions: list[Emission] = []
        if sequence.evaluated <= sequence.prefill:
            emissions.append(
                Prefilling(share.slot, sequence.evaluated, sequence.prefill, sequence.cached)
            )
        if not share.sample:
            return emissions
        token = drawn[share.slot]
        if token is None:
            return [*emissions, self._lose(live, sequence)]
        if live.opened.vocabulary.ends_turn(token):
            sequence.ended = True
            return [*emissions, Ended(share.slot, FinishReason.STOP)]
        sequence.tokens.append(token)
        emissions.append(Token(share.slot, token, live.opened.vocabulary.piece(token)))
        if len(sequence.tokens) >= live.context_length:
            sequence.ended = True
            emissions.append(Ended(share.slot, FinishReason.CONTEXT))
        return emissions

    def _lose(self, live: _Live, sequence: _Sequence) -> Failed:
        """What is in its cache must neither be reused nor reach its neighbours."""
        live.caches.clear(sequence.cache)
        sequence.ended = True
        sequence.tokens, sequence.evaluated = [], 0
        return Failed(
            sequence.slot,
            EngineFailed(
                "the next token came out as no number (NaN or infinity); where the model's dtype "
                'is float16, set dtype = "bfloat16" or "float32"'
            ),
        )


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
