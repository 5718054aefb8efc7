"""What `mesh bench` shows while it runs and at its end."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, TextIO

from rich.live import Live
from rich.text import Text

from mesh.cli.screen import console, milliseconds, table

if TYPE_CHECKING:
    from mesh.bench.profile import LoadProfile
    from mesh.bench.series import Second

PLAIN_EVERY_S = 5  # a line a second would bury a log
OVER_S = 3  # rates of a single second jump about


class BenchProgress:
    """A line that renews itself on a terminal, now and then a line elsewhere; on standard error."""

    def __init__(self, profile: LoadProfile) -> None:
        self._profile = profile
        self._recent: deque[Second] = deque(maxlen=OVER_S)
        self._failed = self._not_started = 0
        screen = console(sys.stderr)
        self._live = (
            Live(console=screen, auto_refresh=False, transient=True) if screen.is_terminal else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        if self._profile.warmup:
            self._say(f"warm-up: {self._profile.warmup} requests")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self) -> None:
        if self._profile.warmup:
            self._say("warm-up done")

    def second(self, row: Second) -> None:
        self._recent.append(row)
        self._failed += row.failed
        self._not_started += row.not_started
        if self._live is not None or (row.at_s + 1) % PLAIN_EVERY_S == 0:
            self._say(self.line())

    def line(self) -> str:
        """``12 s  18.7/s  1,200 tokens/s  8 open  0 errors  p99 first 12 ms, next 3.1 ms``."""
        rows = self._recent
        rate = sum(row.finished for row in rows) / len(rows)
        tokens = sum(row.tokens for row in rows) / len(rows)
        parts = [
            f"{rows[-1].at_s + 1:>3} s",
            f"{rate:,.1f}/s",
            f"{tokens:,.0f} tokens/s",
            f"{rows[-1].in_flight} open",
            f"{self._failed} errors",
        ]
        if self._not_started:
            parts.append(f"{self._not_started} not started")
        first = _worst([row.ttft_p99 for row in rows])
        following = _worst([row.itl_p99 for row in rows])
        return "  ".join([*parts, f"p99 first {first}, next {following}"])

    def _say(self, text: str) -> None:
        if self._live is not None:
            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


def _worst(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return milliseconds(max(known)) if known else "-"


def show(report: dict[str, Any], file: TextIO) -> None:
    """The summary of ``mesh.bench.report``'s data."""
    from mesh.bench.page import NAMES, title

    screen = console(file)
    screen.print(Text(title(report), style="bold"))
    columns = ("p50", "p90", "p99", "p999", "max")
    heads = ("COUNT", "P50", "P90", "P99", "P99.9", "MAX")
    latencies = table("LATENCY", *heads, right=heads, fixed=heads)
    for key, name in NAMES.items():
        figures = report["latency_ms"][key]
        if figures is not None:
            cells = (milliseconds(figures[column]) for column in columns)
            latencies.add_row(name, f"{figures['count']:,}", *cells)
    screen.print(latencies)
    for line in _lines(report):
        screen.print(Text(line), soft_wrap=True)


def _lines(report: dict[str, Any]) -> list[str]:
    requests, rates, goodput = report["requests"], report["throughput"], report["goodput"]
    check = report["check"]
    counts = [f"{requests['due']:,} requests", f"{requests['finished']:,} finished"]
    counts += [
        f"{requests[key]:,} {key.replace('_', ' ')}"
        for key in ("failed", "not_started", "resumed", "abandoned")
        if requests[key]
    ]
    lines = [
        ", ".join(counts),
        f"{rates['requests_per_s']:,.1f} answers/s, {rates['tokens_per_s']:,.0f} tokens/s "
        f"(load generator: {report['generator']['cpu_share']:.0%} of a core)",
    ]
    if goodput["objective"]:
        missed = ", ".join(f"{name} {count:,}" for name, count in goodput["missed"].items())
        lines.append(
            f"good: {goodput['requests_per_s']:,.1f}/s, {goodput['share']:.1%} within "
            f"{goodput['objective']}{f'; missed: {missed}' if missed else ''}"
        )
    if shares := [f"{row['node']} {row['share']:.0%}" for row in report["nodes"][:10]]:
        lines.append(f"tokens by node: {', '.join(shares)}")
    for fault in report["faults"][:20]:
        end = "" if fault["done"] else f" did not happen: {fault['note']}"
        lines.append(f"fault at {fault['at_s']:.2f} s: {fault['action']} {fault['node']}{end}")
    for error in report["errors"][:10]:
        lines.append(f"error {error['code']} ({error['count']:,}): {error['example'][:200]}")
    broken = f"{check['broken_streams']:,}" if check["broken_streams"] else "none"
    lines.append(
        f"checked {check['streams']:,} streams ({check['by_content']:,} by content): {broken} with "
        "a gap or a duplicate"
    )
    lines += [
        f"  {v['fault']} at token {v['index']} of {v['request']}: {v['message']}"
        for v in check["violations"][:20]
    ]
    return lines
