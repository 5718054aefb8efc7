"""Prompts and conversations in files: one prompt a line, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

from mesh.cli.prompt import checked
from mesh.errors import MeshError
from mesh.types import Message

MAX_LINE_BYTES = 16 * 1024 * 1024
MAX_HISTORY_BYTES = 64 * 1024 * 1024

Line = tuple[int, str | tuple[Message, ...]]  # number from 1, and what it asks


def prompts_in(path: str) -> Generator[Line, None, None]:
    """The prompts of a file ('-': standard input), as they are read. Lines are text, or, where the
    first one is a JSON object, all of them JSON objects with "prompt" or "messages". Empty lines
    are passed over. Raises ``UsageError`` that names the line."""
    with ExitStack() as held:
        file: BinaryIO = (
            sys.stdin.buffer if path == "-" else held.enter_context(_opened(Path(path)))
        )
        name = "standard input" if path == "-" else path
        as_json: bool | None = None
        number = 0
        while data := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            where = f"line {number} of {name}"
            if len(data) > MAX_LINE_BYTES:
                raise click.UsageError(f"{where} is over {MAX_LINE_BYTES // 2**20} MiB")
            text = _decoded(data.removeprefix(b"\xef\xbb\xbf"), where).strip()
            if not text:
                continue
            if as_json is None:
                as_json = _is_object(text)
            yield number, _asked(text, where) if as_json else text


def history_of(path: str) -> tuple[Message, ...]:
    """The messages of a JSON file: a list, or an object with "messages". Raises ``UsageError``."""
    with _opened(Path(path)) as file:
        data = file.read(MAX_HISTORY_BYTES + 1)
    if len(data) > MAX_HISTORY_BYTES:
        raise click.UsageError(f"{path} is over {MAX_HISTORY_BYTES // 2**20} MiB")
    found = _parsed(_decoded(data, path), path)
    return _messages(found.get("messages") if isinstance(found, dict) else found, path)


def _asked(text: str, where: str) -> str | tuple[Message, ...]:
    found = _parsed(text, where)
    if isinstance(found, dict) and isinstance(found.get("prompt"), str):
        return checked(found["prompt"], where)
    if isinstance(found, dict) and "messages" in found:
        return _messages(found["messages"], where)
    raise click.UsageError(f'{where} must be a JSON object with "prompt" or "messages"')


def _messages(found: Any, where: str) -> tuple[Message, ...]:
    from mesh.client.prompt import messages_of

    if not isinstance(found, list) or not found:
        raise click.UsageError(
            f'{where} needs a list of messages, each {{"role": "user", "content": "…"}}'
        )
    try:
        return messages_of(found)
    except MeshError as error:
        raise click.UsageError(f"{where}: {error.message}") from None


def _is_object(text: str) -> bool:
    if not text.startswith("{"):
        return False
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and ("prompt" in found or "messages" in found)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{where} is not valid JSON: {error}") from None


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"{where} is not valid UTF-8 text (byte 0x{data[error.start]:02x})"
        ) from None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """What is asked of it inside may be refused, too."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror or error}") from None
