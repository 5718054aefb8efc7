"""The KV cache of all slots, and the attention over it: one forward for whatever is in a batch.

A batch is packed: the tokens of all its slots lie side by side in one row, so that everything but
attention is one matrix product, without padding. Attention goes slot by slot through their caches;
the running ones, one token each, go together under a mask. ``transformers`` calls ``attend``
through its ``AttentionInterface``, and hands the batch on as a keyword of the model's own call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import AttentionInterface

from mesh.errors import ModelFileError

NAME = "squadron"  # in transformers' AttentionInterface
KEYWORD = "squadron_batch"  # of the model's call; its layers hand it on to ``attend``


@dataclass(frozen=True, slots=True)
class Segment:
    """``count`` tokens of the batch from row ``start`` are those of ``cache`` from ``first`` on."""

    cache: int
    first: int
    start: int
    count: int


class Caches:
    """Keys and values of ``slots`` sequences of ``context_length`` tokens, made whole at the start:
    what does not fit fails while loading, and not in the middle of an answer."""

    def __init__(self, slots: int, context_length: int, device: Any, dtype: Any) -> None:
        self._slots = slots
        self._context_length = context_length
        self._device = device
        self._dtype = dtype
        self._layers: dict[int, tuple[Any, Any]] = {}

    def layer(self, index: int, key: Any, value: Any) -> tuple[Any, Any]:
        """(slots, heads, tokens, width) twice; widths are those of the first key and value seen,
        in the forward that ends loading."""
        found = self._layers.get(index)
        if found is None:
            found = self._layers[index] = (self._zeros(key), self._zeros(value))
        return found

    def copy(self, source: int, target: int, tokens: int) -> None:
        with torch.inference_mode():
            for keys, values in self._layers.values():
                keys[target, :, :tokens] = keys[source, :, :tokens]
                values[target, :, :tokens] = values[source, :, :tokens]

    def clear(self, cache: int) -> None:
        """Also what is not a number: under a mask it would spread, since 0 times it is not 0."""
        with torch.inference_mode():
            for keys, values in self._layers.values():
                keys[cache].zero_()
                values[cache].zero_()

    def _zeros(self, like: Any) -> Any:
        shape = (self._slots, like.shape[1], self._context_length, like.shape[3])
        if self._device.type != "cpu":
            return torch.zeros(shape, device=self._device, dtype=self._dtype)
        # NumPy's zeros are untouched pages: RAM is taken as the context fills.
        size = torch.empty((), dtype=self._dtype).element_size()
        raw = torch.from_numpy(np.zeros((*shape[:3], shape[3] * size), np.uint8))
        return raw.view(self._dtype)


class Batch:
    """What one forward works on. ``segments`` in the order of the rows, single tokens first."""

    def __init__(self, caches: Caches, segments: Sequence[Segment], device: Any) -> None:
        self._caches = caches
        single = [s for s in segments if s.count == 1]
        self._single = len(single)
        if [s.start for s in single] != list(range(len(single))):
            raise ValueError("single tokens must be the first rows of a batch")
        self._longer = [s for s in segments if s.count > 1]
        self._device = device
        self._rows = torch.tensor([s.cache for s in single], device=device)
        self._places = torch.tensor([s.first for s in single], device=device)
        self._longest = max((s.first + 1 for s in single), default=0)
        # All slots in order need no copy of their caches to be taken together.
        rows = [s.cache for s in single]
        self._range = (
            slice(rows[0], rows[-1] + 1)
            if rows and rows == list(range(rows[0], rows[-1] + 1))
            else None
        )
        self._masks: dict[tuple[int, int | None], Any] = {}

    def attend(
        self, layer: int, query: Any, key: Any, value: Any, scale: float | None, window: int | None
    ) -> Any:
        """(1, heads, rows, width) each; stores key and value, and returns (1, rows, heads, width).
        ``window``: tokens that this layer looks back, itself included."""
        keys, values = self._caches.layer(layer, key, value)
        heads, rows = query.shape[1], query.shape[2]
        group = heads // key.shape[1]
        out = query.new_empty((rows, heads, value.shape[3]))
        if self._single:
            n = self._single
            keys[self._rows, :, self._places] = key[0, :, :n].transpose(0, 1)
            values[self._rows, :, self._places] = value[0, :, :n].transpose(0, 1)
            chosen = self._rows if self._range is None else self._range
            # Heads that share a key stand as its queries: no key is copied for each of them.
            grouped = query[0, :, :n].transpose(0, 1).reshape(n, key.shape[1], group, -1)
            found = functional.scaled_dot_product_attention(
                grouped,
                keys[chosen, :, : self._longest],
                values[chosen, :, : self._longest],
                attn_mask=self._single_mask(window),
                scale=scale,
            )
            out[:n] = found.reshape(n, heads, -1)
        for number, segment in enumerate(self._longer):
            part = slice(segment.start, segment.start + segment.count)
            end = segment.first + segment.count
            keys[segment.cache, :, segment.first : end] = key[0, :, part]
            values[segment.cache, :, segment.first : end] = value[0, :, part]
            grouped = query[0, :, part].reshape(1, key.shape[1], group * segment.count, -1)
            found = functional.scaled_dot_product_attention(
                grouped,
                keys[segment.cache, None, :, :end],
                values[segment.cache, None, :, :end],
                attn_mask=self._longer_mask(number, segment, group, window),
                scale=scale,
            )
            out[part] = found.reshape(heads, segment.count, -1).transpose(0, 1)
        return out[None]

    def _single_mask(self, window: int | None) -> Any:
        mask = self._masks.get((-1, window))
        if mask is None:
            places = torch.arange(self._longest, device=self._device)
            mask = _visible(places, self._places[:, None], window)[:, None, None, :]
            self._masks[-1, window] = mask
        return mask

    def _longer_mask(self, number: int, segment: Segment, group: int, window: int | None) -> Any:
        mask = self._masks.get((number, window))
        if mask is None:
            places = torch.arange(segment.first + segment.count, device=self._device)
            mask = _visible(places, places[segment.first :, None], window).repeat(group, 1)
            self._masks[number, window] = mask
        return mask


def _visible(keys: Any, queries: Any, window: int | None) -> Any:
    seen = keys <= queries
    return seen if window is None else seen & (keys > queries - window)


def attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Any, None]:
    """For ``AttentionInterface``. Raises ``ModelFileError`` for kinds of attention that it does not
    compute; the forward that ends loading finds them out."""
    batch = others.get(KEYWORD)
    if not isinstance(batch, Batch):
        raise ModelFileError(
            f"{type(module).__name__} does not hand its batch to its attention, which engine torch "
            "needs; run this model with another engine"
        )
    for unknown in ("softcap", "s_aux", "position_bias"):
        if others.get(unknown) is not None:
            raise ModelFileError(
                f"{type(module).__name__} has an attention with '{unknown}', which engine torch "
                "does not compute; run this model with another engine"
            )
    return batch.attend(module.layer_idx, query, key, value, scaling, sliding_window), None


AttentionInterface.register(NAME, attend)
