"""What may come next, guessed from what was said before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ConfigError
from node.engines.base import ModelSpec
from node.engines.llama_cpp.speculation import Lookup, Speculation, speculation_of


def spec(option: Any) -> ModelSpec:
    options = {} if option is None else {"speculative": option}
    return ModelSpec(id="m", source="x", slots=1, context_length=64, threads=1, options=options)


@pytest.mark.parametrize(
    ("tokens", "most", "guess"),
    [
        ([], 9, []),
        ([1, 2], 9, []),
        ([1, 2, 3, 4], 9, []),
        ([1, 2, 3, 1, 2], 9, [3, 1, 2, 3]),
        ([1, 2, 3, 1, 2], 1, [3]),
        ([1, 2, 3, 1, 2], 0, []),
        # The newest time counts.
        ([1, 2, 3, 1, 2, 4, 1, 2], 9, [4, 1, 2, 4]),
        # What repeats itself goes on repeating itself.
        ([7, 7, 7, 7], 9, [7, 7, 7, 7]),
    ],
)
def test_a_guess_is_what_followed_the_same_tokens_last(
    tokens: list[int], most: int, guess: list[int]
) -> None:
    assert Lookup(Speculation(ngram=2, draft=4)).propose(tokens, most) == guess


@given(
    st.lists(st.integers(0, 3), max_size=60),
    st.integers(1, 4),
    st.integers(1, 6),
    st.lists(st.integers(1, 60), max_size=6),
)
def test_growing_in_steps_changes_no_guess(
    tokens: list[int], ngram: int, draft: int, cuts: list[int]
) -> None:
    speculation = Speculation(ngram=ngram, draft=draft)
    grown = Lookup(speculation)
    for cut in sorted(cuts):
        grown.propose(tokens[:cut], draft)
    guess = grown.propose(tokens, draft)
    assert guess == Lookup(speculation).propose(tokens, draft)
    assert len(guess) <= draft
    if guess:
        end = tokens[-ngram:]
        places = [n for n in range(ngram, len(tokens)) if tokens[n - ngram : n] == end]
        longer = tokens + guess
        assert longer[places[-1] : places[-1] + draft] == guess
        assert len(guess) == draft


@pytest.mark.parametrize(
    ("option", "found"),
    [
        (None, None),
        (False, None),
        (True, Speculation(ngram=3, draft=8)),
        ({}, Speculation()),
        ({"ngram": 2, "draft": 4}, Speculation(ngram=2, draft=4)),
    ],
)
def test_the_option(option: Any, found: Speculation | None) -> None:
    assert speculation_of(spec(option)) == found


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (3, "must be a table"),
        ({"n": 3}, "must be a table"),
        ({"ngram": 0}, "ngram must be 1 to 16"),
        ({"draft": 33}, "draft must be 1 to 32"),
        ({"draft": True}, "draft must be"),
    ],
)
def test_an_option_that_is_wrong_is_refused_with_what_is_right(option: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        speculation_of(spec(option))
