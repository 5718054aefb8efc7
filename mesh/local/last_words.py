"""What a child's log says, for people: Go's and Python's stacks are where it was said. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from mesh.box import no_space

# What our own processes put before a line's message (mesh.telemetry.logs).
_LOG_PREFIX = re.compile(r"\d{4}-\d\d-\d\dT\S+ [A-Z]+ (?:node|orchestrator) \S+ ")
# Go: `goroutine 1 [running]:` begins a stack, `runtime stack:` too; frames never end it. Python's
# fault handler has a stack a thread.
_STACK = re.compile(
    r"goroutine \d+ \[|runtime stack:|created by |(?:Current thread|Thread) 0x[0-9a-f]+\b"
    r"|.*Traceback \(most recent call last\)"
)
# The last line of a Python traceback names the exception; a log's own next line has a date.
_SPOKEN = re.compile(
    r"[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Group)\b|\d{4}-\d\d-\d\d|\{\""
    r"|panic: |fatal error: |Fatal Python error: "
)
# Lines that belong to a stack without being in it.
_STACK_SIGNS = re.compile(
    r"(?:Base)?ExceptionGroup:|\d+ -*$|\[signal |exit status \d+$|rax |Extension modules: "
    r"|During handling of the above exception|The above exception was the direct cause"
    r"|/\S+\.(?:go|s):\d+(?: \+0x[0-9a-f]+)?|[\w./*()-]+\((?:0x[0-9a-f].*|\.\.\.)?\)$"
    r"|File \".+\", line \d+"
    r"|(?:INFO|WARNING): \d{4}/\d\d/\d\d "  # Go's gRPC has notes of its own between etcd's lines
)
_ERRNO = re.compile(r"(?:[\w.]+: )?\[Errno \d+\] (.+)")
_FATAL = re.compile(r"(?:panic|fatal error|Fatal Python error): (.+)")
_FIELD = re.compile(r'"(msg|level|error|path)":"((?:[^"\\]|\\.)*)"')
_FATAL_LEVELS = ("panic", "fatal", "dpanic")


class _EtcdLine(msgspec.Struct):
    msg: str = ""
    level: str = ""
    error: str = ""
    path: str = ""


def said(lines: Sequence[str]) -> list[str]:
    """The lines that say something, as sentences: without stacks, dates and braces."""
    return [words for words, _ in _told(lines)]


def last(lines: Sequence[str]) -> str:
    """Why it ended: what it called fatal, else the last line; "" where there is none."""
    told = _told(lines)
    return fatal(lines) or (no_space(told[-1][0]) if told else "")


def fatal(lines: Sequence[str]) -> str:
    """What it called fatal, "" where it called nothing so."""
    return next((no_space(words) for words, grave in reversed(_told(lines)) if grave), "")


def _told(lines: Sequence[str]) -> list[tuple[str, bool]]:
    """Sentences, and whether they tell the end."""
    told: list[tuple[str, bool]] = []
    in_stack = False
    for line in lines:
        bare = line.lstrip(" |+-")
        if _STACK.match(bare):
            in_stack = True
        elif in_stack and _SPOKEN.match(bare):
            in_stack = False
        if in_stack or not bare or _STACK_SIGNS.match(bare):
            continue
        words, grave = _sentence(bare)
        if not words:
            continue
        # Zap says it in JSON, with the reason; then Go says it once more, without.
        if grave and told and told[-1][1] and told[-1][0].startswith(words):
            continue
        told.append((words, grave))
    return told


def _sentence(line: str) -> tuple[str, bool]:
    if line.startswith("{"):
        try:
            found = msgspec.json.decode(line, type=_EtcdLine)
        except (msgspec.MsgspecError, RecursionError):  # a long one is cut, in its stack
            found = _EtcdLine(**dict(_FIELD.findall(line)))
        words = ": ".join(filter(None, (found.msg, found.error, found.path)))
        return words, found.level in _FATAL_LEVELS
    if match := _FATAL.fullmatch(line):
        return match[1], True
    line = _LOG_PREFIX.sub("", line)
    errno = _ERRNO.fullmatch(line)
    return (errno[1] if errno else line), False
