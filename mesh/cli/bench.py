"""`mesh bench`: load on a mesh, measured and checked."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mesh.cli.fleet_names import completes, models, specialties
from mesh.cli.options import Duration, chosen_endpoint, endpoint_option
from mesh.cli.prompt import checked
from mesh.extras import require

if TYPE_CHECKING:
    from mesh.bench.profile import LoadProfile
    from mesh.bench.run import LoadResult
    from mesh.bench.workload import Workload

DEFAULT_CLIENTS = 8
DEFAULT_MAX_IN_FLIGHT = 256
DEFAULT_DURATION_S = 10.0
INTERRUPTED = 130
BROKEN = 1


_FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.command()
@click.option(
    "--rate",
    type=float,
    metavar="R",
    help="Open loop: R requests a second at random (Poisson) times.",
)
@click.option(
    "--clients",
    type=int,
    metavar="N",
    help=f"Closed loop: N clients that ask one after the other.  [default: {DEFAULT_CLIENTS}]",
)
@click.option(
    "--duration",
    type=Duration(),
    metavar="TIME",
    help=f"Requests come for so long: 30, 90s, 2m.  [default: {DEFAULT_DURATION_S:g}s]",
)
@click.option("--requests", type=int, metavar="N", help="So many requests, instead of a duration.")
@click.option(
    "--prompts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help='One prompt a line, or JSON Lines with "prompt".',
)
@click.option(
    "--prompt-words", type=int, metavar="N", help="Words of a made-up prompt.  [default: 16]"
)
@click.option(
    "--specialty",
    metavar="NAME",
    shell_complete=completes(specialties),
    help="Skip the router: this kind of specialist.",
)
@click.option(
    "--model", metavar="ID", shell_complete=completes(models), help="Skip the router: this model."
)
@click.option("--max-tokens", type=int, metavar="N", help="Tokens an answer.  [default: 64]")
@click.option("--temperature", type=float, help="0 is greedy; higher is more random.")
@click.option(
    "--timeout", type=Duration(), metavar="TIME", help="Deadline of each request.  [default: 60s]"
)
@click.option(
    "--slo",
    metavar="LIMITS",
    help="What a good answer keeps: ttft=500ms,itl=100ms,gap=1s,e2e=10s (itl: its mean).",
)
@click.option(
    "--faults",
    metavar="SCHEDULE",
    help="To nodes of this host: 'kill math at 10s; stop code at 5s for 2s; drain chat at 8s; "
    "kill random every 2s'.",
)
@click.option("--warmup", type=int, metavar="N", help="Requests before those that count.")
@click.option(
    "--max-in-flight",
    type=int,
    metavar="N",
    help="Open loop: what is due beyond N open streams is counted as not started.  "
    f"[default: {DEFAULT_MAX_IN_FLIGHT}]",
)
@click.option(
    "--seed", type=int, metavar="N", help="Of arrivals, prompts, random faults.  [default: 1]"
)
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="All figures; '-' prints it.")
@click.option("--html", "html_file", type=_FILE, metavar="FILE", help="A report with plots.")
@endpoint_option()
def bench(
    rate: float | None,
    clients: int | None,
    duration: float | None,
    requests: int | None,
    prompts: Path | None,
    prompt_words: int | None,
    faults: str | None,
    slo: str | None,
    warmup: int | None,
    max_in_flight: int | None,
    seed: int | None,
    json_file: Path | None,
    html_file: Path | None,
    endpoint: str | None,
    timeout: float | None,
    **asked: Any,
) -> None:
    """Put load on a mesh; measure it, and check every stream for gaps and duplicates.

    Ends with 1 when a stream had a gap or a duplicate. Ctrl-C ends it early, with its report.

    \b
    mesh bench --clients 8 --duration 30
    mesh bench --rate 20 --duration 1m --slo ttft=500ms,itl=50ms --html report.html
    mesh bench --clients 4 --duration 20 --faults "kill math at 10s" --json report.json
    """
    require("bench")
    from mesh.bench import workload as work
    from mesh.bench.arrivals import ClosedLoop, OpenLoop
    from mesh.bench.faults import parse as parse_faults
    from mesh.bench.objective import Objective
    from mesh.bench.objective import parse as parse_slo
    from mesh.bench.profile import LoadProfile, RequestTemplate

    _only_one("--rate", rate, "--clients", clients)
    _only_one("--duration", duration, "--requests", requests)
    _only_one("--prompts", prompts, "--prompt-words", prompt_words)
    if max_in_flight is not None and rate is None:
        raise click.UsageError("--max-in-flight goes with --rate; --clients is a limit by itself")
    for file in (json_file, html_file):
        _check_writable(file)
    if json_file == html_file == Path("-"):
        raise click.UsageError("only one of --json and --html can be '-'")
    asked["timeout_s"] = timeout
    ask: dict[str, Any] = {
        name: checked(value, f"--{name}") if isinstance(value, str) else value
        for name, value in asked.items()
        if value is not None
    }
    seed = 1 if seed is None else seed
    if duration is None and requests is None:
        duration = DEFAULT_DURATION_S
    profile = LoadProfile(
        load=OpenLoop(rate=rate, max_in_flight=max_in_flight or DEFAULT_MAX_IN_FLIGHT)
        if rate is not None
        else ClosedLoop(clients=DEFAULT_CLIENTS if clients is None else clients),
        duration_s=duration,
        requests=requests,
        warmup=warmup or 0,
        seed=seed,
        objective=parse_slo(slo) if slo is not None else Objective(),
        faults=parse_faults(faults) if faults is not None else (),
        template=RequestTemplate(**ask),
    )
    if prompts is not None:
        workload = work.from_file(prompts)
    else:
        words = work.DEFAULT_WORDS if prompt_words is None else prompt_words
        workload = work.generated(words, seed)
    outcome = _run(profile, workload, chosen_endpoint(endpoint).split(","))
    code = _report(profile, workload, outcome, json_file, html_file)
    sys.exit(code)


def _run(profile: LoadProfile, workload: Workload, endpoints: list[str]) -> LoadResult:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_bench(profile, workload, endpoints))


async def _bench(profile: LoadProfile, workload: Workload, endpoints: list[str]) -> LoadResult:
    from mesh.bench.run import run
    from mesh.cli.bench_screen import BenchProgress
    from mesh.clock import SystemClock

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)  # a second Ctrl-C does not wait for the report

    # Whatever ends it: nodes that a fault has stopped must be continued.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupted)
    with BenchProgress(profile) as progress:
        return await run(
            profile,
            workload,
            endpoints,
            SystemClock(),
            stop=stop,
            on_begin=progress.begin,
            on_second=progress.second,
        )


def _report(
    profile: LoadProfile,
    workload: Workload,
    outcome: LoadResult,
    json_file: Path | None,
    html_file: Path | None,
) -> int:
    """Writes and prints; returns the exit code."""
    from mesh.bench.page import render
    from mesh.bench.report import build, encode
    from mesh.cli.bench_screen import show
    from mesh.errors import BY_CODE, MeshError

    report = build(profile, workload, outcome)
    if json_file is not None:
        _write(json_file, encode(report))
    if html_file is not None:
        _write(html_file, render(report).encode())
    show(report, sys.stderr if Path("-") in (json_file, html_file) else sys.stdout)
    recorder = outcome.recorder
    if recorder.violated:
        return BROKEN
    if outcome.interrupted:
        return INTERRUPTED
    if recorder.failed and not recorder.finished:
        return BY_CODE.get(report["errors"][0]["code"], MeshError).exit_code
    return 0


def _only_one(first: str, one: object, second: str, other: object) -> None:
    if one is not None and other is not None:
        raise click.UsageError(f"say either {first} or {second}")


def _check_writable(file: Path | None) -> None:
    """Now, not after ten minutes of load."""
    if file is None or file == Path("-"):
        return
    try:
        with file.open("ab"):
            pass
    except OSError as error:
        raise click.UsageError(f"cannot write {file}: {error.strerror}") from None


def _write(file: Path, data: bytes) -> None:
    if file == Path("-"):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        file.write_bytes(data)
