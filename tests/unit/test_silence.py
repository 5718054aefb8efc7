"""Which nodes have fallen silent, with time passed in."""

from __future__ import annotations

from mesh.types import NodeId
from orchestrator.picture.silence import GAPS, Silence

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
