"""Server-sent events: bytes as they come off the wire in, the data of whole events out. Pure.

After the WHATWG's "Server-sent events" (HTML standard, 9.2.6), whatever the cuts between reads:
lines end in CRLF, LF or CR, a character may be split, comments are skipped, and data of several
lines is joined. What one event may hold is bounded.
"""

from __future__ import annotations

from mesh.errors import EngineFailed

MAX_EVENT_BYTES = 1024 * 1024
DONE = "[DONE]"

_HEAD_BYTES = 200  # of what came first, for an error that shows what it was
_MARK = b"\xef\xbb\xbf"  # a byte order mark


class EventReader:
    """``head``: the first bytes that came."""

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_return = False
        self._first = True
        self.head = b""

    def read(self, data: bytes) -> list[str]:
        """The data of the events that ``data`` completes. Raises ``EngineFailed`` for an event
        larger than the limit."""
        if len(self.head) < _HEAD_BYTES:
            self.head = (self.head + data)[:_HEAD_BYTES]
        if self._after_return and data:
            data = data.removeprefix(b"\n")
            self._after_return = False
        if not data:
            return []
        self._after_return = data.endswith(b"\r")
        events: list[str] = []
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

    def end(self) -> str:
        """What the stream's end left without the blank line that completes it, "" for nothing: the
        last words of a server that saves it, or half of a broken event."""
        rest: list[str] = []
        self._take(bytes(self._line), rest)
        self._line.clear()
        self._take(b"", rest)
        return rest[0] if rest else ""

    def _take(self, line: bytes, events: list[str]) -> None:
        if self._first and line:
            line, self._first = line.removeprefix(_MARK), False
        if not line:
            if self._data:
                # Only whole lines are decoded, so no character is ever in two parts here.
                events.append(b"\n".join(self._data).decode("utf-8", "replace"))
            self._data.clear()
            self._size = 0
        elif line.startswith(b":"):
            self._size = sum(map(len, self._data))
        elif line == b"data" or line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise EngineFailed(
                f"the upstream sent an event of more than {self._limit:,} bytes; that is no stream "
                "of tokens"
            )
