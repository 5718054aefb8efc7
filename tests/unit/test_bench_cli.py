"""`mesh bench` against a made-up mesh that speaks the real protocol: faults found, exit codes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mesh.bench.arrivals import ClosedLoop, Load, OpenLoop
from mesh.bench.profile import LoadProfile, RequestTemplate
from mesh.bench.run import LoadResult, run
from mesh.bench.series import Second
from mesh.bench.workload import generated
from mesh.cli.main import cli
from mesh.clock import SystemClock
from mesh.errors import ConfigError, InvalidRequest, Unreachable
from tests.bench_page import read
from tests.fake_mesh import Broken, FakeMesh, assigned, decided, done, serving, tokens


@pytest.fixture
def mesh() -> Iterator[FakeMesh]:
    with serving(FakeMesh()) as made:
        yield made


def bench(mesh: FakeMesh, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["bench", "--endpoint", mesh.endpoint, *arguments])


async def played(
    mesh: FakeMesh,
    load: Load,
    *,
    stop: asyncio.Event | None = None,
    duration_s: float | None = None,
    requests: int | None = None,
    on_second: Callable[[Second], None] = lambda _: None,
) -> LoadResult:
    profile = LoadProfile(load=load, duration_s=duration_s, requests=requests)
    async with asyncio.timeout(30):
        return await run(
            profile,
            generated(4, 1),
            [mesh.endpoint],
            SystemClock(),
            stop=stop or asyncio.Event(),
            on_second=on_second,
        )


def test_a_whole_mesh_is_exit_code_0_and_its_figures_are_printed(mesh: FakeMesh) -> None:
    result = bench(mesh, "--clients", "2", "--requests", "20", "--warmup", "3")
    assert result.exit_code == 0, result.output
    assert "20 requests, 20 finished" in result.stdout
    assert "checked 23 streams (0 by content): none with a gap" in result.stdout
    assert len(mesh.requests) == 23
    assert len({request.messages[0].content for request in mesh.requests}) == 23


def test_a_stream_without_an_end_is_an_error_that_is_listed(mesh: FakeMesh) -> None:
    mesh.answer = (decided(), assigned(), tokens(0, "a"))
    result = bench(mesh, "--clients", "1", "--requests", "3")
    assert result.exit_code == 1
    assert "ended its stream without a last word" in result.stdout


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((tokens(0, "a"), tokens(2, "c"), done(completion_tokens=2)), "gap at token 1"),
        ((tokens(0, "a"), tokens(0, "a"), done(completion_tokens=2)), "duplicate at token 0"),
        ((tokens(0, "a"), done(completion_tokens=9)), "count at token 1"),
    ],
)
def test_a_broken_stream_is_listed_and_exit_code_1(
    mesh: FakeMesh, tmp_path: Path, answer: tuple[object, ...], said: str
) -> None:
    mesh.answer = (decided(), assigned(), *answer)  # type: ignore[assignment]
    file = tmp_path / "report.json"
    result = bench(mesh, "--clients", "1", "--requests", "3", "--json", str(file))
    assert result.exit_code == 1
    assert said in result.stdout
    data = json.loads(file.read_bytes())
    assert data["check"]["broken_streams"] == 3
    assert len(data["check"]["violations"]) == 3


def test_a_stream_that_ends_without_a_last_word_is_an_error(mesh: FakeMesh) -> None:
    mesh.answer = (decided(), assigned(), tokens(0, "a"))
    result = bench(mesh, "--clients", "1", "--requests", "3")
    assert result.exit_code == 1
    assert "ended its stream without a last word" in result.stdout


def test_what_only_the_warm_up_saw_counts_too(mesh: FakeMesh) -> None:
    mesh.answer = (decided(), assigned(), tokens(1, "b"), done(completion_tokens=1))
    result = bench(mesh, "--clients", "1", "--requests", "1", "--warmup", "2")
    assert result.exit_code == 1
    assert "checked 3 streams (0 by content): 3 with" in result.stdout


@pytest.mark.parametrize(
    ("code", "exit_code"), [("unknown_specialty", 3), ("overloaded", 3), ("node_lost", 1)]
)
def test_when_nothing_finished_the_exit_code_is_the_errors(
    mesh: FakeMesh, code: str, exit_code: int
) -> None:
    mesh.answer = (Broken(code, "it is broken"),)
    result = bench(mesh, "--clients", "1", "--requests", "2")
    assert result.exit_code == exit_code
    assert f"error {code} (2): it is broken" in result.stdout


def test_json_and_html_are_written_and_a_dash_prints_it(mesh: FakeMesh, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = bench(
        mesh, "--rate", "50", "--requests", "10", "--json", "-", "--html", str(page), "--seed", "3"
    )
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert (data["requests"]["finished"], data["settings"]["seed"]) == (10, 3)
    assert "10 finished" in result.stderr
    references, _, text = read(page.read_text())
    assert references == []
    assert "open loop, 50 requests/s" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "5", "--clients", "2"], "either --rate or --clients"),
        (["--duration", "5", "--requests", "2"], "either --duration or --requests"),
        (["--clients", "0"], "--clients must be"),
        (["--clients", "100000"], "--clients must be"),
        (["--rate", "-1"], "--rate must be"),
        (["--rate", "nan"], "--rate must be"),
        (["--requests", "0"], "--requests must be"),
        (["--duration", "soon"], "'soon' is no time"),
        (["--duration", "0"], "'0' is no time"),
        (["--duration", "999h"], "--duration must be"),
        (["--max-in-flight", "3"], "goes with --rate"),
        (["--slo", "ttft=500"], "--slo: "),
        (["--faults", "kill math"], "at character 10"),
        (["--faults", "kill math at 3s", "--duration", "2"], "never happens"),
        (["--faults", "kill nobody at 1s"], "no node 'nobody' in the mesh"),
        (["--faults", "kill math at 1s"], "is on box and this is"),
        (["--max-tokens", "-1"], "max_tokens"),
        (["--temperature", "nan"], "temperature"),
        (["--warmup", "-1"], "--warmup must be"),
        (["--prompt-words", "0"], "--prompt-words must be"),
        (["--json", "/nowhere/report.json"], "cannot write"),
        (["--json", "-", "--html", "-"], "only one of"),
        (["--specialty", "Not a name"], "specialty"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2_before_any_load(
    mesh: FakeMesh, arguments: list[str], said: str
) -> None:
    result = bench(mesh, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert said in line
    assert mesh.requests == []


def test_no_mesh_is_exit_code_4() -> None:
    result = CliRunner().invoke(cli, ["bench", "--endpoint", "127.0.0.1:1"])
    assert (result.exit_code, len(result.stderr.splitlines())) == (4, 1)


async def test_an_open_loop_says_what_it_did_not_start(mesh: FakeMesh) -> None:
    release = threading.Event()
    mesh.answer = (decided(), assigned(), release, tokens(0, "a"), done(completion_tokens=1))
    rows: list[Second] = []

    def on_second(row: Second) -> None:
        rows.append(row)
        release.set()

    load = OpenLoop(rate=60.0, max_in_flight=2)
    outcome = await played(mesh, load, duration_s=1.0, on_second=on_second)
    recorder = outcome.recorder
    assert recorder.not_started > 20
    assert recorder.due == recorder.not_started + recorder.finished
    assert rows[0].in_flight == 2
    # The first two were due at once and answered when the second was over.
    summary = recorder.ttft.summary()
    assert summary is not None
    assert summary.max > 500


async def test_a_closed_loop_has_no_more_streams_than_clients(mesh: FakeMesh) -> None:
    release = threading.Event()
    mesh.answer = (decided(), assigned(), release, tokens(0, "a"), done(completion_tokens=1))
    rows: list[Second] = []

    def on_second(row: Second) -> None:
        rows.append(row)
        release.set()

    outcome = await played(mesh, ClosedLoop(clients=3), requests=9, on_second=on_second)
    assert (rows[0].in_flight, rows[0].due) == (3, 3)
    assert outcome.recorder.finished == 9


async def test_stopping_early_cuts_streams_off_and_keeps_the_figures(mesh: FakeMesh) -> None:
    mesh.answer = (decided(), assigned(), tokens(0, "a"), threading.Event())
    stop = asyncio.Event()
    outcome = await played(
        mesh,
        ClosedLoop(clients=3),
        stop=stop,
        duration_s=3600.0,
        on_second=lambda _: stop.set(),
    )
    assert outcome.interrupted
    assert outcome.recorder.abandoned == 3
    assert outcome.recorder.tokens == 3
    assert 0.9 < outcome.recorder.window_s < 20
    assert outcome.recorder.violated == 0


async def test_a_mesh_that_refuses_is_not_stormed(mesh: FakeMesh) -> None:
    mesh.answer = (Broken("overloaded", "full", retry_after_s=0.2),)
    outcome = await played(mesh, ClosedLoop(clients=1), duration_s=1.0)
    assert 2 <= outcome.recorder.failed <= 6


async def test_a_mesh_that_is_away_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        await played(FakeMesh(endpoint="127.0.0.1:1"), ClosedLoop(clients=1), requests=1)


def test_a_plan_needs_an_end_and_sound_requests() -> None:
    load = ClosedLoop(clients=1)
    with pytest.raises(ConfigError, match="either --duration or --requests"):
        LoadProfile(load=load)
    with pytest.raises(ConfigError, match="--timeout"):
        LoadProfile(load=load, requests=1, template=RequestTemplate(timeout_s=float("inf")))
    with pytest.raises(InvalidRequest):
        LoadProfile(load=load, requests=1, template=RequestTemplate(temperature=-1.0))
