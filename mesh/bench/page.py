"""The report as one self-contained HTML page, made from the report's data alone."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from mesh.bench.plots import FAULT, Curve, Mark, over_time, percentiles

BLUE, LIGHT_BLUE, GREEN, GREY = "#1d5fa8", "#8fb8de", "#2a8c6a", "#7a8594"
MAX_ROWS = 40  # of a table; the JSON has all

NAMES = {
    "ttft": "first token",
    "itl": "between tokens",
    "e2e": "whole answer",
    "resume_gap": "pause of a resume",
    "start_lag": "sent late by",
}

_STYLE = """
:root{color-scheme:light}
body{margin:0;background:#f4f6f8;color:#232a33;font:14px/1.5 system-ui,-apple-system,"Segoe UI",
"Helvetica Neue",Arial,sans-serif}
main{max-width:1120px;margin:0 auto;padding:28px 20px 48px}
h1{font-size:22px;margin:0}h2{font-size:15px;margin:0 0 8px}
p.sub{color:#66707d;margin:2px 0 20px}
section{background:#fff;border:1px solid #e3e7ec;border-radius:8px;padding:16px 18px;
margin:0 0 16px;overflow-x:auto}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:16px}
.grid section{margin:0}.grid{margin:0 0 16px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;
margin:0 0 16px}
.tile{background:#fff;border:1px solid #e3e7ec;border-radius:8px;padding:12px 14px}
.tile b{display:block;font-size:21px;line-height:1.3;font-variant-numeric:tabular-nums}
.tile span{color:#66707d;font-size:12.5px}
.good b{color:#1f7a5b}.bad b{color:#b8384b}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:600;color:#66707d;text-align:left;font-size:12.5px}
th,td{padding:4px 12px 4px 0;border-bottom:1px solid #eef1f4;vertical-align:top}
tr:last-child td{border-bottom:0}
.n{text-align:right;white-space:nowrap}
.bar{background:#8fb8de;height:10px;margin-top:5px;border-radius:2px;min-width:1px}
td.wide,th.wide{width:45%}
code{font:12.5px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
ul{margin:0;padding-left:18px;color:#4a5461}svg{display:block;width:100%;height:auto}
.text-overlay text{paint-order:stroke;stroke:#fff;stroke-width:3px}
.quiet{color:#66707d}
@media(max-width:520px){.grid{grid-template-columns:1fr}}
"""


def render(report: dict[str, Any]) -> str:
    """HTML that needs no network: styles and plots are inside, scripts there are none."""
    parts = [
        _head(report),
        _tiles(report),
        _latency(report),
        _plots(report),
        '<div class="grid">',
        _nodes(report),
        _errors(report),
        "</div>",
        _faults(report),
        _check(report),
        _details(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>mesh bench</title><style>{_STYLE}</style></head><body><main>"
        f"{''.join(parts)}</main></body></html>\n"
    )


def title(report: dict[str, Any]) -> str:
    """``open loop, 20 requests/s, 30 s``."""
    settings = report["settings"]
    if settings["load"] == "open":
        load = f"open loop, {settings['rate']:g} requests/s"
    else:
        count = settings["clients"]
        load = f"closed loop, {count} client{'' if count == 1 else 's'}"
    return f"{load}, {report['window_s']:.1f} s"


def _head(report: dict[str, Any]) -> str:
    when = datetime.datetime.fromtimestamp(report["started_at"], datetime.UTC)
    machine, fleet = report["machine"], report["fleet"]
    slots = sum(model["slots"] for node in fleet for model in node["models"])
    early = " It was ended early." if report["interrupted"] else ""
    return (
        f"<h1>mesh bench: {escape(title(report))}</h1>"
        f'<p class="sub">{when:%Y-%m-%d %H:%M} UTC. {len(fleet)} nodes with {slots} slots. Load '
        f"from {escape(machine['system'])}, {machine['cores']} cores, squadron "
        f"{escape(report['version'])}.{early}</p>"
    )


def _tiles(report: dict[str, Any]) -> str:
    requests, goodput, check = report["requests"], report["goodput"], report["check"]
    bad = requests["failed"] + requests["not_started"]
    objective = goodput["objective"].replace(",", ", ")
    broken = check["broken_streams"]
    tiles = [
        ("", f"{report['throughput']['requests_per_s']:,.1f}", "answers a second"),
        ("", f"{report['throughput']['tokens_per_s']:,.0f}", "tokens a second"),
        (
            "",
            f"{goodput['requests_per_s']:,.1f}",
            f"good answers a second ({goodput['share']:.1%}): {objective or 'no objective given'}",
        ),
        (
            "bad" if bad else "good",
            f"{bad:,}",
            f"of {requests['due']:,} requests failed ({requests['failed']:,}) or were not started "
            f"({requests['not_started']:,})",
        ),
        ("", f"{requests['resumed']:,}", "streams went on from another node"),
        (
            "bad" if broken else "good",
            f"{broken:,}",
            f"streams with a gap or a duplicate, of {check['streams']:,} checked",
        ),
    ]
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile {kind}"><b>{figure}</b><span>{escape(text)}</span></div>'
            for kind, figure, text in tiles
        )
        + "</div>"
    )


def _latency(report: dict[str, Any]) -> str:
    columns = ("p50", "p90", "p99", "p999", "max", "mean")
    rows = []
    for key, name in NAMES.items():
        figures = report["latency_ms"][key]
        if figures is not None:
            cells = [f"{figures['count']:,}", *(_ms(figures[column]) for column in columns)]
            rows.append([escape(name), *cells])
    heads = ["milliseconds", "count", "p50", "p90", "p99", "p99.9", "max", "mean"]
    curves = percentiles(
        [
            Curve(name=NAMES[key], colour=colour, points=report["curves_ms"][key])
            for key, colour in (("ttft", BLUE), ("itl", GREEN), ("e2e", GREY))
        ]
    )
    return (
        f'<div class="grid">{_section("Latency", _table(heads, rows))}'
        f"{_section('Latency by percentile', curves)}</div>"
    )


def _plots(report: dict[str, Any]) -> str:
    rows = report["series"]
    marks = [
        Mark(at_s=fault["at_s"], name=f"{fault['action']} {fault['node']}")
        for fault in report["faults"]
        if fault["done"]
    ]

    def line(
        name: str, column: str, colour: str, *, fill: bool = False, only: float = math.inf
    ) -> Curve:
        points = [(row["at_s"], row[column]) for row in rows if row["at_s"] + 1 <= only]
        return Curve(name=name, colour=colour, points=points, fill=fill)

    def both(column: str) -> str:
        return over_time(
            [line("p50", f"{column}_p50", LIGHT_BLUE), line("p99", f"{column}_p99", BLUE)],
            unit="ms",
            logarithmic=True,
            marks=marks,
        )

    rate = over_time(
        # An incomplete last second, and what comes after the load, would look like a breakdown.
        [line("tokens a second", "tokens", GREEN, fill=True, only=report["window_s"] + 0.05)],
        unit="",
        logarithmic=False,
        marks=marks,
    )
    open_lines = [line("open streams", "in_flight", BLUE)]
    for name, column, colour in (
        ("failed a second", "failed", "#c77700"),
        ("not started a second", "not_started", GREY),
    ):
        if any(row[column] for row in rows):
            open_lines.append(line(name, column, colour))
    streams = over_time(open_lines, unit="", logarithmic=False, marks=marks)
    return (
        f'<div class="grid">{_section("First token", both("ttft"))}'
        f"{_section('Between tokens', both('itl'))}{_section('Tokens a second', rate)}"
        f"{_section('Open streams', streams)}</div>"
    )


def _nodes(report: dict[str, Any]) -> str:
    rows = [
        [
            escape(row["node"]),
            f"{row['assigned']:,}",
            f"{row['tokens']:,}",
            f"{row['share']:.1%}",
            f'<div class="bar" style="width:{100 * row["share"]:.1f}%"></div>',
        ]
        for row in report["nodes"]
    ]
    return _section(
        "Nodes", _table(["node", "attempts", "tokens", "share", ""], rows, last_wide=True)
    )


def _errors(report: dict[str, Any]) -> str:
    rows = [
        [escape(row["code"]), f"{row['count']:,}", escape(row["example"][:300])]
        for row in report["errors"]
    ]
    body = _table(["code", "count", "the first one said"], rows, last_wide=True)
    return _section("Errors", body if rows else '<p class="quiet">None.</p>')


def _faults(report: dict[str, Any]) -> str:
    if not report["faults"]:
        return ""
    rows = [
        [
            f'<span style="color:{FAULT if fault["done"] else GREY}">{fault["at_s"]:.2f} s</span>',
            escape(fault["action"]),
            escape(fault["node"]),
            escape(fault["note"] if fault["done"] else f"did not happen: {fault['note']}"),
        ]
        for fault in report["faults"]
    ]
    pauses = [
        [
            f"{row['at_s']:.2f} s",
            f"{escape(row['before'])} → {escape(row['after'])}",
            f"{row['index']:,}",
            _ms(row["gap_ms"]),
        ]
        for row in report["resumes"]
    ]
    body = _table(["at", "fault", "node", ""], rows, last_wide=True, numbers=False)
    other = _table(["went on at", "from → to", "at token", "pause, ms"], pauses)
    return (
        f'<div class="grid">{_section("Faults", body)}'
        + (_section("Resumed streams", other) if pauses else "")
        + "</div>"
    )


def _check(report: dict[str, Any]) -> str:
    check = report["check"]
    said = (
        f"{check['streams']:,} streams were checked for gaps and duplicates by index, "
        f"{check['by_content']:,} of them by content too."
    )
    if not check["violations"]:
        return _section("Check", f'<p class="quiet">{said} There were none.</p>')
    rows = [
        [
            escape(violation["fault"]),
            f"{violation['index']:,}",
            escape(violation["message"]),
            f"<code>{escape(violation['request'])}</code>",
        ]
        for violation in check["violations"]
    ]
    table = _table(["fault", "at token", "what", "request"], rows, last_wide=True)
    return _section("Check", f"<p>{said} {check['broken_streams']:,} are broken:</p>{table}")


def _details(report: dict[str, Any]) -> str:
    pairs = [
        *((key.replace("_", " "), value) for key, value in report["settings"].items()),
        ("generator", f"{report['generator']['cpu_share']:.0%} of a core"),
        ("connections", report["generator"]["connections"]),
        ("python", report["machine"]["python"]),
    ]
    rows = [
        [escape(name), f"<code>{escape(_said(value))}</code>"]
        for name, value in pairs
        if value not in (None, "", [])
    ]
    method = "".join(f"<li>{escape(line)}</li>" for line in report["method"])
    return (
        f'<div class="grid">{_section("Settings", _table(["", ""], rows, numbers=False))}'
        f"{_section('How it was measured', f'<ul>{method}</ul>')}</div>"
    )


def _said(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _section(name: str, body: str) -> str:
    return f"<section><h2>{escape(name)}</h2>{body}</section>"


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    last_wide: bool = False,
    numbers: bool = True,
) -> str:
    """Cells are HTML already. All columns but the first, and with ``last_wide`` the last, hold
    numbers. Beyond ``MAX_ROWS`` rows it says how many are left out."""

    def line(cells: Iterable[str], tag: str) -> str:
        def kind(number: int) -> str:
            if last_wide and number == len(heads) - 1:
                return ' class="wide"'
            return ' class="n"' if numbers and number else ""

        return "".join(f"<{tag}{kind(number)}>{cell}</{tag}>" for number, cell in enumerate(cells))

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows[:MAX_ROWS])
    head = f"<tr>{line(map(escape, heads), 'th')}</tr>" if any(heads) else ""
    left = len(rows) - MAX_ROWS
    more = f'<p class="quiet">and {left:,} more, see the JSON report</p>' if left > 0 else ""
    return f"<table>{head}{body}</table>{more}"


def _ms(value: float) -> str:
    """Three digits that matter: ``0.042``, ``3.51``, ``128``, ``12,300``."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"
