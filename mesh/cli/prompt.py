"""Where a prompt comes from: an argument or standard input. Bad text is refused right here."""

from __future__ import annotations

import select
import sys

import click

NOTE_S = 1.0  # of silence, before it is said that standard input is read
MAX_STDIN_BYTES = 64 * 1024 * 1024  # far above what an orchestrator takes; below what hurts here


def read_prompt(argument: str | None) -> str:
    """``-``, or nothing with a pipe, reads standard input; what is piped in beside an argument
    goes below it. Raises ``UsageError``."""
    if argument is None and sys.stdin is not None and sys.stdin.isatty():
        raise click.UsageError("no prompt; say what to ask, or '-' to read it from standard input")
    if argument is None or argument == "-":
        text = _from_stdin()
    else:
        text = checked(argument, "the prompt")
        if piped := piped_beside("the prompt"):
            text = f"{text}\n\n{piped}"
    if not text.strip():
        raise click.UsageError("the prompt is empty; say what to ask")
    return text


def checked(text: str, what: str) -> str:
    """Arguments that were no valid UTF-8 reach Python as lone surrogates (PEP 383)."""
    bad = next((i for i, char in enumerate(text) if "\ud800" <= char <= "\udfff"), None)
    if bad is not None:
        raise click.UsageError(f"{what} is not valid UTF-8 text (at character {bad})")
    return text


def piped_beside(what: str) -> str:
    """Standard input where it is no terminal, "" where there is nothing in it. Nobody may know that
    it is waited for, so that is said after a moment. ``what``: what it goes with. Raises
    ``UsageError``."""
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return ""
    try:
        waits, _, _ = select.select([sys.stdin], [], [], NOTE_S)
    except (OSError, ValueError):  # a stand-in that is no file: it has what it has
        waits = [sys.stdin]
    if not waits:
        click.echo(
            f"mesh: reading standard input, which goes with {what}; end it, or say < /dev/null",
            err=True,
        )
    text = _from_stdin()
    return text if text.strip() else ""


def _from_stdin() -> str:
    if sys.stdin is None or sys.stdin.closed:
        raise click.UsageError("standard input is closed; say what to ask as an argument")
    try:
        data = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"cannot read standard input: {error.strerror}") from None
    if len(data) > MAX_STDIN_BYTES:
        raise click.UsageError(f"standard input is over {MAX_STDIN_BYTES // 2**20} MiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"standard input is not valid UTF-8 text (byte 0x{data[error.start]:02x} at position "
            f"{error.start})"
        ) from None
    if "\0" in text:
        at = text.index("\0")
        raise click.UsageError(f"standard input is binary, no text (a zero byte at position {at})")
    return text
