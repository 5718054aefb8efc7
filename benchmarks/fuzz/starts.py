"""Some hundreds of starts in odd environments: is there ever anything but one clear end?

Method. Each start is a command of ``mesh`` with two or three oddities drawn by its number: limits
on files, memory, processes and file sizes, missing or wrong variables, folders that are files or
cannot be written to, closed standard streams, a working folder that is gone. A command that serves
is told to stop after ``SERVES_S`` seconds, if it lives so long. A finding is an end by a signal
that nobody sent, an exit code that the commands do not have, a stack of Python or Go on the screen,
more than ``MOST_LINES`` lines of complaint, or no end at all.

Run: ``python -m benchmarks.fuzz.starts [--starts 300] [--seed 1] [--only N]``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.data_plane_rig import etcd_in
from benchmarks.figures import machine
from training.rigs.odd_start import odd

SERVES_S = 4.0
ENDS_S = 25.0  # the supervisor's 15 s, and a start under a limit
MOST_LINES = 6
CODES = {0, 1, 2, 3, 4, 5, 130, 141, 143}
STACKS = (
    "Traceback (most recent call last)",
    "goroutine ",
    "panic:",
    "Fatal Python error",
    "core dumped",
)
CALLS: tuple[tuple[str, ...], ...] = (
    ("--version",), ("status",), ("status", "--json"), ("ask", "hello"), ("ask", "-"),
    ("route", "hello"), ("embed", "hello"), ("models", "fit", "/nowhere.gguf", "--cpu"),
    ("rules", "check", "{folder}/rules.toml"), ("down",),
    ("node", "--config", "{folder}/rules.toml"),
)  # fmt: skip
SERVERS: tuple[tuple[str, ...], ...] = (
    ("node", "--model", "sim", "--engine", "simulated", "--specialty", "math", "--etcd", "{etcd}"),
    ("node", "--model", "/nowhere.gguf", "--specialty", "x", "--etcd", "{etcd}"),
    ("orchestrator", "--bind", "127.0.0.1:0", "--etcd", "{etcd}"),
    ("up", "--nodes", "1", "--engine", "simulated", "--endpoint", "127.0.0.1:0",
     "--etcd-port", "0"),
)  # fmt: skip


@dataclass(slots=True)
class Start:
    """``limits``: by resource; ``closed``: file descriptors that are closed before the start."""

    arguments: list[str]
    serves: bool
    environment: dict[str, str]
    folder: Path
    gone: bool = False
    limits: dict[int, int] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)


def oddities(rng: random.Random) -> list[tuple[str, Callable[[Start], None]]]:
    """What may be wrong with a start, by name."""

    def variable(name: str, *values: str) -> tuple[str, Callable[[Start], None]]:
        value = rng.choice(values)
        return f"{name}={value[:40]!r}", lambda start: start.environment.update({name: value})

    def without(name: str) -> tuple[str, Callable[[Start], None]]:

        def away(start: Start) -> None:
            start.environment.pop(name, None)

        return f"no {name}", away

    def limit(name: str, *values: int) -> tuple[str, Callable[[Start], None]]:
        value, number = rng.choice(values), getattr(resource, f"RLIMIT_{name}")
        return f"{name} {value:,}", lambda start: start.limits.update({number: value})

    def closed(number: int) -> tuple[str, Callable[[Start], None]]:
        return f"fd {number} closed", lambda start: start.closed.append(number)

    def state(start: Start) -> None:
        place = start.folder / "is-a-file"
        place.write_text("x")
        start.environment["MESH_STATE_DIR"] = str(place)

    def gone(start: Start) -> None:
        start.gone = True

    return [
        variable("http_proxy", "http://127.0.0.1:1", "nonsense", "socks5://x"),
        variable("grpc_proxy", "http://127.0.0.1:1"),
        variable("LC_ALL", "C", "POSIX", "de_DE.UTF-8", "xx_YY.nothing"),
        variable("PYTHONIOENCODING", "ascii", "latin-1", "utf-16"),
        variable("COLUMNS", "0", "1", "40", "-5", "x", "99999"),
        variable("TERM", "dumb", "", "nothing"),
        variable("TMPDIR", "/nowhere", "/dev/null", ""),
        variable(
            "MESH_ENDPOINT", "", "x", "127.0.0.1:99999", "127.0.0.1:1", "[::1]:1", "a,b", "é:1"
        ),
        variable("MESH_ETCD_PORT", "", "x", "-1", "99999", "1"),
        variable(
            "MESH_STATE_DIR",
            "",
            "/proc/nowhere",
            "/dev/null",
            "~nobody/x",
            "relative",
            "/" + "x" * 300,
        ),
        variable("XDG_STATE_HOME", "/proc/1", "relative"),
        variable("HOME", "", "/nowhere", "/dev/null"),
        without("HOME"),
        without("PATH"),
        without("USER"),
        limit("NOFILE", 8, 16, 24, 32, 48, 64, 96, 128),
        limit("AS", 200 << 20, 400 << 20, 700 << 20, 1 << 30, 2 << 30),
        limit("DATA", 64 << 20, 128 << 20, 256 << 20),
        limit("FSIZE", 0, 1, 4_096, 1 << 20),
        limit("STACK", 256 << 10, 1 << 20),
        limit("CORE", 0),
        closed(0),
        closed(1),
        closed(2),
        ("state folder is a file", state),
        ("working folder is gone", gone),
    ]


def start_of(seed: int, number: int, etcd: str, folder: Path) -> Start:
    """Start ``number`` of the run with ``seed``: the same one each time."""
    rng = random.Random(f"{seed} start {number}")
    serves = rng.random() < 0.4
    names = {"etcd": etcd, "folder": str(folder)}
    arguments = [word.format(**names) for word in rng.choice(SERVERS if serves else CALLS)]
    kept = ("PATH", "LANG", "USER", "VIRTUAL_ENV")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {
        "PYTHONPATH": str(Path.cwd()),
        "HOME": str(folder),
        "MESH_STATE_DIR": str(folder / "state"),
    }
    start = Start(arguments, serves, environment, folder)
    for name, make in rng.sample(oddities(rng), rng.choice((1, 1, 2, 3))):
        make(start)
        start.oddities.append(name)
    (folder / "rules.toml").write_bytes(
        rng.choice((b"", b"x", b"\xff", b"[[rules]]\n", b"[" * 9_000))
    )
    return start


def run(start: Start) -> tuple[int | None, str]:
    """Its exit code (negative: the signal), None when it does not end; what it said on both."""

    command = odd(
        [sys.executable, "-m", "mesh.cli", *start.arguments],
        limits=start.limits,
        closed=start.closed,
        gone=start.gone,
    )
    output = (start.folder / "output").open("wb")
    with output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=start.environment,
            cwd=start.folder,
            start_new_session=True,
        )
    try:
        code: int | None = process.wait(SERVES_S if start.serves else ENDS_S)
    except subprocess.TimeoutExpired:
        code = None
        if start.serves:
            process.terminate()
            try:
                process.wait(ENDS_S)
                code = 0  # it served, and ended when it was told to
            except subprocess.TimeoutExpired:
                pass
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return code, (start.folder / "output").read_text(errors="replace")


def judged(start: Start, code: int | None, said: str) -> str:
    """What is wrong with such an end; "" for nothing."""
    if code is None:
        return "it does not end"
    if code < 0 and code not in (-signal.SIGPIPE, -signal.SIGXFSZ):
        return f"ended by {signal.Signals(-code).name}"
    if code >= 0 and code not in CODES:
        return f"exit code {code}"
    if stack := next((stack for stack in STACKS if stack in said), None):
        return f"says {stack!r}"
    lines = [line for line in said.splitlines() if line.strip()]
    if code not in (0, 130, 143) and not start.serves and len(lines) > MOST_LINES:
        return f"complains in {len(lines)} lines"
    if code == 1 and 2 not in start.closed and not lines:
        return "ends with 1 and says nothing"
    return ""


async def measure(starts: Sequence[int], seed: int) -> int:
    """Prints each finding and the sums; returns the exit code."""
    codes: Counter[str] = Counter()
    found, begun = 0, time.perf_counter()
    base = Path(tempfile.mkdtemp(prefix="squadron-starts-"))
    try:
        (base / "etcd").mkdir()
        async with etcd_in(base / "etcd") as etcd:
            for number in starts:
                folder = base / str(number)
                folder.mkdir()
                start = start_of(seed, number, etcd, folder)
                code, said = await asyncio.to_thread(run, start)
                codes[str(code)] += 1
                wrong = judged(start, code, said)
                if wrong or len(starts) == 1:
                    found += bool(wrong)
                    asked = " ".join(start.arguments)
                    print(f"FINDING start {number}: mesh {asked} with {start.oddities}: {wrong}")
                    print("    " + "\n    ".join(said[-1_500:].splitlines()[-14:]), flush=True)
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    ends = ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))
    seconds = time.perf_counter() - begun
    print(f"{len(starts)} starts in {seconds:.0f} s: {found} findings; exit codes {ends}")
    print(machine())
    return 1 if found else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--starts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="N", help="start N, with all that it says")
    given = parser.parse_args(arguments)
    numbers = range(given.starts) if given.only is None else range(given.only, given.only + 1)
    return asyncio.run(measure(numbers, given.seed))


if __name__ == "__main__":
    sys.exit(main())
