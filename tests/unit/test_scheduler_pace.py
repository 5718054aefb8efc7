"""How much prefill goes into a batch: what measured steps teach, by table."""

from __future__ import annotations

import pytest

from node.engines.scheduler import PREFILL_ALONE_S, SMALLEST_CHUNK, StepSpeed


def test_the_first_chunk_is_small_while_the_speed_is_unknown() -> None:
    assert StepSpeed().chunk(running=0, batch=512) == 32


def test_a_slow_box_gets_chunks_that_a_cancel_need_not_wait_long_for() -> None:
    pace = StepSpeed().observe(prefilled=32, running=0, seconds=0.32)  # 10 ms a token
    assert pace.chunk(running=0, batch=512) == int(PREFILL_ALONE_S / 0.01)


def test_a_fast_box_gets_whole_batches() -> None:
    pace = StepSpeed().observe(prefilled=32, running=0, seconds=0.001)
    assert pace.chunk(running=0, batch=512) == 512


def test_prefill_beside_running_answers_stretches_their_step_by_a_bounded_factor() -> None:
    pace = StepSpeed(prefill_s=0.001, decode_s=0.020)
    chunk = pace.chunk(running=4, batch=512)
    assert 20 <= chunk <= 30
    assert 0.020 + chunk * 0.001 <= 3 * 0.020


def test_a_chunk_is_never_so_small_that_prefill_stops() -> None:
    assert StepSpeed(prefill_s=10.0, decode_s=0.001).chunk(running=1, batch=512) == SMALLEST_CHUNK
    assert StepSpeed(prefill_s=10.0).chunk(running=0, batch=4) == SMALLEST_CHUNK


def test_decode_time_is_learnt_from_steps_without_prefill_only() -> None:
    pace = StepSpeed().observe(prefilled=0, running=2, seconds=0.010)
    after = pace.observe(prefilled=50, running=2, seconds=0.060)
    assert after.decode_s == pytest.approx(0.010)
    assert after.prefill_s == pytest.approx(0.001)


@pytest.mark.parametrize("fixed_s", [0.0, 0.009])
@pytest.mark.parametrize("each_s", [0.0002, 0.002, 0.05])
def test_prefill_beside_running_answers_finds_what_fits(fixed_s: float, each_s: float) -> None:
    """Also where a pass costs ``fixed_s`` however few tokens it has."""
    decode_s = 0.014
    pace = StepSpeed(prefill_s=each_s, decode_s=decode_s)
    room = 1.5 * decode_s
    for step in range(60):
        chunk = pace.chunk(running=4, batch=512)
        extra = fixed_s + chunk * each_s
        if step > 30:
            assert extra <= 1.3 * room or chunk == SMALLEST_CHUNK
            assert extra >= 0.6 * room
        pace = pace.observe(prefilled=chunk, running=4, seconds=decode_s + extra)


def test_the_last_few_tokens_of_a_prompt_and_one_slow_step_change_little() -> None:
    pace = StepSpeed(prefill_s=0.001, decode_s=0.02, beside=24)
    assert pace.observe(prefilled=2, running=4, seconds=0.022).beside == 24
    slow = pace.observe(prefilled=24, running=4, seconds=1.0)
    assert slow.beside == 12
    assert slow.prefill_s == pace.prefill_s


@pytest.mark.parametrize(
    ("before", "prefilled", "running", "seconds", "after"),
    [
        # A step without prefill tells of running slots, and of nothing else.
        (StepSpeed(0.001, 0.02, 24), 0, 2, 0.03, StepSpeed(0.001, 0.023, 24)),
        (StepSpeed(0.001, 0.0, 0), 0, 2, 0.03, StepSpeed(0.001, 0.03, 0)),
        # Prefill alone, or beside slots of unknown speed, tells of prefill and of nothing else.
        (StepSpeed(0.001, 0.02, 24), 10, 0, 0.03, StepSpeed(0.0016, 0.02, 24)),
        (StepSpeed(0.001, 0.0, 0), 10, 2, 0.03, StepSpeed(0.0016, 0.0, 0)),
        (StepSpeed(0.0, 0.0, 0), 10, 2, 0.03, StepSpeed(0.003, 0.0, 0)),
        # A step that took no longer than without prefill: a tenth of it is called prefill.
        (StepSpeed(0.0, 0.2, 0), 4, 1, 0.1, StepSpeed(0.0025, 0.2, 5)),
        (StepSpeed(0.001, 2.0, 24), 24, 1, 3.0, StepSpeed(0.001, 2.0, 30)),
    ],
)
def test_what_a_batch_teaches(
    before: StepSpeed, prefilled: int, running: int, seconds: float, after: StepSpeed
) -> None:
    learnt = before.observe(prefilled=prefilled, running=running, seconds=seconds)
    assert learnt.prefill_s == pytest.approx(after.prefill_s)
    assert learnt.decode_s == pytest.approx(after.decode_s)
    assert learnt.beside == after.beside


@pytest.mark.parametrize(
    ("beside", "prefilled", "used", "after"),
    [
        # Room was left: a quarter more, and at least one.
        (24, 24, 0.5, 30),
        (0, 1, 0.5, 2),
        (3, 3, 0.5, 4),
        (5, 5, 0.5, 6),
        (12, 12, 0.2, 15),
        (8, 11, 0.5, 13),
        # The end of a prompt says nothing of what more would have taken.
        (24, 8, 0.5, 24),
        (24, 8, 1.0, 24),
        # Full enough.
        (24, 24, 0.9, 24),
        (20, 24, 0.9, 24),
        # Too much: down by as much, though by no more than half.
        (20, 20, 1.25, 16),
        (20, 20, 2.0, 10),
        (20, 20, 9.0, 10),
        (1, 1, 9.0, SMALLEST_CHUNK),
    ],
)
def test_the_prefill_beside_running_answers_follows_the_time_it_took(
    beside: int, prefilled: int, used: float, after: int
) -> None:
    """``used``: of the 15 s that steps of 10 s allow it."""
    pace = StepSpeed(prefill_s=0.001, decode_s=10.0, beside=beside)
    assert pace.observe(prefilled=prefilled, running=4, seconds=10.0 + 15.0 * used).beside == after


def test_four_fifths_of_its_time_are_not_full_enough_to_stop_growing() -> None:
    assert StepSpeed(0.001, 10.0, 24).observe(prefilled=24, running=4, seconds=22.0).beside == 30


@pytest.mark.parametrize(
    ("pace", "running", "batch", "chunk"),
    [
        (StepSpeed(), 0, 16, 16),
        (StepSpeed(prefill_s=0.001, decode_s=0.02), 0, 512, 100),
        (StepSpeed(prefill_s=0.001, decode_s=0.02), 4, 512, 30),
        (StepSpeed(prefill_s=0.001), 4, 512, 100),
        (StepSpeed(prefill_s=0.001, decode_s=9.0), 4, 512, 100),
        (StepSpeed(prefill_s=0.001, decode_s=0.02), 4, 8, 8),
        # Steps so short that nobody would see what comes on top.
        (StepSpeed(prefill_s=0.00025, decode_s=0.001), 4, 512, 16),
        (StepSpeed(prefill_s=0.001, decode_s=0.02, beside=7), 4, 512, 7),
        (StepSpeed(prefill_s=0.001, decode_s=0.02, beside=7), 4, 5, 5),
        (StepSpeed(prefill_s=0.001, decode_s=0.02, beside=7), 0, 512, 100),
    ],
)
def test_the_next_chunk(pace: StepSpeed, running: int, batch: int, chunk: int) -> None:
    assert pace.chunk(running=running, batch=batch) == chunk
