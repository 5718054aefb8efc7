"""Encoded answers of this process, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict

# What an entry costs beside its answer: key, tuple, end of its time, and its places in the ordered
# dictionary (measured with tracemalloc on CPython 3.11: 205 to 290 bytes, as the tables grow).
ENTRY_BYTES = 256


class Entries:
    """At the limit the least recently used make room: repeats of a prompt come close together (a
    retry, a shared link, a test that runs again), the order costs nothing to keep, and unlike by
    frequency an answer that was popular once does not stay for ever. Everything is O(1).

    What is too old goes when it is looked up, or as the least recently used; nothing sweeps, since
    bytes are bounded anyway. ``max_bytes``: estimated real memory. Times: monotonic seconds.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()
        self.bytes = 0
        self.evicted = 0
        self.expired = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes, now: float) -> bytes | None:
        found = self._held.get(key)
        if found is None:
            return None
        data, ends_at = found
        if ends_at <= now:
            self.expired += 1
            self.drop(key)
            return None
        self._held.move_to_end(key)
        return data

    def put(self, key: bytes, data: bytes, ends_at: float) -> bool:
        """Whether there is room for it at all."""
        self.drop(key)
        size = ENTRY_BYTES + len(data)
        if size > self._max_bytes:
            return False
        while self.bytes + size > self._max_bytes:
            _, (oldest, _) = self._held.popitem(last=False)
            self.bytes -= ENTRY_BYTES + len(oldest)
            self.evicted += 1
        self._held[key] = (data, ends_at)
        self.bytes += size
        return True

    def drop(self, key: bytes) -> None:
        found = self._held.pop(key, None)
        if found is not None:
            self.bytes -= ENTRY_BYTES + len(found[0])
