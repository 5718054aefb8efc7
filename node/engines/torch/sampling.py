"""One slot's sampling on tensors, with randomness that depends on position alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from mesh.types import Sampling
from node.engines.draws import PENALTY_WINDOW, Draws


class Sampler:
    """Applies ``sampling`` in the order its docstring states. ``position``: index in the whole
    answer of the first token drawn. ``seed`` stands in for a ``sampling.seed`` of None."""

    def __init__(self, sampling: Sampling, *, seed: int, position: int) -> None:
        self._sampling = sampling
        self._draws = Draws(sampling, fresh=seed, position=position)

    @property
    def plain_greedy(self) -> bool:
        """Whether the likeliest token is the answer: then many rows are drawn at once."""
        return self._sampling.temperature <= 0 and self._sampling.repetition_penalty == 1.0

    def skip(self) -> None:
        """Counts a token that was drawn for this slot otherwise."""
        self._draws.skip()

    def draw(self, logits: Any, before: Sequence[int]) -> int:
        """The next token from one row of logits; ``before``: tokens so far, newest last."""
        sampling = self._sampling
        draw = self._draws.random()
        logits = logits.float()
        if sampling.repetition_penalty != 1.0 and before:
            logits = _penalised(logits, before[-PENALTY_WINDOW:], sampling.repetition_penalty)
        if sampling.temperature <= 0:
            return int(logits.argmax())
        ids = None  # of the tokens left, where they are not all of them in order
        if 0 < sampling.top_k < len(logits):
            logits, ids = torch.topk(logits, sampling.top_k)
        if sampling.top_p < 1:
            logits, order = torch.sort(logits, descending=True)
            ids = order if ids is None else ids[order]
            # Up to and with the token that reaches the share: at least one.
            shares = torch.cumsum(torch.softmax(logits, 0), 0)
            count = int((shares < sampling.top_p).sum()) + 1
            logits, ids = logits[:count], ids[:count]
        if sampling.min_p > 0:
            kept = logits >= logits.max() + math.log(min(sampling.min_p, 1.0))
            ids = kept.nonzero()[:, 0] if ids is None else ids[kept]
            logits = logits[kept]
        shares = torch.cumsum(torch.softmax(logits.double() / sampling.temperature, 0), 0)
        at = shares.new_tensor(draw) * shares[-1]
        place = min(int(torch.searchsorted(shares, at, right=True)), len(shares) - 1)
        return place if ids is None else int(ids[place])


def _penalised(logits: Any, before: Sequence[int], penalty: float) -> Any:
    seen = torch.tensor(sorted(set(before)), device=logits.device)
    found = logits[seen]
    logits = logits.clone()
    logits[seen] = torch.where(found > 0, found / penalty, found * penalty)
    return logits
