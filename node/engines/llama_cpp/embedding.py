"""GGUF models as embedders: texts to vectors through llama.cpp, several in one batch.

A model that embeds has a context made for that alone. llama.cpp pools a text's outputs within one
micro-batch, so a batch must hold the longest text whole, every token of it has an output, and
nothing stays in the cache. In a context that also generates, each of these would cost the running
streams: their batch waits while the texts' is computed, and ``llama_set_embeddings`` has the graph
built anew at each turn.

Which outputs make the vector (pooling) the GGUF says, or the option ``pooling``; where nobody does,
it is their mean. Rows are normalised as those of llama.cpp's server are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import llama_cpp as llama
import numpy as np

from mesh.embedding import MAX_DIMENSION
from mesh.errors import (
    CannotAnswer,
    ConfigError,
    ContextOverflow,
    EngineFailed,
    InternalError,
    ModelFileError,
)
from mesh.types import FinishReason
from node.engines.base import Embedded, Emission, Ended, Failed, ModelFacts, ModelSpec
from node.engines.embedding_batch import next_texts, normalised
from node.engines.llama_cpp import loading
from node.engines.llama_cpp.vocabulary import Vocabulary
from node.engines.traits import to_embed
from node.models.catalogue import GgufFacts

MOST_TEXTS = 64  # in one batch, each of them a sequence
POOLING = {
    "mean": llama.LLAMA_POOLING_TYPE_MEAN,
    "cls": llama.LLAMA_POOLING_TYPE_CLS,
    "last": llama.LLAMA_POOLING_TYPE_LAST,
}


def wants_embedding(spec: ModelSpec, facts: GgufFacts) -> bool:
    """Whether the model is to make vectors. Raises ``ConfigError`` for options that contradict."""
    chosen = spec.options.get("embedding")
    if chosen is not None and not isinstance(chosen, bool):
        raise ConfigError(
            f"model '{spec.id}': option 'embedding' must be true or false, not {chosen!r}"
        )
    wanted = to_embed(spec.options, facts)
    unfit = ("lora", "speculative") if wanted else ("pooling",)
    for option in unfit:
        if option in spec.options:
            other = "generate text" if wanted else "embed"
            remedy = "leave it out" if wanted else "set embedding = true as well"
            raise ConfigError(
                f"model '{spec.id}': option '{option}' is for models that {other}; {remedy}"
            )
    return wanted


@dataclass(slots=True)
class _Texts:
    """An open slot: its texts as token ids, of which the first ``done`` have their vectors."""

    tokens: list[list[int]]
    done: int = 0


class LlamaEmbedder:
    """One loaded model; ``node.engines.base.Embeds`` says what its methods do. Raises
    ``ModelFileError`` and ``ConfigError``."""

    def __init__(
        self, spec: ModelSpec, facts: GgufFacts, on_progress: Callable[[float], None]
    ) -> None:
        pooling = _pooling(spec, facts)
        self._context_length = spec.context_length
        # A text is one micro-batch, so that is how long the longest may be.
        self._batch_size = max(loading.batch_size(spec), spec.context_length)
        self._target = loading.batch_size(spec)
        self._slots = spec.slots
        self._open: dict[int, _Texts] = {}
        self._model = loading.open_model(spec, on_progress)
        try:
            self._vocabulary = Vocabulary(self._model)
            self._dimension: int = llama.llama_model_n_embd(self._model)
            self._context = self._open_context(spec, facts, pooling)
        except BaseException:
            llama.llama_model_free(self._model)
            raise
        self._memory = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(self._batch_size, 0, 1)
        self.facts = ModelFacts(
            context_length=spec.context_length,
            device=loading.device(spec),
            architecture=facts.architecture,
            parameters=facts.parameters,
            quantisation=facts.quantisation,
            tokenizer_hash=facts.tokenizer_hash,
            embeds=True,
        )

    def _open_context(self, spec: ModelSpec, facts: GgufFacts, pooling: int) -> Any:
        if self._dimension > MAX_DIMENSION:
            raise ModelFileError(
                f"{spec.source} makes vectors of {self._dimension} numbers; at most "
                f"{MAX_DIMENSION} are carried"
            )
        size = self._batch_size
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = size
        parameters.n_seq_max = min(MOST_TEXTS, llama.llama_max_parallel_sequences())
        parameters.n_outputs_max = size
        parameters.embeddings = True
        parameters.pooling_type = pooling
        # Texts of all lengths share the cells, which a batch takes all anew.
        parameters.kv_unified = True
        parameters.swa_full = True
        return loading.new_context(self._model, parameters, spec, facts.file_bytes)

    def embed(self, slot: int, texts: Sequence[str]) -> int:
        """Raises ``ContextOverflow``."""
        if slot in self._open or not 0 <= slot < self._slots:
            raise InternalError(f"slot {slot} is not free")
        tokens = [self._tokens(number, text) for number, text in enumerate(texts, 1)]
        self._open[slot] = _Texts(tokens)
        return sum(map(len, tokens))

    def _tokens(self, number: int, text: str) -> list[int]:
        least = len(text.encode("utf-8", "replace")) // self._vocabulary.longest
        # What cannot fit is not tokenised: that would take seconds for a megabyte.
        if least > self._context_length:
            raise self._overflow(number, f"at least {least}")
        tokens = self._vocabulary.whole(text)
        if len(tokens) > self._context_length:
            raise self._overflow(number, str(len(tokens)))
        return tokens

    def _overflow(self, number: int, tokens: str) -> ContextOverflow:
        return ContextOverflow(
            f"text {number} has {tokens} tokens and the model takes {self._context_length} a text; "
            "split it, or ask a model with a longer context"
        )

    def step(self, held: frozenset[int]) -> Sequence[Emission]:
        """One batch. Raises ``EngineFailed``: the model is lost."""
        waiting = {
            slot: [len(tokens) for tokens in texts.tokens[texts.done :]]
            for slot, texts in self._open.items()
            if slot not in held and texts.done < len(texts.tokens)
        }
        chosen = next_texts(waiting, tokens=self._target, texts=MOST_TEXTS)
        if not chosen:
            return []
        vectors = self._decode(chosen)
        emissions: list[Emission] = []
        for slot in dict.fromkeys(chosen):
            rows = [row for row, owner in enumerate(chosen) if owner == slot]
            texts = self._open.pop(slot)
            self._open[slot] = texts  # last in turn now
            emissions += self._advance(slot, texts, vectors[rows])
        return emissions

    def _advance(self, slot: int, texts: _Texts, vectors: Any) -> list[Emission]:
        first = texts.done
        texts.done += len(vectors)
        try:
            data = normalised(vectors)
        except ValueError as error:
            texts.done = len(texts.tokens)
            return [Failed(slot, CannotAnswer(f"the model cannot embed these texts: {error}"))]
        emissions: list[Emission] = [Embedded(slot, first, self._dimension, data)]
        if texts.done == len(texts.tokens):
            emissions.append(Ended(slot, FinishReason.STOP))
        return emissions

    def _decode(self, chosen: Sequence[int]) -> Any:
        """A row of floats for each chosen text, as the model pooled it."""
        batch, row = self._batch, 0
        ahead = {slot: self._open[slot].done for slot in chosen}
        for sequence, slot in enumerate(chosen):
            for place, token in enumerate(self._open[slot].tokens[ahead[slot]]):
                batch.token[row] = token
                batch.pos[row] = place
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = sequence
                batch.logits[row] = True
                row += 1
            ahead[slot] += 1
        batch.n_tokens = row
        llama.llama_memory_clear(self._memory, True)
        code = llama.llama_decode(self._context, batch)
        if code != 0:
            raise EngineFailed(
                f"llama.cpp could not embed a batch of {row} tokens (code {code})"
                f"{': ' if loading.last_error() else ''}{loading.last_error()}"
            )
        vectors = np.empty((len(chosen), self._dimension), np.float32)
        for sequence in range(len(chosen)):
            found = llama.llama_get_embeddings_seq(self._context, sequence)
            if not found:
                raise EngineFailed("llama.cpp gave no vector for a text; does the model pool?")
            vectors[sequence] = np.ctypeslib.as_array(
                ctypes.cast(found, ctypes.POINTER(ctypes.c_float)), (self._dimension,)
            )
        return vectors

    def close(self, slot: int) -> None:
        """Idempotent; what is left of its texts is not computed."""
        self._open.pop(slot, None)

    def unload(self) -> None:
        self._open.clear()
        llama.llama_batch_free(self._batch)
        llama.llama_free(self._context)
        llama.llama_model_free(self._model)


def _pooling(spec: ModelSpec, facts: GgufFacts) -> int:
    """Raises ``ConfigError`` for an option that is none, ``ModelFileError`` for a reranker."""
    if "pooling" in spec.options:
        chosen = spec.options["pooling"]
        if chosen not in POOLING:
            raise ConfigError(
                f"model '{spec.id}': option 'pooling' must be {', '.join(POOLING)}, not {chosen!r}"
            )
        return POOLING[chosen]
    if facts.pooling == llama.LLAMA_POOLING_TYPE_RANK:
        raise ModelFileError(
            f"{spec.source} is a reranker: it scores pairs of texts and embeds none; use an "
            "embedding model"
        )
    known = facts.pooling in POOLING.values()
    return facts.pooling if known and facts.pooling is not None else POOLING["mean"]
