"""A pull told in lines: for a node's log, and for a command whose output is a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable

from mesh.cleaned import cleaned
from mesh.spans import span
from node.models.fit.plan import mebibytes
from node.models.hub.events import Begins, Cut, Event, Got, Picked, Tell, Waits, Whole

EVERY_S = 10.0  # between two lines of progress
NAME_CHARACTERS = 120


class Lines:
    """``say`` takes a line. Nothing is said of what is here already."""

    def __init__(
        self, say: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._now = now
        self._pace: Pace | None = None
        self._file: Begins | None = None
        self._said_at = 0.0

    def __call__(self, event: Event) -> None:
        now = self._now()
        match event:
            case Picked():
                for line in picked(event):
                    self._say(line)
            case Waits(file=file):
                self._say(f"another process pulls {cleaned(file, NAME_CHARACTERS)}: waiting for it")
            case Begins():
                self._file, self._pace, self._said_at = event, Pace(event.had, now), now
                self._say(begins(event))
            case Got(at=at) if self._file is not None and self._pace is not None:
                self._pace.at(at, now)
                if now - self._said_at >= EVERY_S:
                    self._said_at = now
                    self._say(progress(self._file, at, self._pace))
            case Cut(why=why, pause_s=pause_s):
                self._say(f"the connection was lost ({cleaned(why)}): again in {span(pause_s)}")
            case Whole(file=file, checked=checked):
                self._say(whole(file, checked))


class Share:
    """Tells ``tell``, and ``percent`` how much of the whole model is here."""

    def __init__(self, tell: Tell, percent: Callable[[int], None]) -> None:
        self._tell = tell
        self._percent = percent
        self._size = self._here = self._file = 0

    def __call__(self, event: Event) -> None:
        self._tell(event)
        match event:
            case Picked(offer=offer, missing=missing):
                self._size, self._here = offer.size, offer.size - missing
            case Begins(size=size, had=had):
                self._here, self._file = self._here - had, size
                self._say(had)
            case Got(at=at):
                self._say(at)
            case Whole():
                self._here += self._file
                self._say(0)

    def _say(self, at: int) -> None:
        self._percent(100 * min(self._here + at, self._size) // max(1, self._size))


class Pace:
    """Bytes per second, over what was loaded since it began."""

    def __init__(self, had: int, now: float) -> None:
        self._had = self._at = had
        self._since = self._now = now

    def at(self, at: int, now: float) -> None:
        if at < self._at:  # begun anew
            self._had, self._since = at, now
        self._at, self._now = at, now

    @property
    def rate(self) -> float:
        """0.0 while it cannot be told."""
        took = self._now - self._since
        return (self._at - self._had) / took if took > 0 else 0.0


def picked(event: Picked) -> list[str]:
    """What was picked and why, and what else there is."""
    offer, repository = event.offer, event.repository
    parts = f" in {len(offer.files)} files" if len(offer.files) > 1 else ""
    licence = f", licence {repository.licence}" if repository.licence else ""
    name = cleaned(offer.name, NAME_CHARACTERS)
    lines = [f"{repository.name}: {name}, {mebibytes(offer.size)}{parts}{licence}"]
    others = [each for each in event.offers if each.name != offer.name]
    if others and not event.source.file and not event.source.quantisation:
        there = ", ".join(
            f"{each.quantisation or cleaned(each.name, 40)} {mebibytes(each.size)}"
            for each in sorted(others, key=lambda each: each.size)
        )
        lines.append(f"there is also: {there}; say which with hf:{repository.name}:QUANT")
    return lines


def begins(event: Begins) -> str:
    which = f" ({event.number} of {event.count})" if event.count > 1 else ""
    had = f", going on from {mebibytes(event.had)}" if event.had else ""
    return f"pulling {cleaned(event.file, NAME_CHARACTERS)}{which}: {mebibytes(event.size)}{had}"


def progress(file: Begins, at: int, pace: Pace) -> str:
    left = f", {span((file.size - at) / pace.rate)} left" if pace.rate > 0 else ""
    return (
        f"{100 * at // file.size}% of {mebibytes(file.size)}, {mebibytes(int(pace.rate))}/s{left}"
    )


def whole(file: str, checked: str) -> str:
    how = f"its {checked} is right" if checked else "the hub gives no hash to check it by"
    return f"{cleaned(file, NAME_CHARACTERS)} is here: {how}"
