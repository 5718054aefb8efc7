"""One slot's sampler: llama.cpp's chain, with randomness that depends on position alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import llama_cpp as llama

from mesh.types import Sampling

PENALTY_WINDOW = 64  # tokens that a repetition penalty looks back, as llama.cpp's default

_MASK64 = (1 << 64) - 1
_NO_SEED = 0xFFFF_FFFF  # llama.cpp reads this one as "choose at random"


def seed_at(seed: int, position: int) -> int:
    """The 32-bit seed of the draw of answer token ``position`` (SplitMix64: Steele, Lea and Flood,
    OOPSLA 2014). One generator per draw lets a resume on another node draw on exactly where the
    first node stopped, which a generator's hidden state would not."""
    mixed = (seed * 0x9E3779B97F4A7C15 + position * 0xD1B54A32D192ED03) & _MASK64
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK64
    drawn = (mixed ^ (mixed >> 31)) & 0xFFFF_FFFF
    return drawn if drawn != _NO_SEED else 0


class Sampler:
    """Applies ``sampling`` in the order its docstring states. ``position``: index in the whole
    answer of the first token drawn. ``before``: tokens before it, newest last, for the penalty.
    ``seed`` stands in for a ``sampling.seed`` of None. Must be ``close``d."""

    def __init__(
        self,
        sampling: Sampling,
        *,
        vocabulary_size: int,
        seed: int,
        position: int,
        before: Iterable[int],
    ) -> None:
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

    def draw(self, context: Any, row: int) -> int:
        """The next token from the logits of batch row ``row``."""
        if not self._greedy:
            if llama.llama_sampler_chain_n(self._chain) > self._fixed:
                old = llama.llama_sampler_chain_remove(self._chain, self._fixed)
                llama.llama_sampler_free(old)
            llama.llama_sampler_chain_add(
                self._chain, llama.llama_sampler_init_dist(seed_at(self._seed, self._position))
            )
        self._position += 1
        token: int = llama.llama_sampler_sample(self._chain, context, row)
        return token

    def close(self) -> None:
        """Frees it; idempotent."""
        if self._chain is not None:
            llama.llama_sampler_free(self._chain)
            self._chain = None
