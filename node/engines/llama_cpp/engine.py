"""Engine ``llama_cpp``: GGUF models through llama.cpp's C API, with continuous batching.

One context holds one KV sequence a slot; one ``llama_decode`` serves all slots that have work, as
``node/engines/batched.py`` has it.
"""

from __future__ import annotations

from collections.abc import Sequence

import llama_cpp as llama

from mesh.errors import CannotAnswer, EngineFailed, InternalError, InvalidRequest
from mesh.types import Sampling
from node.engines.base import Emission, Failed, ModelFacts, ModelSpec
from node.engines.batched import BatchedEngine, Running
from node.engines.chat_template import ChatTemplate, PromptBuilder, TokenizedPrompt
from node.engines.draws import PENALTY_WINDOW
from node.engines.llama_cpp import adapters as lora
from node.engines.llama_cpp import loading
from node.engines.llama_cpp.counts import Counts
from node.engines.llama_cpp.embedding import LlamaEmbedder, wants_embedding
from node.engines.llama_cpp.grammar import grammar_of
from node.engines.llama_cpp.live import Drawing, LiveModel
from node.engines.llama_cpp.sampling import Candidates, Grammar, Sampler
from node.engines.llama_cpp.speculation import Lookup, speculation_of
from node.engines.llama_cpp.vocabulary import Vocabulary
from node.engines.scheduler import Reuse, Share
from node.engines.template_trial import tried
from node.models.catalogue import CHATML


class LlamaCppEngine(BatchedEngine[LiveModel, Drawing]):
    """``constrains``: it follows a grammar."""

    constrains = True
    counts = Counts()
    _embedder: LlamaEmbedder | None = None  # instead, of a model that makes vectors
    # Of the batch in hand, by slot: guesses, and the row of the last token, which they follow.
    _drafts: dict[int, Sequence[int]]
    _rows: dict[int, int]

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
        source = tried(facts.chat_template or CHATML)
        model = loading.open_model(spec, lambda share: self.on_progress(share))
        try:
            vocabulary = Vocabulary(model)
            template = ChatTemplate(
                source,
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
        live = LiveModel(
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
        self._begin(live, spec.slots)
        return ModelFacts(
            context_length=spec.context_length,
            device=loading.device(spec),
            architecture=facts.architecture,
            parameters=facts.parameters,
            quantisation=facts.quantisation,
            tokenizer_hash=facts.tokenizer_hash,
            template_hash=facts.template_hash,
        )

    def embed(self, slot: int, texts: Sequence[str]) -> int:
        """Raises ``ContextOverflow``, and ``CannotAnswer`` for a model that generates."""
        if self._embedder is None:
            raise CannotAnswer("this model gives answers and makes no embeddings")
        return self._embedder.embed(slot, texts)

    def _sampler(self, live: LiveModel, sampling: Sampling, begun: TokenizedPrompt) -> Drawing:
        sampler = Sampler(
            sampling,
            vocabulary_size=live.vocabulary.size,
            seed=self._fresh_seed(),
            position=len(begun.answer),
            before=begun.tokens[-PENALTY_WINDOW:],
            grammar=self._grammar(live, sampling, begun.answer),
        )
        guesses = live.speculation if sampler.plain else None
        return Drawing(sampler, None if guesses is None else Lookup(guesses))

    def _take(self, live: LiveModel, reuse: Reuse) -> int:
        cache, common = reuse.cache, reuse.common
        copied = reuse.source != cache
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
        return super().step(held) if self._embedder is None else self._embedder.step(held)

    def close(self, slot: int) -> None:
        if self._embedder is not None:
            self._embedder.close(slot)
        super().close(slot)

    def _forget(self, running: Running[Drawing]) -> None:
        running.sampler.sampler.close()

    def unload(self) -> None:
        live = self._end_all()
        embedder, self._embedder = self._embedder, None
        if embedder is not None:
            embedder.unload()
        if live is not None:
            llama.llama_batch_free(live.batch)
            llama.llama_free(live.context)
            llama.llama_model_free(live.model)

    def _loaded(self) -> LiveModel:
        if self._embedder is not None:
            raise CannotAnswer("this model makes embeddings and no answers")
        return super()._loaded()

    def _propose(self, live: LiveModel, shares: Sequence[Share]) -> dict[int, Sequence[int]]:
        """Guesses for running slots, as far as the batch has room."""
        room = live.batch_size - sum(share.count for share in shares)
        drafts: dict[int, Sequence[int]] = {}
        for share in shares:
            running = self._open[share.slot]
            lookup = running.sampler.lookup
            if lookup is None or not share.sample or running.work.prefill:
                continue
            left = live.context_length - len(running.tokens)
            draft = lookup.propose(running.tokens, min(room, left))
            if draft:
                drafts[share.slot] = draft
                room -= len(draft)
        return drafts

    def _evaluate(self, live: LiveModel, shares: Sequence[Share]) -> None:
        """With the guesses behind the tokens of their slots."""
        self._drafts, self._rows = self._propose(live, shares), {}
        batch = live.batch
        row = 0
        for share in shares:
            running = self._open[share.slot]
            first = running.evaluated
            draft = self._drafts.get(share.slot, ())
            tokens = (*running.tokens[first : first + share.count], *draft)
            for place, token in enumerate(tokens, first):
                batch.token[row] = token
                batch.pos[row] = place
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = running.cache
                batch.logits[row] = share.sample and place >= first + share.count - 1
                row += 1
            self._rows[share.slot] = row - 1 - len(draft)
        batch.n_tokens = row
        code = llama.llama_decode(live.context, batch)
        if code != 0:
            raise EngineFailed(
                f"llama.cpp could not evaluate a batch of {row} tokens (code {code})"
                f"{': ' if loading.last_error() else ''}{loading.last_error()}"
            )

    def _sample(self, live: LiveModel, running: Running[Drawing]) -> Sequence[Emission]:
        draft, row = self._drafts.get(running.slot, ()), self._rows[running.slot]
        emissions: list[Emission] = []
        right = 0
        for guess in (*draft, None):
            try:
                token = self._draw(live, running, row + right)
            except InvalidRequest as error:  # its grammar exploded: nobody else is concerned
                running.ended = True
                emissions.append(Failed(running.slot, error))
                break
            emissions += self._say(live, running, token)
            if running.ended or token != guess:
                break
            right += 1
        running.evaluated += right
        if draft:
            self.counts = self.counts.guessed(len(draft), right)
            llama.llama_memory_seq_rm(live.memory, running.cache, running.evaluated, -1)
        return emissions

    def _draw(self, live: LiveModel, running: Running[Drawing], row: int) -> int | None:
        """Raises ``InvalidRequest``."""
        sampler = running.sampler.sampler
        if not sampler.bound:
            return sampler.draw(live.context, row)
        self.work.form(running.slot)
        try:
            return sampler.draw(live.context, row)
        finally:
            self.work.back()

    def _grammar(
        self, live: LiveModel, sampling: Sampling, answer: Sequence[int]
    ) -> Grammar | None:
        """At the end of ``answer``. Raises ``InvalidRequest``."""
        self.work.form()
        text = grammar_of(sampling)
        if text is None:
            self.work.back()
            return None
        grammar = Grammar(live.vocabulary.handle, text, live.candidates)
        try:
            grammar.replay(answer, self.work.form)
        except BaseException:
            grammar.close()
            raise
        self.work.back()
        return grammar
