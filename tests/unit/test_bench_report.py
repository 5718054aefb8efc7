"""The reports: complete, self-contained, and safe against names off the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.bench.arrivals import ClosedLoop, OpenLoop
from mesh.bench.faults import parse as parse_faults
from mesh.bench.injector import FaultMark
from mesh.bench.objective import Objective
from mesh.bench.page import render
from mesh.bench.plots import Curve, Mark, over_time, percentiles
from mesh.bench.profile import LoadProfile
from mesh.bench.record import Recorder
from mesh.bench.report import build, encode
from mesh.bench.run import LoadResult
from mesh.bench.workload import generated
from mesh.errors import NodeLost
from tests.bench_page import read
from tests.unit.test_bench_check import done, tokens
from tests.unit.test_bench_faults import record
from tests.unit.test_bench_record import assigned, stream

EVIL = "<script>alert('x')</script>"


def recorded(*, streams: int = 30, seconds: int = 5, node: str = "a") -> Recorder:
    to = Recorder(100.0, Objective(ttft=0.205), window_s=float(seconds))
    for number in range(streams):
        due = 100.0 + number * seconds / max(streams, 1)
        seen = stream(to, due)
        seen.saw(assigned(node), due)
        seen.saw(tokens(0), due + 0.01 * (number + 1))
        seen.saw(tokens(1, 3), due + 0.02 * (number + 1))
        seen.saw(done(4), due + 0.02 * (number + 1))
        seen.ended(due + 0.02 * (number + 1))
    return to


def report_of(to: Recorder, *, faults: str | None = None, **profile: Any) -> dict[str, Any]:
    to.close(105.5)
    marks = (FaultMark(at_s=2.0, action="kill", node=EVIL, done=True, note="pid 1"),)
    outcome = LoadResult(
        recorder=to,
        marks=marks if faults else (),
        unlisted_marks=0,
        nodes=(record("a"), record("b")),
        connections=2,
        started_at=1_700_000_000.0,
        wall_s=5.5,
        cpu_s=1.1,
        interrupted=False,
    )
    made = LoadProfile(
        load=profile.pop("load", ClosedLoop(clients=2)),
        duration_s=5.0,
        objective=to.objective,
        faults=parse_faults(faults) if faults else (),
        **profile,
    )
    return build(made, generated(8, 1), outcome)


def test_the_json_holds_the_figures() -> None:
    data = json.loads(encode(report_of(recorded())))
    assert data["requests"] == {
        "due": 30,
        "not_started": 0,
        "finished": 30,
        "failed": 0,
        "abandoned": 0,
        "resumed": 0,
    }
    assert data["latency_ms"]["ttft"]["count"] == 30
    assert data["latency_ms"]["resume_gap"] is None
    assert data["goodput"]["good"] == 20
    assert data["goodput"]["share"] == pytest.approx(2 / 3)
    assert data["throughput"]["tokens"] == 120
    assert data["settings"]["clients"] == 2
    assert data["settings"]["slo"] == "ttft=205ms"
    assert data["check"]["violations"] == []
    assert sum(row["tokens"] for row in data["series"]) == 120
    curve = data["curves_ms"]["ttft"]
    assert [p for p, _ in curve] == sorted({p for p, _ in curve})
    assert [ms for _, ms in curve] == sorted(ms for _, ms in curve)
    assert max(p for p, _ in curve) < 97  # 30 streams do not tell of more


def test_the_page_refers_to_nothing_outside() -> None:
    page = render(report_of(recorded(), faults="kill a at 2s"))
    references, tags, text = read(page)
    assert references == []
    assert tags.count("svg") == 5
    assert "closed loop, 2 clients" in text
    assert "There were none." in text


def test_names_off_the_wire_are_text_and_no_markup() -> None:
    to = recorded(node=EVIL)
    stream(to).ended(104.0, NodeLost(f"{EVIL} is gone"))
    broken = stream(to)
    broken.saw(tokens(3), 104.0)
    broken.ended(104.1)
    page = render(report_of(to, faults="kill a at 2s"))
    references, tags, text = read(page)
    assert references == []
    assert "script" not in tags
    assert EVIL in text
    assert "tokens 0 to 2 never came" in text


def test_a_run_in_which_nothing_happened_has_a_page_too() -> None:
    to = Recorder(100.0, Objective(), window_s=5.0)
    to.skipped(100.5)
    load = OpenLoop(rate=0.2, max_in_flight=1)
    page = render(report_of(to, load=load))
    references, _, text = read(page)
    assert references == []
    assert "open loop, 0.2 requests/s" in text
    assert "nothing was measured" in text


@pytest.mark.parametrize("value", [0.0, 0.003, 0.7, 1.0, 9.999, 10.0, 4321.0, 3.6e6])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_any_value_can_be_plotted(value: float, logarithmic: bool) -> None:
    line = Curve(name="x", colour="#112233", points=[(0, value), (1, None), (2, value)])
    svg = over_time(
        [line], unit="ms", logarithmic=logarithmic, marks=[Mark(at_s=1.0, name="kill a")]
    )
    assert "nan" not in svg.lower()
    assert "kill a" in svg
    curve = Curve(name="x", colour="#112233", points=[(0.0, value)])
    assert "nan" not in percentiles([curve]).lower()


def test_a_day_is_plotted_in_bounded_space_with_its_peak() -> None:
    points = [(second, 1.0) for second in range(86_400)]
    points[50_000] = (50_000, 777.0)
    line = Curve(name="x", colour="#112233", points=points)
    marks = [Mark(at_s=float(i), name="kill a") for i in range(0, 86_400, 2)]
    svg = over_time([line], unit="", logarithmic=False, marks=marks)
    assert len(svg) < 150_000
    assert "kill a" not in svg  # so many names would hide the plot
    assert "800" in svg  # the axis reaches above the peak
