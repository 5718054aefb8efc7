"""Which texts go into the next batch, and how vectors leave an engine. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def next_texts(waiting: Mapping[int, Sequence[int]], *, tokens: int, texts: int) -> list[int]:
    """The slots whose next text goes into a batch of at most ``tokens`` and ``texts``, a slot once
    for each of its texts.

    ``waiting``: by slot the numbers of tokens of its texts that are left, in their order; the slot
    whose turn it is first. One text of each in turn, so that a request of one text does not wait
    for another's two hundred. The first text always goes: that it fits is known when it is opened.
    """
    chosen: list[int] = []
    taken = dict.fromkeys(waiting, 0)
    open_slots = [slot for slot, sizes in waiting.items() if sizes]
    used = 0
    while open_slots and len(chosen) < texts:
        for slot in tuple(open_slots):
            size = waiting[slot][taken[slot]]
            if (chosen and used + size > tokens) or len(chosen) >= texts:
                open_slots.remove(slot)  # within a slot texts keep their order
                continue
            chosen.append(slot)
            used += size
            taken[slot] += 1
            if taken[slot] == len(waiting[slot]):
                open_slots.remove(slot)
    return chosen


def normalised(vectors: NDArray[np.float32]) -> bytes:
    """Rows of Euclidean length 1 as little-endian float32; a row of zeros stays one. As llama.cpp's
    ``common_embd_normalize`` with ``embd_norm`` 2, which ``/v1/embeddings`` of its server uses.

    Raises ``ValueError`` when a number is NaN or infinite.
    """
    wide = vectors.astype(np.float64)
    if not np.isfinite(wide).all():
        raise ValueError("a vector holds what is no number")
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return (wide / np.where(lengths > 0.0, lengths, 1.0)).astype("<f4").tobytes()
