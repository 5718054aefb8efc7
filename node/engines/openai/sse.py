"""An upstream's stream: bytes as they come off the wire in, whole events out. Pure.

After the WHATWG's "Server-sent events" (HTML standard, 9.2.6), whatever the cuts between reads:
lines end in CRLF, LF or CR, a character may be split, comments are skipped, and data of several
lines is joined. What servers send beside that is read too: JSON without ``data:`` (a whole answer,
or an object a line), events without the blank line between them, llama.cpp's field ``error``. What
one event may hold is bounded.
"""

from __future__ import annotations

from typing import NamedTuple

from mesh.errors import EngineFailed
from node.engines.openai.chunks import is_json

MAX_EVENT_BYTES = 1024 * 1024
DONE = "[DONE]"

_HEAD_BYTES = 200  # of what came first, for an error that shows what it was
_MARK = b"\xef\xbb\xbf"  # a byte order mark


class Sent(NamedTuple):
    """``name``: of the field ``event``. Bytes of ``data`` that are no UTF-8 are in it as
    ``surrogateescape`` has them: half a character may find its other half in the next event."""

    data: str
    name: str = ""


class EventReader:
    """``head``: the first bytes that came. ``odd``: of the first line that is in no format."""

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._line = bytearray()
        self._data: list[bytes] = []
        self._json: list[bytes] = []  # lines of an object that came without ``data:``
        self._name = b""
        self._size = 0
        self._after_return = False
        self._first = True
        self.head = b""
        self.odd = b""

    def read(self, data: bytes) -> list[Sent]:
        """The events that ``data`` completes. Raises ``EngineFailed`` for an event larger than the
        limit."""
        if len(self.head) < _HEAD_BYTES:
            self.head = (self.head + data)[:_HEAD_BYTES]
        if self._after_return and data:
            data = data.removeprefix(b"\n")
            self._after_return = False
        if not data:
            return []
        self._after_return = data.endswith(b"\r")
        events: list[Sent] = []
        *lines, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._grow(len(line))
            if self._line:
                line = bytes(self._line) + line
                self._line.clear()
            self._take(line, events)
        self._grow(len(rest))
        self._line += rest
        return events

    def end(self) -> list[Sent]:
        """What the stream's end left without the line end or the blank line that completes it: the
        last words of a server that saves it, or half of a broken event."""
        rest: list[Sent] = []
        self._take(bytes(self._line), rest)
        self._line.clear()
        self._finish_json(rest)
        self._take(b"", rest)
        return rest

    def _take(self, line: bytes, events: list[Sent]) -> None:
        if self._first and line:
            line, self._first = line.removeprefix(_MARK), False
        if line.startswith(b"data:") or line == b"data":
            self._finish_json(events)
            if len(self._data) == 1 and _whole(self._data[0]):
                self._dispatch(events)  # no blank line between two events
            self._data.append(line[5:].removeprefix(b" "))
        elif self._json:
            self._json.append(line)
        elif not line:
            self._dispatch(events)
        elif line.startswith(b":"):
            self._size = sum(map(len, self._data))
        elif line.startswith(b"event:"):
            self._name = line[6:].strip()
        elif line.startswith(b"error:"):
            self._name = b"error"
            self._data.append(line[6:].strip())
        elif line.lstrip()[:1] in (b"{", b"["):
            self._json.append(line)
            if line.rstrip()[-1:] in (b"}", b"]"):
                self._finish_json(events)
        elif not self.odd and line.partition(b":")[0] not in (b"id", b"retry"):
            self.odd = line[:_HEAD_BYTES]

    def _dispatch(self, events: list[Sent]) -> None:
        if self._data:
            # Only whole lines are decoded, so no read has cut a character here.
            events.append(Sent(_decoded(b"\n".join(self._data)), _decoded(self._name)))
        self._data.clear()
        self._name, self._size = b"", 0

    def _finish_json(self, events: list[Sent]) -> None:
        if self._json:
            events.append(Sent(_decoded(b"\n".join(self._json))))
            self._json.clear()
            self._size = sum(map(len, self._data))

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise EngineFailed(
                f"the upstream sent an event of more than {self._limit:,} bytes; that is no stream "
                "of tokens"
            )


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _whole(data: bytes) -> bool:
    """Whether one line is an event by itself."""
    if not data.startswith(b"{"):
        return data.strip() == DONE.encode()
    return is_json(_decoded(data))
