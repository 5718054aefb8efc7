"""Figures: distributions, one stream's latencies, seconds, the window, and the limits on memory."""

from __future__ import annotations

import pytest

from mesh.bench.distribution import LONGEST_S, Distribution
from mesh.bench.objective import Objective
from mesh.bench.record import MAX_CODES, MAX_LISTED, OTHER, Recorder
from mesh.bench.series import Second
from mesh.bench.stream import Observation, Simulated
from mesh.errors import NodeLost, Overloaded
from mesh.stream import Assigned
from mesh.types import ModelId, NodeId
from tests.unit.test_bench_check import REQUEST, done, tokens

SIMULATED: Simulated = frozenset(
    {(NodeId("node-a"), ModelId("m")), (NodeId("node-b"), ModelId("m"))}
)


def assigned(name: str = "a", attempt: int = 1) -> Assigned:
    return Assigned(
        node=NodeId(f"node-{name}"), node_name=name, model=ModelId("m"), attempt=attempt
    )


def recorder(objective: Objective | None = None, *, window_s: float | None = None) -> Recorder:
    return Recorder(100.0, objective or Objective(), window_s=window_s)


def stream(to: Recorder, due: float = 100.0) -> Observation:
    to.began(due, due)
    return Observation(to, REQUEST, due=due, simulated=SIMULATED)


def test_percentiles_are_within_a_thousandth() -> None:
    distribution = Distribution()
    for number in range(1, 10_001):
        distribution.record(number / 1000)
    p50, p90, p99, p999 = distribution.milliseconds((50.0, 90.0, 99.0, 99.9))
    assert p50 == pytest.approx(5_000, rel=2e-3)
    assert p90 == pytest.approx(9_000, rel=2e-3)
    assert p99 == pytest.approx(9_900, rel=2e-3)
    assert p999 == pytest.approx(9_990, rel=2e-3)
    summary = distribution.summary()
    assert summary is not None
    assert (summary.count, summary.min, summary.max) == (10_000, 1.0, 10_000.0)
    assert summary.mean == pytest.approx(5_000.5)


def test_no_percentile_is_above_what_was_recorded() -> None:
    distribution = Distribution(digits=2)
    distribution.record(1.2345)
    assert distribution.milliseconds((50.0, 99.9)) == pytest.approx((1234.5, 1234.5))


def test_what_is_beyond_the_range_counts_as_its_end() -> None:
    distribution = Distribution()
    distribution.record(10 * LONGEST_S)
    distribution.record(-1.0)
    summary = distribution.summary()
    assert summary is not None
    assert (summary.count, summary.min, summary.max) == (2, 0.0, LONGEST_S * 1000)


def test_an_empty_distribution_has_no_summary() -> None:
    distribution = Distribution()
    assert distribution.summary() is None
    distribution.record(1.0)
    distribution.reset()
    assert distribution.summary() is None
    assert distribution.milliseconds((50.0,)) == (0.0,)


def test_latencies_count_from_when_the_request_was_due() -> None:
    to = recorder()
    to.began(100.0, 100.4)  # sent 0.4 s late
    seen = Observation(to, REQUEST, due=100.0, simulated=SIMULATED)
    seen.saw(assigned(), 100.5)
    seen.saw(tokens(0), 101.0)
    seen.saw(tokens(1), 101.2)
    seen.saw(done(2), 101.3)
    seen.ended(101.3)
    assert to.ttft.milliseconds((50.0,))[0] == pytest.approx(1000, rel=2e-3)
    assert to.itl.milliseconds((50.0,))[0] == pytest.approx(200, rel=2e-3)
    assert to.e2e.milliseconds((50.0,))[0] == pytest.approx(1300, rel=2e-3)
    assert to.start_lag.milliseconds((50.0,))[0] == pytest.approx(400, rel=2e-3)
    assert (to.finished, to.by_content, to.violated, to.tokens) == (1, 1, 0, 2)


def test_tokens_of_one_message_share_its_time() -> None:
    to = recorder()
    seen = stream(to)
    seen.saw(assigned(), 100.0)
    seen.saw(tokens(0, 3), 101.0)
    seen.saw(tokens(3, 5), 102.0)
    summary = to.itl.summary()
    assert summary is not None
    assert (summary.count, summary.p50) == (7, 0.0)
    assert summary.max == pytest.approx(1000)
    assert to.together == 6


def test_a_resume_is_told_with_the_pause_its_reader_saw() -> None:
    to = recorder()
    seen = stream(to)
    for event, now in (
        (assigned("a"), 100.1),
        (tokens(0, 2), 100.5),
        (assigned("b", 2), 100.9),
        (tokens(2), 101.25),
        (tokens(3), 101.3),
        (done(4), 101.3),
    ):
        seen.saw(event, now)
    seen.ended(101.3)
    (resume,) = to.resumes
    assert (resume.before, resume.after, resume.index) == ("a", "b", 2)
    assert resume.gap_ms == pytest.approx(750)
    assert resume.at_s == pytest.approx(1.25)
    assert to.resumed == 1
    assert {name: share.tokens for name, share in to.nodes.items()} == {"a": 2, "b": 2}


def test_a_retry_before_the_first_token_is_no_resume() -> None:
    to = recorder()
    seen = stream(to)
    seen.saw(assigned("a"), 100.1)
    seen.saw(assigned("b", 2), 100.9)
    seen.saw(tokens(0), 101.0)
    seen.saw(done(1), 101.0)
    seen.ended(101.0)
    assert (to.resumed, to.resumes, to.by_content) == (0, [], 1)


def test_text_is_not_checked_when_one_of_its_makers_is_a_real_engine() -> None:
    to = recorder()
    seen = stream(to)
    seen.saw(assigned("a"), 100.0)
    seen.saw(tokens(0), 100.0)
    seen.saw(assigned("elsewhere", 2), 100.0)
    seen.saw(assigned("a", 3), 100.0)
    seen.ended(100.0, NodeLost("gone"))
    assert (to.checked, to.by_content) == (1, 0)


def test_only_streams_within_the_objective_are_good() -> None:
    to = recorder(Objective(ttft=0.5, gap=1.0))
    for first, second in ((100.2, 100.3), (100.6, 100.7), (100.2, 102.0)):
        seen = stream(to)
        seen.saw(assigned(), 100.0)
        seen.saw(tokens(0), first)
        seen.saw(tokens(1), second)
        seen.saw(done(2), second)
        seen.ended(second)
    broken = stream(to)
    broken.saw(tokens(1), 100.1)
    broken.saw(done(1), 100.1)
    broken.ended(100.1)
    stream(to).ended(100.1, Overloaded("full"))
    to.skipped(100.1)
    assert (to.due, to.finished, to.failed, to.not_started, to.good) == (6, 4, 1, 1, 1)
    assert to.missed == {"ttft": 1, "gap": 1}
    assert to.violated == 1


def test_what_comes_after_the_window_counts_in_no_rate() -> None:
    to = recorder(window_s=2.0)
    for end in (101.0, 101.9, 102.5):
        seen = stream(to)
        seen.saw(assigned(), 100.0)
        seen.saw(tokens(0, 10), end)
        seen.saw(done(10), end)
        seen.ended(end)
    to.close(103.0)
    assert (to.finished, to.window_finished) == (3, 2)
    assert (to.tokens, to.window_tokens) == (30, 20)
    assert to.window_s == 2.0
    assert to.e2e.count == 3


def test_an_open_window_ends_with_the_run_and_an_interrupted_one_too() -> None:
    for window_s in (None, 60.0):
        to = recorder(window_s=window_s)
        to.close(104.5)
        assert to.window_s == pytest.approx(4.5)


def test_every_second_has_a_row_also_when_nothing_happens() -> None:
    rows: list[Second] = []
    to = Recorder(100.0, Objective(), on_second=rows.append)
    seen = stream(to, 100.2)
    seen.saw(assigned(), 100.3)
    seen.saw(tokens(0, 2), 100.6)
    to.roll(103.1)
    seen.saw(tokens(2), 103.4)
    seen.saw(done(3), 103.4)
    seen.ended(103.4)
    to.close(103.5)
    assert [row.at_s for row in rows] == [0, 1, 2, 3]
    assert [row.tokens for row in rows] == [2, 0, 0, 1]
    assert [row.in_flight for row in rows] == [1, 1, 1, 0]
    assert [row.finished for row in rows] == [0, 0, 0, 1]
    assert rows[0].ttft_p50 == pytest.approx(400, rel=0.02)
    assert rows[1].ttft_p50 is None
    assert rows[3].itl_p99 == pytest.approx(2800, rel=0.02)
    assert to.series.rows == rows


def test_names_off_the_wire_cannot_grow_the_report() -> None:
    to = recorder()
    for number in range(3 * MAX_CODES):
        error = NodeLost("gone")
        error.code = f"code-{number}"  # type: ignore[misc]
        stream(to).ended(100.0, error)
    assert len(to.errors) == MAX_CODES + 1
    assert to.errors[OTHER].count == 2 * MAX_CODES
    for _ in range(2 * MAX_LISTED):
        broken = stream(to)
        broken.saw(tokens(5), 100.0)
        broken.ended(100.0, NodeLost("gone"))
    assert len(to.violations) == MAX_LISTED
    assert to.violated == 2 * MAX_LISTED


def test_a_stream_that_we_cut_off_is_checked_and_no_failure() -> None:
    to = recorder()
    seen = stream(to)
    seen.saw(assigned(), 100.0)
    seen.saw(tokens(0), 100.0)
    seen.saw(tokens(5), 100.1)
    seen.cut_off(100.2)
    assert (to.abandoned, to.failed, to.finished, to.in_flight) == (1, 0, 0, 0)
    assert to.violated == 1


def test_a_warm_up_leaves_its_checks_and_nothing_else() -> None:
    warm = recorder()
    seen = stream(warm)
    seen.saw(tokens(3), 100.0)
    seen.saw(done(1), 100.1)
    seen.ended(100.2)
    to = recorder()
    to.adopt_checks(warm)
    assert (to.checked, to.violated, len(to.violations)) == (1, 1, 1)
    assert (to.due, to.finished, to.ttft.count) == (0, 0, 0)
