"""Service level objectives: what is read, what is refused, what a stream misses."""

from __future__ import annotations

import pytest

from mesh.bench.objective import Latency, Objective, parse
from mesh.errors import ConfigError


def test_an_objective_is_read_and_written_back() -> None:
    objective = parse("ttft=500ms, itl=100ms,e2e=10s")
    assert objective == Objective(ttft=0.5, itl=0.1, e2e=10.0)
    assert str(objective) == "ttft=500ms,itl=100ms,e2e=10s"
    assert str(Objective()) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ttft", "'ttft' is no limit"),
        ("speed=5s", "'speed=5s' is no limit"),
        ("ttft=500", "'500' is no time for ttft"),
        ("ttft=0s", "'0s' is no time for ttft"),
        ("ttft=1s,ttft=2s", "'ttft' is given twice"),
        ("ttft=1s,", "'' is no limit"),
        ("", "'' is no limit"),
    ],
)
def test_what_is_no_objective_is_said_to_be_none(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="--slo: ") as caught:
        parse(text)
    assert said in caught.value.message


def test_a_stream_misses_the_limits_that_it_is_over() -> None:
    objective = Objective(ttft=0.5, itl=0.1, gap=0.3, e2e=10.0)
    latency = Latency(ttft=0.5, itl=0.11, gap=0.2, e2e=11.0)
    assert objective.missed(latency) == ("itl", "e2e")
    # A stream of one token has no time between tokens, and so none that is too long.
    assert objective.missed(Latency(ttft=0.1, itl=None, gap=None, e2e=0.1)) == ()
    assert Objective().missed(latency) == ()
