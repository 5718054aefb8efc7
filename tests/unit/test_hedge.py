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
    for _ in range(REMEMBERED):
        policy.first_token(TOY, 2.0)
    assert policy.delay_s(TOY) == 2.0, "old times are forgotten"


def test_the_memory_of_models_is_bounded() -> None:
    policy = HedgePolicy(after_s=0.0)
    for number in range(MOST_MODELS + 10):
        for _ in range(ENOUGH):
            policy.first_token(ModelId(f"m{number}"), 1.0)
    assert policy.delay_s(ModelId("m0")) is None
    assert policy.delay_s(ModelId(f"m{MOST_MODELS + 9}")) == 1.0


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
