"""A whole answer as it is shown in the end: its markdown rendered, its code coloured."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import ClassVar

from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement
from rich.segment import Segment
from rich.style import Style
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme

from mesh.cleaned import harmless

MARK = "↻"  # stands where an answer went on elsewhere
_THEME = Theme({"markdown.code": "cyan", "markdown.link_url": "underline"})


class _Heading(Heading):
    """At the left, like the text below it, and its level to be seen without colour."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        self.text.stylize(Style(bold=True, underline=self.tag in ("h1", "h2")))
        yield self.text


class _CodeBlock(CodeBlock):
    """In the terminal's own colours, on its own ground."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Syntax(
            str(self.text).rstrip("\n"),
            self.lexer_name,
            theme="ansi_dark",
            word_wrap=True,
            background_color="default",
            padding=(0, 0, 0, 2),
        )


class _Answer(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _Heading,
        "fence": _CodeBlock,
        "code_block": _CodeBlock,
    }


def rendered(text: str, width: int, *, colour: bool) -> str:
    """``text`` in lines of at most ``width`` columns, each ended by a line break; whatever of it a
    terminal would obey is a sign. ``colour`` False: not even bold."""
    answer = _Answer(harmless(text), hyperlinks=False)
    answer.parsed = list(_own_lines(answer.parsed))
    screen = Console(
        file=io.StringIO(),
        width=max(8, width),
        force_terminal=colour,
        color_system="standard" if colour else None,
        theme=_THEME,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )
    lines = screen.render_lines(answer, screen.options, pad=False)
    return "".join(_shown(screen, line) + "\n" for line in _trimmed(lines))


def _own_lines(tokens: Iterable[Token]) -> Iterator[Token]:
    """A line break of the answer's own stays one: models write verses and addresses."""
    for token in tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
        yield token


def _trimmed(lines: list[list[Segment]]) -> list[list[Segment]]:
    """Without blank lines at both ends."""
    filled = [n for n, line in enumerate(lines) if any(each.text.strip() for each in line)]
    return lines[filled[0] : filled[-1] + 1] if filled else []


def _shown(screen: Console, line: list[Segment]) -> str:
    """One line, without the blanks that fill it up."""
    kept = [Segment(harmless(each.text), each.style) for each in line if not each.control]
    while kept and not kept[-1].text.rstrip():
        kept.pop()
    if kept:
        kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style)
    with screen.capture() as taken:
        screen.print(Text.assemble(*(_marked(each) for each in kept)), end="", soft_wrap=True)
    return taken.get()


def _marked(segment: Segment) -> Text:
    text = Text(segment.text, style=segment.style or "")
    text.highlight_regex(MARK, style="dim")
    return text
