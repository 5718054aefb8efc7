"""Logging to stderr, one clear line an event. Set up once, by a process's ``__main__``."""

from __future__ import annotations

import logging
import sys
from datetime import datetime
from typing import Any

from mesh.cleaned import cleaned, harmless
from mesh.errors import ConfigError, MeshError

LONGEST_LINE = 8_000  # characters
LONGEST_TRACEBACK = 32_000
LEVELS = ("debug", "info", "warning", "error")


class _Lines(logging.Formatter):
    """``time LEVEL process message``; at debug the logger's name too.

    Whatever strangers said in it, a message is one line, and a traceback holds nothing that a
    terminal obeys. A ``MeshError`` says all that is needed in its message, so its traceback is left
    out; any other exception is a defect and keeps it.
    """

    def __init__(self, process_name: str, *, with_logger: bool) -> None:
        logger = "[%(name)s] " if with_logger else ""
        process = process_name.replace("%", "%%")
        super().__init__(f"%(asctime)s %(levelname)s {process} {logger}%(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        return moment.isoformat(timespec="milliseconds")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = cleaned(record.message, LONGEST_LINE)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return harmless(super().formatException(ei)[-LONGEST_TRACEBACK:])

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, MeshError):
            return super().format(record)
        info, record.exc_info, record.exc_text = record.exc_info, None, None
        try:
            return f"{super().format(record)}: {error.message} ({error.code})"
        finally:
            record.exc_info = info  # other handlers of this record may want it


def configure(level: str, process_name: str) -> None:
    """Sends this process's log to stderr. Raises ``ConfigError`` for a level that is none.

    ``level``: ``debug``, ``info``, ``warning`` or ``error``. ``process_name`` stands in every line,
    for example ``node math``.
    """
    if level.lower() not in LEVELS:
        raise ConfigError(f"log_level '{level}' is unknown; one of {', '.join(LEVELS)}")
    debug = level.lower() == "debug"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(process_name, with_logger=debug))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Libraries narrate at info what only their own developers want to read.
    for library in (
        *("grpc", "aetcd", "opentelemetry", "asyncio"),
        *("httpx", "httpx2", "httpcore2", "huggingface_hub"),
    ):
        logging.getLogger(library).setLevel(logging.DEBUG if debug else logging.WARNING)
