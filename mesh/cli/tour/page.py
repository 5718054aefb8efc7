"""The tour's own words: headings, closing lines, what to try."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from mesh.cleaned import cleaned
from mesh.cli.answer import cut_off, decided_by, summary
from mesh.cli.screen import Sized, milliseconds
from mesh.cli.tour.story import Story
from mesh.cli.tour.words import INDENT
from mesh.fleet.records import NodeRecord
from mesh.stream import Done, FleetStatus
from mesh.types import Decision

SMALL = 1_000_000_000  # parameters below which a model knows little

_BETWEEN = " · "

TRY = (
    ("mesh chat", "a conversation"),
    ('mesh ask "How many cups are in 4 quarts?"', "exact, no model asked"),
    ('mesh route "Write a haiku."', "who would answer, and why"),
    ("mesh demo failover", "kill a node again"),
    ("mesh up --model FILE.gguf", "your own model; stop this mesh first"),
)


class Indented:
    """A text broken between its parts, so that no number loses its unit, and where one is longer
    than a line between words; without the blanks behind it that a pipe would keep."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(1, options.max_width - len(INDENT))
        for group in _lines(self._text, width):
            for line in group.wrap(console, width):
                line.rstrip()
                yield Text(INDENT) + line


def _lines(text: Text, width: int) -> list[Text]:
    """As many parts (``a · b``) a line as go; the dot ends a line that goes on, if it has room."""
    first, *parts = text.split(_BETWEEN)
    lines = [first]
    for index, part in enumerate(parts):
        dot = len(_BETWEEN.rstrip()) if index < len(parts) - 1 else 0
        if lines[-1].cell_len + len(_BETWEEN) + part.cell_len + dot <= width:
            lines[-1] = lines[-1] + Text(_BETWEEN, style=text.style) + part
        else:
            if lines[-1].cell_len + len(_BETWEEN.rstrip()) <= width:
                lines[-1] = lines[-1] + Text(_BETWEEN.rstrip(), style=text.style)
            lines.append(part)
    return lines


def heading(number: int, title: str) -> Text:
    return Text.assemble("\n", (f"{number} ", "bold cyan"), (title, "bold"))


def question(prompt: str) -> RenderableType:
    return Indented(Text.assemble(("> ", "dim"), (prompt, "italic")))


def aside(text: str, style: str = "dim") -> RenderableType:
    return Indented(Text(cleaned(text, 600), style=style))


def failed(what: str) -> RenderableType:
    return aside(what, "yellow")


def exact_line(decision: Decision, done: Done) -> str:
    """``math via exact/word_problem · 84 µs · no GPU, no model``."""
    if not done.source:
        return f"a model was asked: {summary(decision, done)}"
    took = (
        f"{decision.micros:.0f} µs"
        if decision.micros < 1_000
        else milliseconds(decision.micros / 1_000)
    )
    return f"{decided_by(decision)} · {took} · no GPU, no model"


def answered_line(decision: Decision, done: Done) -> str:
    cut = cut_off(done)
    return f"{summary(decision, done)}" + (f" · {cut}" if cut else "")


def about_model(record: NodeRecord | None, done: Done) -> str:
    """What to expect of a model of that size; "" where there is nothing to warn of."""
    model = record.model(done.model) if record is not None else None
    if model is None or not 0 < model.parameters < SMALL:
        return ""
    return (
        f"{done.model} has {model.parameters / 1e6:.0f} million parameters: a small one, which "
        "writes well and gets facts wrong. Bring your own: mesh up --model FILE.gguf"
    )


def closing_line(story: Story, killed: NodeRecord | None) -> str:
    """What happened to the answer, and whether its words are whole."""
    if killed is None:
        return f"It ended after {story.tokens} tokens, before the kill: nothing was killed."
    name = f"{killed.name} (pid {killed.pid})"
    if not story.seams:
        return f"{name} was killed when the answer was whole already: nothing had to go on."
    seam = story.seams[0]
    gap = milliseconds(seam.gap_s * 1_000)
    return (
        f"{name} was killed; {seam.to_node} goes on at token {seam.at_token} after {gap}. "
        f"{story.verdict}"
    )


def comeback(killed: NodeRecord, fleet: FleetStatus) -> str:
    """What became of the killed node, as the mesh sees it now."""
    for node in fleet.nodes:
        if node.record.id != killed.id:
            continue
        if node.record.instance != killed.instance:
            again = f"{killed.name} was started again as pid {node.record.pid}"
            return f"{again}, and is {node.standing}"
        return f"{killed.name} is {node.standing}; it is being started again"
    return f"{killed.name} is gone; it is being started again"


def what_next(lines: tuple[tuple[str, str], ...]) -> RenderableType:
    """Each command on a line of its own, whole: it is there to be copied."""
    return Sized(lambda width: _what_next(lines, width))


def _what_next(lines: tuple[tuple[str, str], ...], width: int) -> RenderableType:
    longest = max(len(command) for command, _ in lines)
    beside = all(len(INDENT) + longest + 4 + len(what) <= width for _, what in lines)
    parts: list[RenderableType] = []
    for command, what in lines:
        line = Text(INDENT, no_wrap=True, overflow="ignore")
        line.append(command.ljust(longest) if beside else command, style="bold")
        if beside:
            parts.append(line.append(f"  # {what}", style="dim"))
        else:
            parts += [Text(f"{INDENT}# {what}", style="dim"), line]
    return Group(*parts)
