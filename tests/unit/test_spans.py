"""Spans of time in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.spans import span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.0 ms"),
        (2e-6, "0.002 ms"),
        (0.0004, "0.4 ms"),
        (0.0042, "4.2 ms"),
        (0.05, "50 ms"),
        (0.31, "310 ms"),
        (0.9996, "1.0 s"),
        (2.5, "2.5 s"),
        (90, "90 s"),
        (720, "12 min"),
        (12_600, "3.5 h"),
        (-1, "0.0 ms"),
    ],
)
def test_a_span_has_as_many_digits_as_matter(seconds: float, words: str) -> None:
    assert span(seconds) == words


@given(st.floats(min_value=1e-7, max_value=1e7))
def test_what_took_time_is_never_a_zero(seconds: float) -> None:
    assert float(span(seconds).split()[0]) > 0
