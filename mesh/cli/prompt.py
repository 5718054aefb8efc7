"""Where a prompt comes from: an argument or standard input. Bad text is refused right here."""

from __future__ import annotations

import sys

import click

MAX_STDIN_BYTES = 64 * 1024 * 1024  # far above what an orchestrator takes; below what hurts here


def read_prompt(argument: str | None) -> str:
    """``-``, or nothing with a pipe, reads standard input. Raises ``UsageError``."""
    if argument is None and sys.stdin.isatty():
        raise click.UsageError("no prompt; say what to ask, or '-' to read it from standard input")
    text = _from_stdin() if argument in (None, "-") else checked(argument or "", "the prompt")
    if not text.strip():
        raise click.UsageError("the prompt is empty; say what to ask")
    return text


def checked(text: str, what: str) -> str:
    """Arguments that were no valid UTF-8 reach Python as lone surrogates (PEP 383)."""
    bad = next((i for i, char in enumerate(text) if "\ud800" <= char <= "\udfff"), None)
    if bad is not None:
        raise click.UsageError(f"{what} is not valid UTF-8 text (at character {bad})")
    return text


def _from_stdin() -> str:
    data = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    if len(data) > MAX_STDIN_BYTES:
        raise click.UsageError(f"standard input is over {MAX_STDIN_BYTES // 2**20} MiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"standard input is not valid UTF-8 text (byte 0x{data[error.start]:02x} at position "
            f"{error.start})"
        ) from None
