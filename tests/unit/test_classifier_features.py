"""Prompts as numbers: bounded, repeatable, and the same for what differs only in names."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.router import ngrams

TEXTS = ["", "a", "?", "How many apples does Tom have?", "x" * 50_000, "\ud800", "é" * 2000, "\n\n"]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_indices_are_in_range_and_each_stands_once(text: str) -> None:
    indices, values = ngrams.vector(text)
    assert len(indices) == len(values)
    assert indices.min() >= 0
    assert indices.max() < ngrams.SIZE
    assert len(np.unique(indices)) == len(indices)
    assert np.isfinite(values).all()


def test_the_same_text_gives_the_same_numbers() -> None:
    first, second = (ngrams.vector("What is 12 times 7, please?") for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_the_groups_weigh_the_same_whatever_the_length() -> None:
    for text in ("who wrote hamlet", "who wrote hamlet and when was it first played? " * 20):
        indices, values = ngrams.vector(text)
        words = values[indices < ngrams.WORD_BUCKETS]
        assert float((words**2).sum()) == pytest.approx(1.0, abs=1e-3)


def test_the_skeleton_is_the_same_for_other_names_and_numbers() -> None:
    def skeleton(text: str) -> list[int]:
        indices, _ = ngrams.vector(text)
        low, high = ngrams.WORD_BUCKETS, ngrams.WORD_BUCKETS + ngrams.SKELETON_BUCKETS
        return [int(index) for index in indices if low <= index < high]

    one = skeleton("How many apples does Tom have if Ann gives him 12?")
    assert one == skeleton("How many pencils does Julia have if Omar gives him 305?")
    assert one != skeleton("Who has the apples that Tom was given by Ann?")


def test_a_long_prompt_makes_no_more_numbers_than_its_ends() -> None:
    words = " ".join(f"word{number}" for number in range(100_000))
    indices, _ = ngrams.vector(words)
    assert len(indices) < 4 * (ngrams.HEAD + ngrams.TAIL)


def test_words_that_were_never_seen_do_not_fill_the_memory() -> None:
    for start in range(0, 40_000, 100):
        ngrams.vector(" ".join(f"q{number}" for number in range(start, start + 100)))
    assert len(ngrams._KNOWN) <= ngrams._KNOWN_LIMIT
    assert len(ngrams.vector("still works")[0]) > 0
