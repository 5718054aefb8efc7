"""One slot's sampler: llama.cpp's chain, with randomness that depends on position alone."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import llama_cpp as llama
import numpy as np

from mesh.errors import FormExplodes, InvalidRequest
from mesh.types import Sampling
from node.engines.draws import PENALTY_WINDOW
from node.engines.seeding import mixed_at

STEP_S = 0.5  # of CPU, for one step of a grammar, while everybody's tokens wait
_NO_SEED = 0xFFFF_FFFF  # llama.cpp reads this one as "choose at random"
_SECOND_DRAW = 0x5EED_5EED  # for a draw made again, since the grammar refused the first
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


def seed_at(seed: int, position: int) -> int:
    """The 32-bit seed of the draw of answer token ``position``, as ``mixed_at`` but for llama.cpp's
    word for none."""
    drawn = mixed_at(seed, position)
    return drawn if drawn != _NO_SEED else 0


class Candidates:
    """llama.cpp's array of candidate tokens for a vocabulary of ``size``; one serves all slots."""

    def __init__(self, size: int) -> None:
        self._ids = np.arange(size, dtype=np.int32)
        self._data = np.zeros(size, _CANDIDATE)
        self._array = llama.llama_token_data_array()

    def choose(self, context: Any, row: int, samplers: Iterable[Any]) -> int:
        """The token that ``samplers``, one after the other, choose from batch row ``row``."""
        logits = llama.llama_get_logits_ith(context, row)
        self._data["id"] = self._ids
        self._data["logit"] = np.ctypeslib.as_array(logits, self._ids.shape)
        array: Any = self._array
        array.data = self._data.ctypes.data_as(llama.llama_token_data_p)
        array.size, array.selected, array.sorted = len(self._ids), -1, False
        for sampler in samplers:
            llama.llama_sampler_apply(sampler, ctypes.byref(array))
        return int(array.data[array.selected].id)

    def allowed(self, grammar: Any) -> Any:
        """Of every token, whether llama.cpp's sampler ``grammar`` leaves it."""
        self._data["id"] = self._ids
        self._data["logit"] = 0.0
        array: Any = self._array
        array.data = self._data.ctypes.data_as(llama.llama_token_data_p)
        array.size, array.selected, array.sorted = len(self._ids), -1, False
        llama.llama_sampler_apply(grammar, ctypes.byref(array))
        return np.isfinite(self._data["logit"])


class Grammar:
    """llama.cpp's grammar, as far as one answer has come in it. Must be ``close``d.

    ``vocabulary``: a ``llama_vocab``. Every method raises ``InvalidRequest`` once a step of it
    takes more than ``limit_s`` of ``seconds`` (CPU time): what grows in it grows by a factor.
    """

    def __init__(
        self,
        vocabulary: Any,
        text: str,
        candidates: Candidates,
        *,
        limit_s: float = STEP_S,
        seconds: Callable[[], float] = time.thread_time,
    ) -> None:
        """Raises ``InvalidRequest``; ``llama_grammar`` has found what it can say better before."""
        self._limit_s = limit_s
        self._seconds = seconds
        began = seconds()
        self.handle: Any = llama.llama_sampler_init_grammar(vocabulary, text.encode(), b"root")
        if not self.handle:
            raise InvalidRequest(
                "grammar: llama.cpp does not take it; a rule that begins with itself (left "
                "recursion) is the usual reason"
            )
        self._check(began)
        self.candidates = candidates
        self._one: Any = llama.llama_token_data()
        self._array = llama.llama_token_data_array(data=ctypes.pointer(self._one), size=1)

    def allows(self, token: int) -> bool:
        """Whether ``token`` may come next; a token that ends the turn only where all is said."""
        began = self._seconds()
        self._one.id, self._one.logit = token, 0.0
        llama.llama_sampler_apply(self.handle, ctypes.byref(self._array))
        self._check(began)
        return math.isfinite(self._one.logit)

    def allowed(self) -> Any:
        """Of every token, whether it may come next: an array of booleans."""
        began = self._seconds()
        found = self.candidates.allowed(self.handle)
        self._check(began)
        return found

    def accept(self, token: int) -> None:
        """Goes on past ``token``, which it must allow: llama.cpp ends the process otherwise."""
        began = self._seconds()
        llama.llama_sampler_accept(self.handle, token)
        self._check(began)

    def replay(self, tokens: Sequence[int], step: Callable[[], None] = lambda: None) -> None:
        """Goes on past an answer's beginning, and says so before each token. Raises
        ``InvalidRequest`` where it does not fit."""
        for number, token in enumerate(tokens):
            step()
            if not self.allows(token):
                raise InvalidRequest(
                    f"the answer so far does not fit the grammar from its token {number} on"
                )
            self.accept(token)

    def choose(self, context: Any, row: int, samplers: Iterable[Any]) -> int:
        """The token that ``samplers`` choose among those that may come next."""
        began = self._seconds()
        token = self.candidates.choose(context, row, (self.handle, *samplers))
        self._check(began)
        return token

    def _check(self, began: float) -> None:
        took = self._seconds() - began
        if took > self._limit_s:
            self.close()
            raise FormExplodes(
                f"grammar: one step of it took {took:.1f} s, and the limit is {self._limit_s:g} s; "
                "it leaves too many ways open at once: let what may follow be told apart by its "
                "first characters"
            )

    def close(self) -> None:
        """Frees it; idempotent."""
        if self.handle is not None:
            llama.llama_sampler_free(self.handle)
            self.handle = None


class Sampler:
    """Applies ``sampling`` in the order its docstring states. ``position``: index in the whole
    answer of the first token drawn. ``before``: tokens before it, newest last, for the penalty.
    ``seed`` stands in for a ``sampling.seed`` of None. ``grammar`` is at ``position`` already, and
    is this sampler's from now on. Must be ``close``d."""

    def __init__(
        self,
        sampling: Sampling,
        *,
        vocabulary_size: int,
        seed: int,
        position: int,
        before: Iterable[int],
        grammar: Grammar | None = None,
    ) -> None:
        self._grammar = grammar
        self._penalises = sampling.repetition_penalty != 1.0
        self._seed = (seed if sampling.seed is None else sampling.seed) & 0xFFFF_FFFF
        self._position = position
        self._greedy = sampling.temperature <= 0
        self._chain: Any = llama.llama_sampler_chain_init(
            llama.llama_sampler_chain_default_params()
        )
        stages = []
        if sampling.repetition_penalty != 1.0:
            stages.append(
                llama.llama_sampler_init_penalties(
                    vocabulary_size, PENALTY_WINDOW, sampling.repetition_penalty, 0.0, 0.0
                )
            )
        if self._greedy:
            stages.append(llama.llama_sampler_init_greedy())
        else:
            if sampling.top_k > 0:
                stages.append(llama.llama_sampler_init_top_k(sampling.top_k))
            if sampling.top_p < 1:
                stages.append(llama.llama_sampler_init_top_p(sampling.top_p, 1))
            if sampling.min_p > 0:
                stages.append(llama.llama_sampler_init_min_p(sampling.min_p, 1))
            stages.append(llama.llama_sampler_init_temp(sampling.temperature))
        for stage in stages:
            llama.llama_sampler_chain_add(self._chain, stage)
        self._fixed = len(stages)
        if sampling.repetition_penalty != 1.0:
            for token in before:
                llama.llama_sampler_accept(self._chain, token)

    @property
    def plain(self) -> bool:
        """Whether a draw is the likeliest token and depends on nothing but the logits."""
        return self._greedy and not self._penalises and self._grammar is None

    @property
    def bound(self) -> bool:
        """Whether its draws keep to a grammar."""
        return self._grammar is not None

    def draw(self, context: Any, row: int) -> int | None:
        """The next token from the logits of batch row ``row``; None when the grammar allows none,
        not even an end."""
        if self._grammar is not None:
            return self._draw_allowed(self._grammar, context, row)
        self._reseed(self._seed)
        self._position += 1
        token: int = llama.llama_sampler_sample(self._chain, context, row)
        return token

    def _draw_allowed(self, grammar: Grammar, context: Any, row: int) -> int | None:
        """As llama.cpp's ``common_sampler_sample``: most draws fit the grammar, and to look at one
        token costs next to nothing. Only then it looks at all of them, and the draw is made again.
        """
        self._reseed(self._seed)
        token = grammar.candidates.choose(context, row, (self._chain,))
        if not grammar.allows(token):
            self._reseed(self._seed ^ _SECOND_DRAW)
            token = grammar.choose(context, row, (self._chain,))
            if not grammar.allows(token):
                return None
        self._position += 1
        grammar.accept(token)
        if self._penalises:
            llama.llama_sampler_accept(self._chain, token)
        return token

    def _reseed(self, seed: int) -> None:
        if self._greedy:
            return
        if llama.llama_sampler_chain_n(self._chain) > self._fixed:
            old = llama.llama_sampler_chain_remove(self._chain, self._fixed)
            llama.llama_sampler_free(old)
        llama.llama_sampler_chain_add(
            self._chain, llama.llama_sampler_init_dist(seed_at(seed, self._position))
        )

    def close(self) -> None:
        """Frees it and its grammar; idempotent."""
        if self._chain is not None:
            llama.llama_sampler_free(self._chain)
            self._chain = None
        if self._grammar is not None:
            self._grammar.close()
