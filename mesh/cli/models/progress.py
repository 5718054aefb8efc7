"""A pull as people see it: a bar with rate and time left on a terminal, quiet lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from mesh.cleaned import cleaned
from mesh.cli.screen import console
from mesh.spans import span

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from node.models.hub.events import Event, Tell

_WIDE = 100  # columns of a terminal that has room for a bar
_NARROW = 60
_NAME = 32  # characters of a file's, of which the end says more


@contextmanager
def telling() -> Iterator[Tell]:
    """On standard error, so that the output is only what was asked for."""
    from node.models.hub.told import Lines

    screen = console(sys.stderr)
    if not screen.is_terminal or screen.is_dumb_terminal:
        yield Lines(_line)
        return
    bar = _Bar(screen)
    try:
        yield bar
    finally:
        bar.stop()


def brought(source: str) -> None:
    """Pulls a model of the hub that is not here yet; for commands that are about to use it."""
    from node.models.hub.cached import find
    from node.models.hub.place import Hub
    from node.models.hub.pull import pull
    from node.models.hub.source import is_hub, read

    if not is_hub(source):
        return
    hub, wanted = Hub.here(), read(source)
    if find(hub, wanted) is None:
        with telling() as tell, kept():
            pull(hub, wanted, tell)


@contextmanager
def kept() -> Iterator[None]:
    """Says what becomes of half a file when the pull is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        _line("stopped; what came is kept, and the same command goes on from there")
        raise


class _Bar:
    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, event: Event) -> None:
        from node.models.fit.plan import mebibytes
        from node.models.hub import told
        from node.models.hub.events import Begins, Cut, Got, Picked, Waits, Whole

        match event:
            case Picked():
                for line in told.picked(event):
                    self._say(line)
            case Waits(file=file):
                self._say(f"another process pulls {cleaned(file)}: waiting for it")
            case Begins():
                self.stop()
                self._progress = _progress(self._screen)
                self._progress.start()
                name = cleaned(event.file.rpartition("/")[2])
                which = f"{event.number}/{event.count} " * (event.count > 1)
                short = name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"
                self._task = self._progress.add_task(which + short, total=event.size)
                self._progress.update(self._task, completed=event.had)
                if event.had:
                    self._say(f"going on from {mebibytes(event.had)}")
            case Got(at=at) if self._progress is not None and self._task is not None:
                self._progress.update(self._task, completed=at)
            case Cut(why=why, pause_s=pause_s):
                self._say(f"the connection was lost ({cleaned(why)}): again in {span(pause_s)}")
            case Whole(file=file, checked=checked):
                self.stop()
                self._say(told.whole(file, checked))

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = self._task = None

    def _say(self, line: str) -> None:
        self._screen.print(line, soft_wrap=False)


def _progress(screen: Console) -> Progress:
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    from node.models.fit.plan import mebibytes

    class Figures(ProgressColumn):
        """How far, how fast, how long still."""

        def render(self, task: Task) -> Text:
            whole, at = int(task.total or 0), int(task.completed)
            told = [f"{100 * at // max(1, whole)}%"]
            if screen.width >= _NARROW:
                told = [f"{mebibytes(at)} of {mebibytes(whole)}"]
            if task.speed:
                told.append(f"{mebibytes(int(task.speed))}/s")
                if whole > at:
                    told.append(f"{span((whole - at) / task.speed)} left")
            return Text(", ".join(told), no_wrap=True)

    name = TextColumn("{task.description}", markup=False, highlighter=None)
    wide = screen.width >= _WIDE
    columns = (name, BarColumn(bar_width=None), Figures()) if wide else (name, Figures())
    return Progress(*columns, console=screen, transient=True, expand=wide)


def _line(text: str) -> None:
    click.echo(text, err=True)
