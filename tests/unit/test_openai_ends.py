"""What an upstream's word for the end of an answer means, seen before or not."""

from __future__ import annotations

import pytest

from node.engines.openai.ends import Meant, meant, weight


@pytest.mark.parametrize(
    ("word", "means"),
    [
        ("", Meant.NOTHING),
        ("stop", Meant.END),
        ("end_turn", Meant.END),
        ("eos", Meant.END),
        ("length", Meant.CUT),
        ("max_output_tokens", Meant.CUT),
        ("rate_limited", Meant.CUT),
        ("model_length", Meant.CONTEXT),
        ("model_context_window_exceeded", Meant.CONTEXT),
        ("content_filter", Meant.WITHHELD),
        ("sensitive", Meant.WITHHELD),
        ("spii", Meant.WITHHELD),
        ("network_error", Meant.FAILED),
        ("insufficient_system_resource", Meant.FAILED),
        ("malformed_function_call", Meant.FAILED),
        ("tool_calls", Meant.TOOLS),
        ("function_call", Meant.TOOLS),
    ],
)
def test_a_word_means_what_it_speaks_of(word: str, means: Meant) -> None:
    assert meant(word) is means


def test_the_end_that_limits_more_counts() -> None:
    words = ["", "stop", "tool_calls", "length", "model_length", "content_filter", "error"]
    assert sorted(words, key=weight) == words[::-1]
