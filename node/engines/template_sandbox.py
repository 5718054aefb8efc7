"""The sandbox that chat templates run in: what they may compute has limits.

A template comes with a downloaded file and is a program. What one operation of it may make is
looked at before it is made (a power, a repetition, a text put together), all that it writes is
counted, and time ends what goes round and round. What none of this sees costs the process that
``node/engines/template_trial.py`` tries every template in, once, before its model is loaded.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import chain
from types import FrameType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from node.engines.turns import Turn

RENDER_S = 1.0  # of CPU, while everybody's answers wait
# More for each message and each call of a tool. Some templates look back from every message over
# all that came before it: Gemma 4's takes 1.6 s for 1,000 messages and 5.9 s for 2,000.
ENTRY_S = 0.005
LONGEST_RENDER_S = 10.0
# A prompt is at most 4 MB, and what is made of one is never more than a few times that.
MOST_CHARS = 16 * 1024 * 1024
MOST_BITS = 4096  # of a whole number
MOST_COUNT = 100_000  # a number that is given to a filter or a method
_WIDTH = re.compile(r"[*]|\d{5}")


class TooMuch(jinja2.TemplateRuntimeError):
    """A template met a limit."""


class _Generation(Extension):
    """``{% generation %}`` marks what training learns from; when rendering it means nothing."""

    tags = {"generation"}  # noqa: RUF012 - the base class says so

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Code(CodeGenerator):
    """``a ~ b`` goes through the environment too."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class LimitedSandbox(ImmutableSandboxedEnvironment):
    """Set up as ``transformers`` does (``utils/chat_template_utils.py``)."""

    code_generator_class = _Code
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        self.filters = {name: _counted(made) for name, made in self.filters.items()}

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Raises ``TooMuch``."""
        match operator:
            case "**":
                _check_power(left, right)
            case "*":
                _check_product(left, right)
                _check_product(right, left)
            case "+" if isinstance(left, Sequence) and isinstance(right, Sequence):
                _check_size(len(left) + len(right))
            case "%" if isinstance(left, str) and _WIDTH.search(left):
                raise TooMuch(f"a format asks for more than {MOST_COUNT // 10:,} characters")
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, obj: Any, *args: Any, **named: Any) -> Any:
        """Raises ``TooMuch``."""
        # What a macro or a namespace is given is a value; what they do with it is looked at there.
        keeps = isinstance(obj, jinja2.runtime.Macro) or any(obj is m for m in (dict, Namespace))
        if not keeps and obj is not range and getattr(obj, "__name__", "") != "safe_range":
            _check_counts(args, named)
        result = super().call(context, obj, *args, **named)
        if isinstance(result, str):
            _check_size(len(result))
        return result

    def joined(self, parts: Iterable[Any]) -> str:
        """Raises ``TooMuch``."""
        texts = [str(part) for part in parts]
        _check_size(sum(map(len, texts)))
        return "".join(texts)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Lists of a template's own may grow and shrink by one (Kimi K2's keeps ids in one); those
        of the conversation are no plain lists (``turns.Given``)."""
        if type(obj) is list and attr in {"append", "pop"}:
            return True
        return super().is_safe_attribute(obj, attr, value)

    def written(self, template: jinja2.Template, variables: dict[str, Any]) -> str:
        """All that it writes. Raises ``TooMuch`` and what the template does."""
        parts: list[str] = []
        size = 0
        with within(render_s(_entries(variables.get("messages", ())))):
            for part in template.generate(variables):
                size += len(part)
                _check_size(size)
                parts.append(part)
        return "".join(parts)


def render_s(entries: int) -> float:
    """Seconds of CPU for a conversation of this many messages and calls of tools."""
    return min(RENDER_S + ENTRY_S * entries, LONGEST_RENDER_S)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Of the process's CPU time. Raises ``TooMuch``; only the main thread can be interrupted, and
    in other ones (tests) time is not limited."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TooMuch(f"it takes more than {seconds:.0f} s")

    before = signal.signal(signal.SIGPROF, ring)
    # Again and again: what it interrupts may take the error for its own.
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def _entries(turns: Sequence[Turn]) -> int:
    return sum(1 + len(turn.get("tool_calls", ())) for turn in turns)


def _counted(made: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, with a look at what it is given and makes. The value that it filters is no count:
    the number in a call of a tool may be any."""
    behind = 2 if hasattr(made, "jinja_pass_arg") else 1

    @wraps(made)  # and what jinja knows it by
    def checked(*args: Any, **named: Any) -> Any:
        _check_counts(args[behind:], named)
        result = made(*args, **named)
        if isinstance(result, str):
            _check_size(len(result))
        return result

    return checked


def _check_counts(args: Sequence[Any], named: dict[str, Any]) -> None:
    for value in chain(args, named.values()):
        if isinstance(value, int) and abs(value) > MOST_COUNT:
            raise TooMuch(f"a filter or method is given a number beyond {MOST_COUNT:,}")


def _check_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(max(1, abs(left)).bit_length() * max(0, right))


def _check_product(left: Any, right: Any) -> None:
    if not isinstance(right, int):
        return
    if isinstance(left, int):
        _check_bits(left.bit_length() + right.bit_length())
    elif isinstance(left, Sequence):
        _check_size(len(left) * max(0, right))


def _check_bits(bits: int) -> None:
    if bits > MOST_BITS:
        raise TooMuch(f"it computes a number of more than {MOST_BITS:,} bits")


def _check_size(size: int) -> None:
    if size > MOST_CHARS:
        raise TooMuch(f"it makes more than {MOST_CHARS:,} characters")
