"""What the router shall reach on what people really type, and what it reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from training.router.quality.asked import Asked
from training.router.quality.calibration import error_of, sure
from training.router.quality.deciding import Made

MOST_ERROR = 0.04
MOST_FLIPS = 0.05
EARLIER = 0.97  # mean of the earlier file's sources, each left out of the training


@dataclass(frozen=True, slots=True)
class Bar:
    """``found`` is nan where there is nothing to measure. ``most``: the bar is an upper one."""

    name: str
    bar: float
    found: float
    prompts: int
    most: bool = False

    @property
    def held(self) -> bool:
        return self.found <= self.bar if self.most else self.found >= self.bar


# By name: the least share that shall be right, and which rows.
SLICES: tuple[tuple[str, float, Callable[[Asked], bool]], ...] = (
    (
        "English, single turn",
        0.92,
        lambda row: not row.slices & {"non-english", "conversation"},
    ),
    ("real chat logs", 0.88, lambda row: "real-log" in row.slices),
    ("other languages", 0.85, lambda row: "non-english" in row.slices),
    ("long", 0.88, lambda row: "long" in row.slices),
    ("follow-ups", 0.88, lambda row: "follow-up" in row.slices),
    ("all", 0.90, lambda _: True),
)


def accuracy(decided: Sequence[Made]) -> float:
    return mean(made.right for made in decided) if decided else float("nan")


def mean_of_sources(decided: Sequence[Made]) -> float:
    """Sources alike, whatever their sizes."""
    sources = {made.row.source for made in decided}
    return mean(accuracy([m for m in decided if m.row.source == name]) for name in sources)


def real(decided: Sequence[Made], flips: float) -> list[Bar]:
    """Those of a file of what people typed. ``flips``: the share over all ways together."""
    bars = []
    for name, least, belongs in SLICES:
        those = [made for made in decided if belongs(made.row)]
        bars.append(Bar(name, least, accuracy(those), len(those)))
    those = sure(decided)
    bars.append(Bar("calibration error", MOST_ERROR, error_of(those), len(those), most=True))
    bars.append(Bar("flips", MOST_FLIPS, flips, len(decided), most=True))
    return bars


def earlier(decided: Sequence[Made]) -> Bar:
    return Bar("earlier file, mean of sources", EARLIER, mean_of_sources(decided), len(decided))
