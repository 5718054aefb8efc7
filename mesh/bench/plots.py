"""The report's plots as inline SVG: no script, no font, no link to anywhere."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pygal  # type: ignore[import-untyped]
from pygal.style import Style  # type: ignore[import-untyped]

Point = tuple[float, float | None]

FAULT = "#d1495b"
_INK, _RULE = "#3d4652", "#e6e9ed"
_FONT = 'system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif'
_MAX_POINTS = 500  # about one a pixel
_MAX_DOTS = 150  # beyond, dots hide the line that they are on
_DRAWN_MARKS = 200
_MAX_NAMED_MARKS = 8  # beyond, their names would cover one another
_FLOOR = 0.01  # what a logarithmic axis shows for 0 (milliseconds)
_NINES = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999)

_NO_PICTURE = re.compile(r"<!--.*?-->|<script\b.*?</script>|<script\b[^>]*/>", re.DOTALL)
_VALUE = re.compile(r'<desc class="value">(.*?)</desc>', re.DOTALL)
_OTHER_DESC = re.compile(r'<desc class="x?y? ?[^"]*">.*?</desc>', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """``colour``: ``#rrggbb``. ``None`` in a point is a break in the line."""

    name: str
    colour: str
    points: Sequence[Point]
    fill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical line at ``at_s`` seconds."""

    at_s: float
    name: str


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where a value is drawn, and the values that are written beside the axis."""

    place: Callable[[float], float]
    labels: Sequence[float]

    @property
    def ends(self) -> tuple[float, float]:
        return self.place(self.labels[0]), self.place(self.labels[-1])


def over_time(
    lines: Sequence[Curve], *, unit: str, logarithmic: bool, marks: Sequence[Mark] = ()
) -> str:
    """A plot over the seconds of the run. ``unit`` stands behind the numbers, "" for a count."""
    shown = [_thinned(line) for line in lines]
    marks = marks[:_DRAWN_MARKS]
    last = max([1.0, *(x for line in shown for x, _ in line.points), *(m.at_s for m in marks)])
    y_axis = _y_axis(shown, logarithmic=logarithmic, headroom=bool(marks))
    chart = _chart(shown, y_axis, unit=unit, x_end=last, faults=bool(marks))
    chart.x_labels = [{"value": x, "label": f"{x:g} s"} for x in _steps(last)]
    _draw(chart, shown, y_axis, lambda x, y: f"{y:,.4g} {unit}".strip() + f" in second {x:g}")
    if marks:
        _draw_marks(chart, marks, *y_axis.ends)
    return _picture(chart)


def percentiles(lines: Sequence[Curve]) -> str:
    """Milliseconds over percentiles, spread by their number of nines as HDR plots are."""
    shown = [
        replace(line, points=[(_nines(p), value) for p, value in line.points]) for line in lines
    ]
    last = max([_nines(99), *(x for line in shown for x, _ in line.points)])
    y_axis = _y_axis(shown, logarithmic=True)
    chart = _chart(shown, y_axis, unit="ms", x_end=last, faults=False)
    chart.x_labels = [{"value": 0.0, "label": "0%"}] + [
        {"value": _nines(p), "label": f"{p:g}%"} for p in _NINES if _nines(p) <= last + 0.01
    ]
    _draw(chart, shown, y_axis, lambda x, y: f"{y:,.4g} ms at {100 * (1 - 10**-x):.6g}%")
    return _picture(chart)


def _chart(lines: Sequence[Curve], y_axis: _Axis, *, unit: str, x_end: float, faults: bool) -> Any:
    colours = (*(line.colour for line in lines), *((FAULT,) if faults else ()))
    style = Style(
        background="transparent",
        plot_background="transparent",
        foreground=_INK,
        foreground_strong=_INK,
        foreground_subtle=_RULE,
        guide_stroke_color=_RULE,
        major_guide_stroke_color=_RULE,
        guide_stroke_dasharray="1,0",
        major_guide_stroke_dasharray="1,0",
        opacity=".10",
        opacity_hover=".2",
        stroke_opacity="1",
        stroke_width="1.6",
        font_family=_FONT,
        label_font_size=11,
        major_label_font_size=11,
        value_font_size=6,
        value_label_font_size=10,
        legend_font_size=12,
        no_data_font_size=14,
        colors=colours,
    )
    return pygal.XY(
        js=[],
        disable_xml_declaration=True,
        style=style,
        width=540,
        height=250,
        margin=4,
        spacing=7,
        show_legend=len(colours) > 1,
        legend_at_bottom=True,
        legend_at_bottom_columns=len(colours),
        legend_box_size=9,
        truncate_legend=-1,
        show_x_guides=False,
        show_y_guides=True,
        dots_size=1.6,
        print_labels=True,
        range=y_axis.ends,
        xrange=(0, x_end),
        y_labels=[
            {"value": y_axis.place(y), "label": f"{y:,g} {unit}".strip()} for y in y_axis.labels
        ],
        no_data_text="nothing was measured",
    )


def _draw(
    chart: Any, lines: Sequence[Curve], y_axis: _Axis, say: Callable[[float, float], str]
) -> None:
    for line in lines:
        chart.add(
            line.name,
            [
                {"value": (x, y_axis.place(y)), "formatter": _fixed(say(x, y))}
                if y is not None
                else None
                for x, y in line.points
            ],
            show_dots=len(line.points) <= _MAX_DOTS,
            # pygal pads all series to the length of the longest, and an area must not break there.
            allow_interruptions=not line.fill,
            fill=line.fill,
        )


def _draw_marks(chart: Any, marks: Sequence[Mark], low: float, high: float) -> None:
    upright: list[Any] = []
    for number, mark in enumerate(marks):
        top: Any = (mark.at_s, high)
        if len(marks) <= _MAX_NAMED_MARKS:
            height = high - (high - low) * 0.09 * (number % 3)  # neighbours' names side by side
            top = {"value": (mark.at_s, height), "label": mark.name}
        upright += [(mark.at_s, low), top, (mark.at_s, high), None]
    chart.add(
        "fault",
        upright,
        dots_size=0,
        allow_interruptions=True,
        stroke_style={"width": 1.1, "dasharray": "4, 3"},
        formatter=_fixed("fault"),
    )


def _fixed(text: str) -> Callable[[Any], str]:
    return lambda _: text


def _picture(chart: Any) -> str:
    """The bare SVG. What pygal's script would show on hovering becomes a title, which every browser
    shows by itself."""
    svg = _NO_PICTURE.sub("", str(chart.render(is_unicode=True)))
    return _OTHER_DESC.sub("", _VALUE.sub(r"<title>\1</title>", svg))


def _thinned(line: Curve) -> Curve:
    """At most ``_MAX_POINTS``: of each group the highest, since peaks are what one looks for."""
    size = math.ceil(len(line.points) / _MAX_POINTS)
    if size <= 1:
        return line
    groups = [line.points[i : i + size] for i in range(0, len(line.points), size)]
    highest = [
        (group[0][0], max((y for _, y in group if y is not None), default=None)) for group in groups
    ]
    return replace(line, points=highest)


def _nines(percentile: float) -> float:
    """90 is 1, 99 is 2, 99.9 is 3."""
    return -math.log10(1 - percentile / 100)


def _y_axis(lines: Sequence[Curve], *, logarithmic: bool, headroom: bool = False) -> _Axis:
    """``headroom``: for the names of marks."""
    values = [y for line in lines for _, y in line.points if y is not None]
    # Taken here and not from pygal: with its logarithmic axes an XY plot's x axis is one too.
    if logarithmic:
        labels = _decades(values, above=2.5 if headroom else 1.0)
        # The lowest label is at 0, where pygal draws the axis.
        return _Axis(lambda y: math.log10(max(y, _FLOOR) / labels[0]), labels)
    highest = max(values, default=1.0) * (1.25 if headroom else 1.0)
    return _Axis(float, _steps(highest, beyond=True))


def _decades(values: Sequence[float], *, above: float = 1.0) -> list[float]:
    """1, 2, 5, 10, … around ``values``, to ``above`` times the highest; of many decades, the powers
    of ten only."""
    low = max(min(values, default=1.0), _FLOOR)
    high = above * max([low * 1.01, *values]) if values else 10.0
    start, end = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if end - start <= 2 else (1,)
    labels = [factor * 10.0**power for power in range(start, end + 1) for factor in factors]
    first = max(i for i, label in enumerate(labels) if label <= low * 1.0001)
    last = min(i for i, label in enumerate(labels) if label >= high * 0.9999)
    return labels[first : max(last, first + 1) + 1]


def _steps(highest: float, *, beyond: bool = False) -> list[float]:
    """0 and up in at most six even steps of 1, 2 or 5; ``beyond``: to ``highest`` or above it."""
    power = 10.0 ** math.floor(math.log10(max(highest, 1.0) / 5))
    step = max(1.0, next(power * f for f in (1, 2, 5, 10, 20) if power * f * 6 >= highest))
    count = math.ceil(highest / step) if beyond else math.floor(highest / step)
    return [step * i for i in range(max(count, 1) + 1)]
