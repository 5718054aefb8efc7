"""A million inputs into each decoder in process: is a process ended, memory kept, a file left?

Method. Inputs are good ones with edits to bytes and structure (``mutate``), each a function of the
seed, the target and its number. Each target runs in a child with 3 GiB of data allowed. A finding
is an exception that the product does not promise, an input slower than ``--slow-s``, a child that
ends or hangs, resident memory more than 10 % above what it was after the first tenth, or another
number of open files.

Run: ``python -m benchmarks.fuzz [TARGET ...] [--inputs N] [--seed N]``; exit code 1 on any finding.
``--show N`` prints input N of one target and nothing else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.figures import machine
from benchmarks.fuzz.run import Result, run
from benchmarks.fuzz.target import NAMES, load

RSS_GROWTH = 0.10


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a row a target and every finding; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--inputs", type=int, default=1_000_000, help="a target (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--slow-s", type=float, default=1.0, help="slower is a finding (%(default)s)"
    )
    parser.add_argument("--show", type=int, metavar="N", help="print input N of one target")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.target) - set(NAMES))
    if unknown:
        parser.error(f"no target {unknown[0]!r}; there are {', '.join(NAMES)}")
    if given.show is not None:
        if len(given.target) != 1:
            parser.error("--show wants exactly one target")
        sys.stdout.buffer.write(load(given.target[0]).input(given.seed, given.show))
        return 0
    results = []
    for name in given.target or NAMES:
        result = run(name, given.seed, given.inputs, given.slow_s)
        result.findings += _kept(result)
        print(f"{name}: {result.done:,} in {result.seconds:.0f} s", flush=True)
        results.append(result)
    _show(results)
    for result in results:
        for finding in result.findings:
            print(f"FINDING {result.name} {finding}")
    return 1 if any(result.findings for result in results) else 0


def _kept(result: Result) -> list[str]:
    kept = []
    warm, last = result.rss
    if last > warm * (1 + RSS_GROWTH):
        kept.append(f"memory grew from {warm / 2**20:.0f} to {last / 2**20:.0f} MiB")
    if result.files[0] != result.files[1]:
        kept.append(f"open files went from {result.files[0]} to {result.files[1]}")
    return kept


def _show(results: Sequence[Result]) -> None:
    console = Console(width=None if Console().is_terminal else 110, highlight=False)
    table = Table(title="fuzz", title_justify="left", caption=machine(), caption_justify="left")
    for heading in ("target", "inputs", "refused", "a second", "slowest", "RSS", "files", "ended"):
        table.add_column(heading, justify="left" if heading == "target" else "right")
    for one in results:
        table.add_row(
            one.name,
            f"{one.done:,}",
            f"{one.refused / max(one.done, 1):.0%}",
            f"{one.done / max(one.seconds, 1e-9):,.0f}",
            f"{one.slowest_s * 1e3:.1f} ms (#{one.slowest})",
            f"{one.rss[0] / 2**20:.0f} > {one.rss[1] / 2**20:.0f} MiB",
            f"{one.files[0]} > {one.files[1]}",
            str(one.ended),
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
