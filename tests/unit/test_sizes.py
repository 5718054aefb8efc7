"""Sizes are told in the unit that reads best."""

from __future__ import annotations

import pytest

from mesh.sizes import in_words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (9_999, "9,999 bytes"),
        (10_000, "10 KiB"),
        (2**20 - 600, "1023 KiB"),
        (2**20, "1.0 MiB"),
        (94 * 2**20, "94 MiB"),
        (999 * 2**20, "999 MiB"),
        (1536 * 2**20, "1.5 GiB"),
    ],
)
def test_a_size_has_the_digits_that_matter(size: int, words: str) -> None:
    assert in_words(size) == words
