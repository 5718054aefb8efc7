"""A small file of measured figures, kept in the node's state folder from one run to the next."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from mesh.files import SHOWN, read_whole, write_whole

log = logging.getLogger(__name__)

MAX_BYTES = 512 * 1024  # a longer file is cut there, and so is no JSON


class Content(msgspec.Struct, frozen=True):
    """What such a file begins with; subclasses add the figures."""

    format: int


C = TypeVar("C", bound=Content)


@dataclass(frozen=True, slots=True)
class KeptFile(Generic[C]):
    """``what`` it holds, for the log. A file that cannot be read counts as none, and one that
    cannot be written stays as it was; either with one line in the log."""

    path: Path
    content: type[C]
    format: int
    what: str

    def read(self) -> C | None:
        try:
            data = read_whole(self.path, MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("cannot read %s in %s: %s", self.what, self.path, error.strerror)
            return None
        try:
            found = msgspec.json.decode(data, type=self.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            log.warning("%s is damaged (%s): %s start anew", self.path, error, self.what)
            return None
        if found.format != self.format:
            log.warning("%s has format %s: %s start anew", self.path, found.format, self.what)
            return None
        return found

    def write(self, content: C) -> None:
        """At once and whole."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, msgspec.json.encode(content), mode=SHOWN)
        except OSError as error:
            log.warning("cannot keep %s in %s: %s", self.what, self.path, error.strerror)
