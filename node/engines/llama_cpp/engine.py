"""Engine ``llama_cpp``: GGUF models through llama.cpp's C API, with continuous batching.

One context holds one KV sequence a slot; one ``llama_decode`` serves all slots that have work. A
slot that is closed leaves its tokens in the cache until the room is needed, and the next prompt
that begins alike starts from there, or from a copy of a slot that is still busy.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence

import llama_cpp as llama

from mesh.errors import CannotAnswer, EngineFailed, InternalError
from mesh.types import FinishReason, Message, Sampling
from node.engines.base import Emission, Ended, ModelFacts, ModelSpec, Prefilling, Token
from node.engines.chat_template import ChatTemplate, PromptBuilder
from node.engines.llama_cpp import adapters as lora
from node.engines.llama_cpp import loading
from node.engines.llama_cpp.counts import Counts
from node.engines.llama_cpp.embedding import LlamaEmbedder, wants_embedding
from node.engines.llama_cpp.grammar import grammar_of
from node.engines.llama_cpp.live import LiveModel, LiveSequence
from node.engines.llama_cpp.sampling import PENALTY_WINDOW, Candidates, Grammar, Sampler
from node.engines.llama_cpp.speculation import Lookup, speculation_of
from node.engines.llama_cpp.vocabulary import Vocabulary
from node.engines.scheduler import Pace, Reuse, Share, choose_reuse, plan
from node.models.catalogue import CHATML

# A copy between slots moves a whole slot's cache. It must spare at least this many tokens of
# prefill, and this share of the slot's context.
LEAST_COPY = 16
COPY_SHARE = 128


class LlamaCppEngine:
    """See ``node.engines.base.Engine``. ``fresh_seed`` gives seeds to requests that have none;
    ``on_progress`` hears how far loading is, 0..1. ``constrains``: it follows a grammar."""

    constrains = True

    def __init__(
        self,
        *,
        fresh_seed: Callable[[], int] = lambda: secrets.randbits(32),
        seconds: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.on_progress: Callable[[float], None] = lambda _: None
        self._fresh_seed = fresh_seed
        self._seconds = seconds
        self._live: LiveModel | None = None
        self._embedder: LlamaEmbedder | None = None  # instead, of a model that makes vectors
        self._open: dict[int, LiveSequence] = {}
        self._caches: dict[int, list[int]] = {}  # tokens that each KV sequence not in use holds
        self._last_used: dict[int, int] = {}
        self._arrivals = 0
        self._pace = Pace()
        self.counts = Counts()

    @property
    def guesses(self) -> tuple[int, int]:
        """Tokens guessed since the model was loaded, and those of them that were right."""
        return self.counts.drafted, self.counts.accepted

    def load(self, spec: ModelSpec) -> ModelFacts:
        """Raises ``ModelFileError``, and ``ConfigError`` for an unknown option."""
        if self._live is not None or self._embedder is not None:
            raise InternalError("a model is loaded already; unload it first")
        facts = loading.check(spec)
        if wants_embedding(spec, facts):
            self._embedder = LlamaEmbedder(spec, facts, lambda share: self.on_progress(share))
            return self._embedder.facts
        batch_size = loading.batch_size(spec)
        speculation = speculation_of(spec)
        adapters = lora.adapters_of(spec)
        lora.check(adapters, facts, spec.source)
        model = loading.open_model(spec, lambda share: self.on_progress(share))
        try:
            vocabulary = Vocabulary(model)
            template = ChatTemplate(
                facts.chat_template or CHATML,
                bos=vocabulary.special_text("bos"),
                eos=vocabulary.special_text("eos"),
            )
            opened = lora.open_adapters(adapters, model, spec.source)
            if speculation is not None:
                loading.check_goes_back(spec, model)
            context = loading.open_context(
                spec, model, facts.file_bytes, drafts=speculation.draft if speculation else 0
            )
            lora.apply(adapters, opened, context, spec.source)
        except BaseException:
            llama.llama_model_free(model)
            raise
        self._live = LiveModel(
            model=model,
            context=context,
            memory=llama.llama_get_memory(context),
            batch=llama.llama_batch_init(batch_size, 0, 1),
            batch_size=batch_size,
            vocabulary=vocabulary,
            candidates=Candidates(vocabulary.size),
            speculation=speculation,
            prompts=PromptBuilder(template, vocabulary, spec.context_length),
            context_length=spec.context_length,
        )
        self._caches = {cache: [] for cache in range(spec.slots)}
        return ModelFacts(
            context_length=spec.context_length,
            device=loading.device(spec),
            architecture=facts.architecture,
            parameters=facts.parameters,
            quantisation=facts.quantisation,
            tokenizer_hash=facts.tokenizer_hash,
            template_hash=facts.template_hash,
        )

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
        grammar = self._grammar(live, sampling, begun.answer)
        busy = {s.cache: s.tokens[: s.evaluated] for s in self._open.values()}
        reuse = choose_reuse(
            begun.tokens,
            self._caches,
            busy,
            self._last_used,
            worth_copying=max(LEAST_COPY, live.context_length // COPY_SHARE),
        )
        common = self._take(live, reuse)
        self._arrivals += 1
        sampler = Sampler(
            sampling,
            vocabulary_size=live.vocabulary.size,
            seed=self._fresh_seed(),
            position=len(begun.answer),
            before=begun.tokens[-PENALTY_WINDOW:],
            grammar=grammar,
        )
        guesses = live.speculation if sampler.plain else None
        self._open[slot] = LiveSequence(
            slot=slot,
            cache=reuse.cache,
            arrival=self._arrivals,
            tokens=begun.tokens,
            prefill=len(begun.tokens),
            cached=common,
            evaluated=common,
            sampler=sampler,
            lookup=None if guesses is None else Lookup(guesses),
        )
        return len(begun.prompt)

    def embed(self, slot: int, texts: Sequence[str]) -> int:
        """Raises ``ContextOverflow``, and ``CannotAnswer`` for a model that generates."""
        if self._embedder is None:
            raise CannotAnswer("this model gives answers and makes no embeddings")
        return self._embedder.embed(slot, texts)

    def _grammar(
        self, live: LiveModel, sampling: Sampling, answer: Sequence[int]
    ) -> Grammar | None:
        text = grammar_of(sampling)
        if text is None:
            return None
        grammar = Grammar(live.vocabulary.handle, text, live.candidates)
        try:
            grammar.replay(answer)
        except BaseException:
            grammar.close()
            raise
        return grammar

    def _take(self, live: LiveModel, reuse: Reuse) -> int:
        """Makes the chosen cache the prompt's own; returns how many tokens it starts with."""
        cache, common = reuse.cache, reuse.common
        copied = reuse.source != cache
        del self._caches[cache]
        if copied:
            # Between two split caches llama.cpp copies all or nothing. It notes the copy down, and
            # makes it before the next batch is computed: what the source adds then is not in it.
            llama.llama_memory_seq_rm(live.memory, cache, -1, -1)
            llama.llama_memory_seq_cp(live.memory, reuse.source, cache, -1, -1)
        if not llama.llama_memory_seq_rm(live.memory, cache, common, -1):
            # Recurrent models keep one state, which cannot go back part of the way.
            llama.llama_memory_seq_rm(live.memory, cache, -1, -1)
            common = 0
        self.counts = self.counts.taken(common, copied=copied)
        return common

    def step(self, held: frozenset[int]) -> Sequence[Emission]:
        """Raises ``EngineFailed``: the model is lost."""
        if self._embedder is not None:
            return self._embedder.step(held)
        live = self._loaded()
        able = [s for s in self._open.values() if s.slot not in held and not s.ended]
        # Only a resume can find its context full before it starts.
        full = [s for s in able if s.prefill >= live.context_length]
        for sequence in full:
            sequence.ended = True
        work = [s.work for s in able if not s.ended]
        ended = [Ended(s.slot, FinishReason.CONTEXT) for s in full]
        if not work:
            return ended
        running = sum(1 for w in work if not w.prefill)
        chunk = self._pace.chunk(running=running, batch=live.batch_size)
        shares = plan(work, batch=live.batch_size, chunk=chunk)
        drafts = self._drafts(live, shares)
        started = self._seconds()
        rows = self._decode(live, shares, drafts)
        self._pace = self._pace.observe(
            prefilled=sum(s.count for s in shares) - running,
            running=running,
            seconds=self._seconds() - started,
        )
        return [
            *ended,
            *(
                e
                for share, row in zip(shares, rows, strict=True)
                for e in self._advance(live, share, row, drafts.get(share.slot, ()))
            ),
        ]

    def close(self, slot: int) -> None:
        if self._embedder is not None:
            self._embedder.close(slot)
        sequence = self._open.pop(slot, None)
        if sequence is None:
            return
        sequence.sampler.close()
        self._caches[sequence.cache] = sequence.tokens[: sequence.evaluated]
        self._arrivals += 1
        self._last_used[sequence.cache] = self._arrivals

    def spell(self, tokens: Sequence[int]) -> bytes:
        """The raw bytes of ``tokens``. Raises ``InvalidRequest`` for a foreign id."""
        vocabulary = self._loaded().vocabulary
        vocabulary.check(tokens)
        return b"".join(map(vocabulary.piece, tokens))

    def unload(self) -> None:
        for slot in tuple(self._open):
            self.close(slot)
        live, self._live = self._live, None
        embedder, self._embedder = self._embedder, None
        self._caches.clear()
        if embedder is not None:
            embedder.unload()
        if live is not None:
            llama.llama_batch_free(live.batch)
            llama.llama_free(live.context)
            llama.llama_model_free(live.model)

    def _loaded(self) -> LiveModel:
        if self._embedder is not None:
            raise CannotAnswer("this model makes embeddings and no answers")
        if self._live is None:
            raise InternalError("no model is loaded")
        return self._live

    def _drafts(self, live: LiveModel, shares: Sequence[Share]) -> dict[int, Sequence[int]]:
        """Guesses for running slots, as far as the batch has room."""
        room = live.batch_size - sum(share.count for share in shares)
        drafts: dict[int, Sequence[int]] = {}
        for share in shares:
            sequence = self._open[share.slot]
            if sequence.lookup is None or not share.sample or sequence.work.prefill:
                continue
            left = live.context_length - len(sequence.tokens)
            draft = sequence.lookup.propose(sequence.tokens, min(room, left))
            if draft:
                drafts[share.slot] = draft
                room -= len(draft)
        return drafts

    def _decode(
        self, live: LiveModel, shares: Sequence[Share], drafts: Mapping[int, Sequence[int]]
    ) -> list[int]:
        """Evaluates the batch; returns the batch row of each share's last token, which the rows of
        its draft follow."""
        batch = live.batch
        rows = []
        row = 0
        for share in shares:
            sequence = self._open[share.slot]
            first = sequence.evaluated
            draft = drafts.get(share.slot, ())
            tokens = (*sequence.tokens[first : first + share.count], *draft)
            for place, token in enumerate(tokens, first):
                batch.token[row] = token
                batch.pos[row] = place
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = sequence.cache
                batch.logits[row] = share.sample and place >= first + share.count - 1
                row += 1
            rows.append(row - 1 - len(draft))
        batch.n_tokens = row
        code = llama.llama_decode(live.context, batch)
        if code != 0:
            raise EngineFailed(
                f"llama.cpp could not evaluate a batch of {row} tokens (code {code})"
                f"{': ' if loading.last_error() else ''}{loading.last_error()}"
            )
        return rows

    def _advance(
        self, live: LiveModel, share: Share, row: int, draft: Sequence[int]
    ) -> list[Emission]:
        sequence = self._open[share.slot]
        sequence.evaluated += share.count
        emissions: list[Emission] = []
        if sequence.evaluated <= sequence.prefill:
            emissions.append(
                Prefilling(share.slot, sequence.evaluated, sequence.prefill, sequence.cached)
            )
        if not share.sample:
            return emissions
        right = 0
        for guess in (*draft, None):
            token = self._draw(live, sequence, row + right, emissions)
            if token is None or token != guess:
                break
            right += 1
        sequence.evaluated += right
        if draft:
            self.counts = self.counts.guessed(len(draft), right)
            llama.llama_memory_seq_rm(live.memory, sequence.cache, sequence.evaluated, -1)
        return emissions

    def _draw(
        self, live: LiveModel, sequence: LiveSequence, row: int, emissions: list[Emission]
    ) -> int | None:
        """The sequence's next token; None when it ended with it."""
        token = sequence.sampler.draw(live.context, row)
        if token is None or live.vocabulary.ends_turn(token):
            sequence.ended = True
            emissions.append(Ended(sequence.slot, FinishReason.STOP))
            return None
        sequence.tokens.append(token)
        emissions.append(Token(sequence.slot, token, live.vocabulary.piece(token)))
        if len(sequence.tokens) >= live.context_length:
            sequence.ended = True
            emissions.append(Ended(sequence.slot, FinishReason.CONTEXT))
            return None
        return token
