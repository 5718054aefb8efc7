"""Which nodes have fallen silent, with time passed in."""

from __future__ import annotations

import pytest

from mesh.types import NodeId
from orchestrator.picture.silence import FORGET, GAPS, Silence

A, B = NodeId("a"), NodeId("b")


def beating(every_s: float, *, after_s: float = 1.0, until: float = 10.0) -> tuple[Silence, float]:
    silence = Silence(after_s)
    now = 0.0
    while now <= until:
        silence.heard(A, now)
        silence.heard(B, now)
        now += every_s
    return silence, now - every_s


def test_a_node_that_misses_its_heartbeats_is_a_suspect_until_it_is_heard() -> None:
    silence, last = beating(0.25)
    silence.heard(B, last + 0.9)
    assert silence.fallen(last + 0.99, late_s=0.0) == ()
    assert silence.fallen(last + 1.01, late_s=0.0) == (A,)
    assert silence.suspects == {A: last}
    assert silence.fallen(last + 1.05, late_s=0.0) == (), "it is told once"
    assert silence.heard(A, last + 1.2)
    assert not silence.suspects
    assert not silence.heard(A, last + 1.3)


def test_a_node_that_beats_slowly_is_given_its_own_gaps() -> None:
    silence, last = beating(0.8)
    silence.heard(B, last + 2.3)
    assert silence.fallen(last + GAPS * 0.8 - 0.05, late_s=0.0) == ()
    assert silence.fallen(last + GAPS * 0.8 + 0.05, late_s=0.0) == (A,)


def test_a_long_silence_that_ended_does_not_make_the_next_one_longer() -> None:
    silence, last = beating(0.25)
    silence.fallen(last + 5.0, late_s=0.0)
    silence.heard(A, last + 5.0)
    assert silence.limit_s(A) == 1.0


def test_time_in_which_this_process_did_not_run_is_nobodys_silence() -> None:
    silence, last = beating(0.25)
    assert silence.fallen(last + 5.0, late_s=4.9) == ()
    assert silence.fallen(last + 5.06, late_s=0.0) == ()
    assert silence.fallen(last + 6.0, late_s=0.0) == (A, B), "but the next one counts"


def test_a_node_whose_link_went_down_is_no_suspect() -> None:
    silence, last = beating(0.25)
    silence.fallen(last + 2.0, late_s=0.0)
    assert silence.forget(A)
    assert not silence.forget(A)
    assert set(silence.suspects) == {B}
    assert silence.fallen(last + 99.0, late_s=0.0) == ()


def test_a_long_gap_is_forgotten_little_by_little_and_is_each_nodes_own() -> None:
    silence, last = beating(0.8)
    silence.heard(A, last + 0.1)
    assert silence.limit_s(A) == pytest.approx(GAPS * FORGET * 0.8)
    assert silence.limit_s(B) == pytest.approx(GAPS * 0.8)
    silence.heard(A, last + 0.2)
    assert silence.limit_s(A) == pytest.approx(GAPS * FORGET**2 * 0.8)


def test_of_a_node_that_is_new_or_was_forgotten_nothing_is_known() -> None:
    silence, last = beating(0.8)
    assert silence.limit_s(NodeId("new")) == 1.0
    silence.forget(A)
    silence.heard(A, last + 9.0)
    assert silence.limit_s(A) == 1.0
    assert silence.limit_s(B) == pytest.approx(GAPS * 0.8)


def test_silence_of_just_the_limit_is_none_yet() -> None:
    silence = Silence(1.0)
    silence.heard(A, 0.0)
    assert silence.fallen(1.0, late_s=0.0) == ()
    assert silence.fallen(1.0625, late_s=0.0) == (A,)


@pytest.mark.parametrize(
    ("late_s", "fallen"), [(0.0, True), (0.22, True), (0.25, True), (0.26, False), (3.0, False)]
)
def test_a_look_that_is_late_by_more_than_a_quarter_of_the_limit_tells_of_this_process(
    late_s: float, fallen: bool
) -> None:
    silence = Silence(1.0)
    silence.heard(A, 0.0)
    assert silence.fallen(5.0, late_s=late_s) == ((A,) if fallen else ())
