"""When silence is a stall: a table, and what a pace learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.attempts.stall import (
    AWAY_S,
    BESIDE_PREFILL_FLOOR_S,
    LONGEST_S,
    OPENING_S,
    PREFILL_FLOOR_S,
    PREPARING_S,
    SETTLED_SAMPLES,
    TOKEN_FLOOR_S,
    Pace,
    Phase,
    allowance_s,
    first_token_s,
    known_token_s,
    overdue,
    stalled,
)
from tests.attempt_fakes import FakeNode

NOW = 1000.0


def pace(phase: Phase, **given: Any) -> Pace:
    fields: dict[str, Any] = {
        "since": NOW,
        "credit": 64,
        "waiting": True,
        "phase": phase,
        "samples": SETTLED_SAMPLES,
    }
    return Pace(**(fields | given))


@pytest.mark.parametrize(
    ("state", "beside", "allowed_s"),
    [
        (pace(Phase.OPENING), False, OPENING_S),
        (pace(Phase.PREPARING), False, PREPARING_S),
        (pace(Phase.PREFILLING), False, PREFILL_FLOOR_S),
        (pace(Phase.PREFILLING, chunk_s=3.0), False, 24.0),
        (pace(Phase.PREFILLING, chunk_s=30.0), False, LONGEST_S),
        (pace(Phase.DECODING, token_s=0.01), False, TOKEN_FLOOR_S),
        (pace(Phase.DECODING, token_s=0.01), True, BESIDE_PREFILL_FLOOR_S),
        (pace(Phase.DECODING, token_s=0.5), False, 8.0),
        (pace(Phase.DECODING, token_s=0.5), True, 8.0),
        (pace(Phase.DECODING, token_s=2.0), False, 32.0),
        (pace(Phase.DECODING, token_s=20.0), False, LONGEST_S),
        (pace(Phase.DECODING, token_s=0.01, samples=1), False, PREFILL_FLOOR_S),
    ],
)
def test_silence_is_a_stall_beyond_what_the_phase_and_the_pace_allow(
    state: Pace, beside: bool, allowed_s: float
) -> None:
    assert allowance_s(state, beside_prefill=beside) == pytest.approx(allowed_s)
    assert not stalled(state, NOW + allowed_s, beside_prefill=beside)
    assert stalled(state, NOW + allowed_s + 0.01, beside_prefill=beside)


@pytest.mark.parametrize(
    "state",
    [
        pace(Phase.DECODING, waiting=False),
        pace(Phase.PREFILLING, waiting=False),
        pace(Phase.DECODING, credit=0),
        pace(Phase.DECODING, credit=-3),
    ],
    ids=["client away", "client away in prefill", "no credit", "overdrawn"],
)
def test_nothing_is_a_stall_that_is_not_waited_for_or_not_allowed_to_come(state: Pace) -> None:
    assert not stalled(state, NOW + 10_000)


def test_a_node_without_credit_can_still_stall_before_its_first_token() -> None:
    assert stalled(pace(Phase.OPENING, credit=0), NOW + OPENING_S + 1)


def test_a_pace_learns_the_time_between_tokens() -> None:
    state = Pace(since=NOW, heard=NOW, credit=1000)
    now = NOW
    for _ in range(50):
        state.wait(now)
        now += 0.4
        state.received(2, now)
    assert state.phase is Phase.DECODING
    assert state.token_s == pytest.approx(0.2)
    assert state.credit == 900
    assert allowance_s(state) == pytest.approx(3.2)


def test_the_time_that_a_client_stays_away_is_neither_silence_nor_pace() -> None:
    state = Pace(since=NOW, heard=NOW, credit=1000)
    now = NOW
    for _ in range(20):
        now += 30.0  # away
        state.wait(now)
        assert state.since == now
        now += 0.01
        state.received(1, now)
        state.waiting = False
    assert state.token_s == pytest.approx(0.01)


def test_coming_back_at_once_does_not_restart_the_clock() -> None:
    state = Pace(since=NOW, heard=NOW, credit=64)
    state.progressed("prefilling", 10, NOW + 1.0)
    state.progressed("prefilling", 10, NOW + 5.0)
    state.wait(NOW + 5.0 + AWAY_S / 2)
    assert state.since == NOW + 1.0, "a repeated sign is none"


def test_a_prefill_is_judged_by_its_own_steps() -> None:
    state = Pace(since=NOW, heard=NOW, credit=64)
    state.accepted(NOW + 1)
    assert state.phase is Phase.PREPARING
    for step in range(1, 5):
        state.progressed("prefilling", 32 * step, NOW + 1 + 6 * step)
    assert state.phase is Phase.PREFILLING
    assert allowance_s(state) == pytest.approx(48.0)


def test_each_thing_that_a_node_is_at_counts_from_its_own_beginning() -> None:
    state = Pace(since=NOW, heard=NOW, credit=64)
    state.waiting = True
    state.accepted(NOW)
    state.progressed("queued", 90, NOW + 90)  # seconds in the line
    assert state.phase is Phase.PREPARING
    state.progressed("loading", 3, NOW + 100)  # percent of the load
    assert state.since == NOW + 100
    state.progressed("loading", 4, NOW + 140)
    assert not stalled(state, NOW + 140 + PREPARING_S)
    state.progressed("loading", 4, NOW + 190)
    assert stalled(state, NOW + 141 + PREPARING_S), "a load that stands still"
    state.progressed("queued", 1, NOW + 300)
    assert state.since == NOW + 300
    state.progressed("prefilling", 1, NOW + 301)
    assert (state.phase, state.since) == (Phase.PREFILLING, NOW + 301)


def test_a_node_is_on_the_clock_from_the_moment_that_somebody_waits() -> None:
    state = Pace(since=NOW, heard=NOW, credit=64)
    assert not stalled(state, NOW + OPENING_S + 1)
    state.wait(NOW)
    assert stalled(state, NOW + OPENING_S + 1)


def test_the_last_piece_of_the_credit_is_still_owed() -> None:
    state = pace(Phase.DECODING, credit=1, token_s=0.01)
    assert stalled(state, NOW + TOKEN_FLOOR_S + 0.1)
    assert not stalled(state, NOW + TOKEN_FLOOR_S + 0.1, beside_prefill=True)


def test_a_client_that_is_away_for_no_longer_than_a_read_takes_was_not_away() -> None:
    state = Pace(since=0.0, heard=0.0, credit=64)
    state.wait(AWAY_S)
    assert (state.since, state.heard) == (0.0, 0.0)
    state.wait(AWAY_S * 1.01)
    assert (state.since, state.heard) == (AWAY_S * 1.01, AWAY_S * 1.01)


def test_a_count_below_nothing_is_no_progress() -> None:
    state = Pace(since=NOW, heard=NOW, credit=64)
    state.progressed("loading", -1, NOW + 5)
    assert (state.since, state.heard) == (NOW, NOW + 5)
    state.progressed("loading", 0, NOW + 6)
    assert state.since == NOW + 6


def test_a_mean_of_few_waits_says_nothing_and_each_wait_counts_by_a_fifth() -> None:
    state = Pace(since=0.0, heard=0.0, credit=64)
    seen = []
    for now in (1.0, 1.25, 2.0, 2.25):  # the first token's wait is the prefill's
        state.received(1, now)
        seen.append((state.samples, state.token_s, allowance_s(state)))
    assert seen == [
        (0, 0.0, PREFILL_FLOOR_S),
        (1, 0.25, PREFILL_FLOOR_S),
        (2, pytest.approx(0.35), PREFILL_FLOOR_S),
        (3, pytest.approx(0.33), pytest.approx(16 * 0.33)),
    ]


def test_an_event_without_pieces_took_no_time_a_piece() -> None:
    state = Pace(since=0.0, heard=0.0, credit=64)
    state.received(1, 1.0)
    state.received(0, 2.0)
    assert (state.token_s, state.samples, state.credit) == (0.0, 1, 63)


@pytest.mark.parametrize(
    ("tps", "prompt_bytes", "seconds"),
    [
        (0.0, 0, 60.0),
        (0.0, 100, 100.0),
        (0.0, 10**6, 300.0),
        (1000.0, 0, 10.0),
        (100.0, 1000, 50.0),
    ],
)
def test_a_first_token_has_the_time_that_its_models_speed_explains(
    tps: float, prompt_bytes: int, seconds: float
) -> None:
    model = replace(FakeNode("a").record, prefill_tps=tps)
    assert first_token_s(prompt_bytes, model) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("phase", "extra_s"),
    [("prefilling", 0.0), ("queued", 60.0), ("loading", 300.0), ("mining", 0.0)],
)
def test_growth_without_end_is_overdue_in_the_end(phase: str, extra_s: float) -> None:
    pace = Pace(since=NOW, opened=NOW, heard=NOW, credit=9, first_s=60.0, waiting=True)
    pace.accepted(NOW)
    for second in range(60 + int(extra_s)):
        pace.progressed(phase, second, NOW + second)
    assert not overdue(pace, NOW + 60.0 + extra_s)
    assert overdue(pace, NOW + 60.1 + extra_s)
    pace.waiting = False
    assert not overdue(pace, NOW + 9999.0), "nobody waits for it"
    pace.waiting = True
    pace.received(1, NOW + 1.0)
    assert not overdue(pace, NOW + 9999.0), "it has begun"


def test_a_model_of_known_speed_is_not_as_slow_as_it_likes() -> None:
    slow = Pace(since=NOW, credit=9, phase=Phase.DECODING, token_s=30.0, samples=9)
    assert allowance_s(slow) == 60.0
    slow.known_s = 0.01
    assert allowance_s(slow) == 8.0
    slow.known_s = 0.5
    assert allowance_s(slow) == 60.0


@pytest.mark.parametrize(
    ("one", "full", "token_s"), [(0.0, 0.0, 0.0), (100.0, 0.0, 0.04), (100.0, 200.0, 0.02)]
)
def test_what_a_token_takes_with_all_slots_at_work(one: float, full: float, token_s: float) -> None:
    model = replace(FakeNode("a", slots=4).record, decode_tps=one, decode_tps_full=full)
    assert known_token_s(model) == pytest.approx(token_s)
