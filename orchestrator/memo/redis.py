"""The memo that orchestrators share through a Redis, behind one of each process's own."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from mesh.clock import Clock
from orchestrator.memo.base import MemoCounts, Remembered
from orchestrator.memo.codec import VERSION, decode, encode
from orchestrator.memo.entries import Entries
from orchestrator.memo.link import Failure, RedisLink, RedisRefusal, Replied
from orchestrator.memo.settings import MemoSettings

PREFIX = f"squadron:memo:{VERSION}:"
QUEUED_WRITES = 256
QUEUED_BYTES = 8 * 1024 * 1024
_LONGEST_TTL_S = 10 * 365 * 86_400.0

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Write:
    """``data`` None: the key is deleted."""

    name: str
    data: bytes | None

    @property
    def size(self) -> int:
        return len(self.data) if self.data is not None else 0


class RedisMemo:
    """A ``Memo``: this process's own entries first, then Redis (``settings.redis``, a URL).

    * Size there is Redis' own affair: give it ``maxmemory`` and ``maxmemory-policy allkeys-lru``.
      ``max_bytes`` bounds this process's part only. Of a value no more than ``max_answer_bytes``
      (and one) is ever read.
    * Every call has the deadline ``redis_timeout_ms``, and while Redis is away nobody asks it
      (``orchestrator/memo/link.py``). Writes go through a bounded queue and are dropped at its
      limit, so that ``keep`` never waits.
    * Ages are by the wall clock of the orchestrator that kept the answer.

    Raises ``ConfigError`` for a URL that is none.
    """

    def __init__(self, settings: MemoSettings, clock: Clock) -> None:
        self.max_answer_bytes = settings.max_answer_bytes
        self._ttl_s = min(settings.ttl_s, _LONGEST_TTL_S)
        self._clock = clock
        self._deadline_s = settings.redis_timeout_ms / 1000.0
        self._entries = Entries(settings.max_bytes)
        self._link = RedisLink(settings.redis or "", self._deadline_s, clock)
        self._no_looks = self._no_writes = ""  # why Redis refuses them
        self._writes: asyncio.Queue[_Write] = asyncio.Queue(QUEUED_WRITES)
        self._queued_bytes = 0
        self._hits = self._misses = self._kept = self._too_large = 0
        self._shared_hits = self._dropped = self._garbage = 0

    @property
    def timeout_s(self) -> float:
        """More than the deadline of the one call that a look makes, which shall pass first."""
        return 2 * self._deadline_s + 0.1

    @property
    def trouble(self) -> str:
        return self._link.trouble or self._no_looks or self._no_writes

    @property
    def counts(self) -> MemoCounts:
        return MemoCounts(
            hits=self._hits,
            misses=self._misses,
            kept=self._kept,
            too_large=self._too_large,
            evicted=self._entries.evicted,
            expired=self._entries.expired,
            entries=len(self._entries),
            bytes=self._entries.bytes,
            shared_hits=self._shared_hits,
            shared_failures=self._link.failures,
            dropped_writes=self._dropped,
            garbage=self._garbage,
        )

    async def look(self, key: bytes) -> Remembered | None:
        data = self._entries.get(key, self._clock.now())
        found = decode(data) if data is not None else await self._look_there(key)
        if found is None:
            self._misses += 1
        else:
            self._hits += 1
        return found

    async def keep(self, key: bytes, remembered: Remembered) -> bool:
        if not self._ttl_s > 0:
            return False
        data = encode(remembered)
        if len(data) > self.max_answer_bytes:
            self._too_large += 1
            return False
        here = self._entries.put(key, data, self._clock.now() + self._ttl_s)
        there = self._enqueue(_Write(_name(key), data))
        self._kept += here or there
        return here or there

    async def run(self) -> None:
        """Owns the connections and does the writes, until cancelled. Writes still queued are lost
        then; they were for others, and only a saving."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._link.run(), name="memo-redis-link")
            tasks.create_task(self._write(), name="memo-redis-writes")

    async def _look_there(self, key: bytes) -> Remembered | None:
        name = _name(key)
        # Not GET: whatever lies there, one byte more than an answer may have is read at most.
        match await self._link.call("GETRANGE", name, 0, self.max_answer_bytes, want=bytes):
            case Replied(value=bytes(data)):
                self._no_looks = ""
                return self._check(key, data) if data else None
            case RedisRefusal(message=message) if message.startswith("WRONGTYPE"):
                self._clear(name)
            case RedisRefusal(message=message):
                self._no_looks = _refused("looks an answer up", message, self._no_looks)
        return None

    def _check(self, key: bytes, data: bytes) -> Remembered | None:
        if len(data) > self.max_answer_bytes:
            # Another orchestrator may have a higher limit: not ours to give, nor to delete.
            self._too_large += 1
            return None
        found = decode(data)
        if found is None:
            self._clear(_name(key))
            return None
        age = max(0.0, self._clock.wall() - found.kept_at)
        if age >= self._ttl_s:
            # Redis lets it live as long as whoever kept it said; here our own limit holds.
            self._entries.expired += 1
            return None
        self._entries.put(key, data, self._clock.now() + self._ttl_s - age)
        self._shared_hits += 1
        return found

    def _clear(self, name: str) -> None:
        self._garbage += 1
        self._enqueue(_Write(name, None))

    def _enqueue(self, write: _Write) -> bool:
        limit = max(QUEUED_BYTES, self.max_answer_bytes)
        full = self._writes.full() or self._queued_bytes + write.size > limit
        if full or not self._link.up:
            self._dropped += 1
            return False
        self._writes.put_nowait(write)
        self._queued_bytes += write.size
        return True

    async def _write(self) -> None:
        ttl_ms = max(1, round(self._ttl_s * 1000.0))
        while True:
            write = await self._writes.get()
            self._queued_bytes -= write.size
            if write.data is None:
                outcome = await self._link.call("DEL", write.name)
            else:
                outcome = await self._link.call("SET", write.name, write.data, "PX", ttl_ms)
            match outcome:
                case Replied():
                    self._no_writes = ""
                case RedisRefusal(message=message):
                    self._dropped += 1
                    self._no_writes = _refused("keeps an answer", message, self._no_writes)
                case Failure():
                    self._dropped += 1


def _name(key: bytes) -> str:
    return PREFIX + key.hex()


def _refused(what: str, message: str, told: str) -> str:
    """Logs it once, and gives the words for those who ask."""
    if not told:
        _LOG.warning(
            "the memo's Redis no longer %s: %s; check its maxmemory-policy (allkeys-lru is right) "
            "and this user's permissions",
            what,
            " ".join(message.split())[:200],
        )
    return f"Redis no longer {what}"
