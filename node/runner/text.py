"""Bytes of tokens in, text of pieces out: UTF-8 across token borders, and stop strings.

Ids and texts stay one to one: every token becomes exactly one ``Piece``, in order. A character
belongs to the token that completes it. A token whose text may still change (its end may begin a
stop string) is *held* together with all after it and comes as soon as that is settled; so does the
last token while it ends inside a character, since at the end of the answer U+FFFD would be its
text. At the latest they come with ``flush``. So no character of a stop string ever leaves, the
joined texts are valid UTF-8 at every point, and index in the stream = index of the token.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable

from mesh.types import Piece


class TextAssembler:
    """One answer's text.

    A resume starts after ``delivered``, the text of the pieces that the client has. ``spelled`` are
    the raw bytes of those pieces' tokens, where known: they also tell what had not become text yet,
    the start of a character or of a stop string.

    ``stopped`` turns True when a stop string is complete: it and all after it is cut, the pieces
    of its tokens have come (with what text preceded it), and nothing more may be pushed. After a
    resume it may be True from the start.
    """

    def __init__(
        self, stop: Iterable[str] = (), *, delivered: str = "", spelled: bytes | None = None
    ) -> None:
        self._stop = tuple(s for s in stop if s)
        self._keep = max((len(s) for s in self._stop), default=1) - 1
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        # ``_text`` is what the next search looks at: up to ``_sent`` it has left, the rest is held.
        self._text = self._decoder.decode(delivered.encode() if spelled is None else spelled)
        self._sent = len(delivered if self._text.startswith(delivered) else self._text)
        self._held: deque[tuple[int, int]] = deque()  # (token id, where in _text its text ends)
        self.stopped = self._find_stop() is not None
        self._forget()

    @property
    def held(self) -> int:
        """Tokens pushed whose pieces have not come yet."""
        return len(self._held)

    def push(self, token: int, data: bytes) -> tuple[Piece, ...]:
        """Adds one token's raw bytes; returns the pieces that are settled now, maybe none."""
        if (
            not self._stop
            and data.isascii()
            and not self._held
            and not self._text
            and not self._decoder.getstate()[0]
        ):
            return (Piece(id=token, text=data.decode("ascii")),)  # the common case, once a token
        self._text += self._decoder.decode(data)
        self._held.append((token, len(self._text)))
        found = self._find_stop()
        if found is not None:
            self._text = self._text[:found]
            self.stopped = True
            return self._release(len(self._held))
        settled = len(self._text) - self._open_suffix()
        inside_character = bool(self._decoder.getstate()[0])
        count = sum(1 for _, end in self._held if end <= settled)
        return self._release(min(count, len(self._held) - inside_character))

    def flush(self) -> tuple[Piece, ...]:
        """The answer ends here: the held pieces with their text, a possible beginning of a stop
        string included; bytes that never became a character are U+FFFD."""
        rest = self._decoder.decode(b"", final=True)
        if rest and self._held:
            self._text += rest
            token, _ = self._held.pop()
            self._held.append((token, len(self._text)))
        return self._release(len(self._held))

    def _find_stop(self) -> int | None:
        """Where to cut. The stop string that is complete first wins, at a tie the longer one, so
        that the outcome does not depend on where tokens begin and end."""
        places = [(p + len(s), p) for s in self._stop if (p := self._text.find(s)) >= 0]
        return max(min(places)[1], self._sent) if places else None

    def _open_suffix(self) -> int:
        """Length of the longest end of the held text that begins some stop string."""
        longest = 0
        for stop in self._stop:
            for length in range(min(len(stop) - 1, len(self._text)), longest, -1):
                if self._text.endswith(stop[:length]):
                    longest = length
                    break
        return longest

    def _release(self, count: int) -> tuple[Piece, ...]:
        pieces = []
        for _ in range(count):
            token, end = self._held.popleft()
            end = max(min(end, len(self._text)), self._sent)
            pieces.append(Piece(id=token, text=self._text[self._sent : end]))
            self._sent = end
        self._forget()
        return tuple(pieces)

    def _forget(self) -> None:
        """Drops text that has left, but for what a stop string could still begin in."""
        spare = self._sent - self._keep
        if spare > 0:
            self._text = self._text[spare:]
            self._sent -= spare
            self._held = deque((token, end - spare) for token, end in self._held)
