"""Which texts share a batch, and rows of length 1."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.engines.embedding_batch import next_texts, normalised


@pytest.mark.parametrize(
    ("waiting", "tokens", "texts", "chosen"),
    [
        ({}, 10, 4, []),
        ({0: []}, 10, 4, []),
        ({0: [3, 3, 3]}, 10, 4, [0, 0, 0]),
        ({0: [3, 3, 3, 3]}, 10, 4, [0, 0, 0]),
        ({0: [3, 3], 1: [3, 3]}, 10, 4, [0, 1, 0]),
        ({1: [3, 3], 0: [3, 3]}, 10, 4, [1, 0, 1]),
        # What fits the model goes alone, however small a batch is meant to be.
        ({0: [50, 1], 1: [1]}, 10, 4, [0]),
        # One that does not fit any more waits, and with it what comes after it of its slot.
        ({0: [1, 50, 1], 1: [1, 1]}, 10, 9, [0, 1, 1]),
        ({0: [1] * 9, 1: [1] * 9}, 99, 5, [0, 1, 0, 1, 0]),
    ],
)
def test_the_texts_of_a_batch(
    waiting: dict[int, list[int]], tokens: int, texts: int, chosen: list[int]
) -> None:
    assert next_texts(waiting, tokens=tokens, texts=texts) == chosen


@given(
    st.dictionaries(st.integers(0, 7), st.lists(st.integers(1, 40), max_size=20), max_size=6),
    st.integers(1, 100),
    st.integers(1, 64),
)
def test_every_batch_gets_on_and_keeps_its_limits(
    waiting: dict[int, list[int]], tokens: int, texts: int
) -> None:
    chosen = next_texts(waiting, tokens=tokens, texts=texts)
    assert bool(chosen) == any(waiting.values())
    assert len(chosen) <= texts
    sizes = [waiting[slot][chosen[:at].count(slot)] for at, slot in enumerate(chosen)]
    assert len(chosen) <= 1 or sum(sizes) <= tokens


def test_rows_have_length_1_and_a_row_of_zeros_stays() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [1e30, -1e30], [1e-30, 0.0]], np.float32)
    found = np.frombuffer(normalised(rows), "<f4").reshape(4, 2)
    half = 0.5**0.5
    wanted = [[0.6, 0.8], [0.0, 0.0], [half, -half], [1.0, 0.0]]
    assert np.allclose(found, wanted)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="no number"):
        normalised(np.array([[1.0, bad]], np.float32))
