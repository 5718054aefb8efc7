"""When a second attempt is due, and the budget for it."""

from __future__ import annotations

import pytest

from mesh.errors import ConfigError
from mesh.settings.load import load
from mesh.settings.orchestrator import OrchestratorSettings
from mesh.types import ModelId
from orchestrator.attempts.hedge import BURST, ENOUGH, MOST_MODELS, REMEMBERED, HedgePolicy

TOY = ModelId("toy")


def test_off_by_default() -> None:
    assert HedgePolicy().delay_s(TOY) is None


def test_the_extra_attempts_are_a_share_of_the_requests() -> None:
    policy = HedgePolicy(after_s=0.1, share=0.05)
    extra = 0
    for _ in range(1000):
        assert policy.delay_s(TOY) == 0.1
        extra += policy.spend()
    assert extra == 51, "5 % of 1000, and the one that was there at the start"


def test_what_is_saved_up_is_bounded() -> None:
    policy = HedgePolicy(after_s=0.1, share=0.5)
    for _ in range(1000):
        policy.delay_s(TOY)
    assert sum(policy.spend() for _ in range(1000)) == BURST


def test_the_delay_follows_the_models_own_times() -> None:
    policy = HedgePolicy(after_s=0.0)
    assert policy.delay_s(TOY) is None, "nothing is known yet"
    for number in range(ENOUGH):
        policy.first_token(TOY, 0.1 + number / 1000)
    assert policy.delay_s(TOY) == 0.1 + int(0.95 * ENOUGH) / 1000
    assert policy.delay_s(ModelId("other")) is None
    for seconds in (2.0, 0.1):
        for _ in range(REMEMBERED):
            policy.first_token(TOY, seconds)
        assert policy.delay_s(TOY) == seconds, "old times are forgotten"


def test_the_memory_of_models_is_bounded() -> None:
    policy = HedgePolicy(after_s=0.0)
    for number in range(MOST_MODELS + 10):
        for _ in range(ENOUGH):
            policy.first_token(ModelId(f"m{number}"), 1.0)
    assert policy.delay_s(ModelId("m0")) is None
    assert policy.delay_s(ModelId(f"m{MOST_MODELS + 9}")) == 1.0


def test_by_default_one_request_in_twenty_is_hedged() -> None:
    policy = HedgePolicy(after_s=0.1)
    assert policy.spend()
    assert not policy.spend(), "the one that was there at the start"
    asked = 0
    while not policy.spend():
        policy.delay_s(TOY)
        asked += 1
    assert asked in (20, 21)


def test_requests_earn_their_share_while_nothing_is_known_and_none_when_hedging_is_off() -> None:
    learning = HedgePolicy(after_s=0.0, share=1.0)
    for _ in range(3):
        assert learning.delay_s(TOY) is None
    assert sum(learning.spend() for _ in range(10)) == BURST
    off = HedgePolicy(share=1.0)
    for _ in range(3):
        assert off.delay_s(TOY) is None
    assert sum(off.spend() for _ in range(10)) == 1


def test_a_share_that_is_earned_exactly_is_enough() -> None:
    policy = HedgePolicy(after_s=0.1, share=0.5)
    assert policy.spend()
    policy.delay_s(TOY)
    assert not policy.spend()
    policy.delay_s(TOY)
    assert policy.spend()


def test_few_times_say_nothing() -> None:
    policy = HedgePolicy(after_s=0.0)
    for _ in range(ENOUGH - 1):
        policy.first_token(TOY, 0.1)
    assert policy.delay_s(TOY) is None
    policy.first_token(TOY, 0.1)
    assert policy.delay_s(TOY) == 0.1


def test_the_delay_is_the_95th_percentile_in_whatever_order_the_times_came() -> None:
    policy = HedgePolicy(after_s=0.0)
    for number in reversed(range(100)):
        policy.first_token(TOY, float(number))
    assert policy.delay_s(TOY) == 95.0


def test_times_are_kept_only_where_they_set_the_delay() -> None:
    policy = HedgePolicy(after_s=0.2)
    for _ in range(ENOUGH):
        policy.first_token(TOY, 7.0)
    assert policy.delay_s(TOY) == 0.2
    policy.after_s = 0.0
    assert policy.delay_s(TOY) is None


def test_a_model_that_is_known_pushes_no_other_out() -> None:
    policy = HedgePolicy(after_s=0.0)
    names = [ModelId(f"m{number}") for number in range(MOST_MODELS)]
    for name in names:
        for _ in range(ENOUGH):
            policy.first_token(name, 1.0)
    policy.first_token(names[-1], 1.0)
    assert policy.delay_s(names[0]) == 1.0
    policy.first_token(TOY, 1.0)
    assert policy.delay_s(names[0]) is None, "the longest known makes room for a new one"
    assert policy.delay_s(names[1]) == 1.0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("hedge_after_ms", -1.0),
        ("hedge_after_ms", 1e9),
        ("hedge_share", 1.1),
        ("hedge_share", -0.1),
    ],
)
def test_settings_out_of_range_are_named(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=setting):
        load(OrchestratorSettings, {"name": "one", setting: value})
