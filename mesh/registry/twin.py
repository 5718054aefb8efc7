"""The registry's twin: the same guarantees, on an injected clock.

Sessions share a ``TwinStore``, which also has the knobs that break things.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from math import inf

from mesh.clock import Clock
from mesh.either import either
from mesh.errors import RegistryUnavailable
from mesh.registry.announcements import Announcements, Entry, Holder, check_value, owned, rival_of
from mesh.registry.base import Change, Delete, Put
from mesh.registry.feed import Feed


@dataclass(slots=True)
class _Lease:
    ttl_s: float
    ends_at: float


@dataclass(slots=True)
class _Held:
    value: bytes
    lease: _Lease | None
    revision: int


class TwinStore:
    """What an etcd would hold. Time is passed in by the sessions, whose loops also sweep ended
    leases: with no session running, nothing ends."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._sessions: dict[TwinRegistry, _Lease | None] = {}  # those that run
        self._cut: set[TwinRegistry] = set()
        self._revision = 0

    # Test knobs.

    def drop_session(self, session: TwinRegistry) -> None:
        """Its lease is lost: its keys vanish; it finds out at its next refresh."""
        lease = self._sessions.get(session)
        if lease is not None:
            self._sessions[session] = None
            self._drop(lease)

    def delete(self, key: str) -> None:
        """By hand, whosever it is."""
        self._delete(key)

    def partition(self, session: TwinRegistry, cut: bool) -> None:
        """Cuts the session off (its calls fail, its watches are silent) or heals that."""
        if cut:
            self._cut.add(session)
        elif session in self._cut:
            self._cut.discard(session)
            session.refill()
        session.wake()

    def snapshot(self, prefix: str) -> dict[str, bytes]:
        return {k: held.value for k, held in self._held.items() if k.startswith(prefix)}

    # What sessions call. Those that a server would answer raise ``RegistryUnavailable``.

    def reachable(self, session: TwinRegistry) -> bool:
        return session not in self._cut

    def join(self, session: TwinRegistry) -> None:
        self._sessions[session] = None
        if self.reachable(session):
            session.refill()

    def leave(self, session: TwinRegistry) -> None:
        lease = self._sessions.pop(session, None)
        if lease is not None and self.reachable(session):
            self._drop(lease)  # cut off, it can say nothing: its lease ends by itself

    def refresh(self, session: TwinRegistry, ttl_s: float, now: float) -> bool:
        """False: the lease had ended, and this is a new one."""
        self._check(session)
        lease = self._sessions[session]
        kept = lease is not None and lease.ends_at > now
        if lease is None or not kept:
            if lease is not None:
                self._drop(lease)
            lease = self._sessions[session] = _Lease(ttl_s, now + ttl_s)
        lease.ends_at = now + ttl_s
        return kept

    def write(
        self, session: TwinRegistry, key: str, value: bytes, owner: str | None
    ) -> tuple[Holder, float] | None:
        """None: written. Otherwise who else holds it, under a lease of how many seconds."""
        self._check(session)
        held = self._held.get(key)
        if owner is not None and held is not None:
            rival = rival_of(held.value, owner, leased=held.lease is not None)
            if rival is not None:
                return rival, held.lease.ttl_s if held.lease is not None else 0.0
        self._put(key, value, self._sessions[session])
        return None

    def revision(self, session: TwinRegistry, key: str) -> int:
        """The store's mark of the last write there, 0 where there is none."""
        self._check(session)
        held = self._held.get(key)
        return held.revision if held is not None else 0

    def put(self, session: TwinRegistry, key: str, value: bytes) -> None:
        self._check(session)
        self._put(key, value, None)

    def erase(self, session: TwinRegistry, key: str, owner: str | None) -> None:
        self._check(session)
        held = self._held.get(key)
        if held and (owner is None or owned(held.value, owner)):
            self._delete(key)

    def sweep(self, now: float) -> None:
        """Ends the leases that are due."""
        for lease in {id(h.lease): h.lease for h in self._held.values() if h.lease}.values():
            if lease.ends_at <= now:
                self._drop(lease)

    def next_end(self) -> float:
        """Monotonic seconds of the first lease to end, ``inf`` when there is none."""
        return min((h.lease.ends_at for h in self._held.values() if h.lease), default=inf)

    def _check(self, session: TwinRegistry) -> None:
        if not self.reachable(session):
            raise RegistryUnavailable("the registry is cut off from this session")

    def _put(self, key: str, value: bytes, lease: _Lease | None) -> None:
        self._revision += 1
        self._held[key] = _Held(value, lease, self._revision)
        self._tell(Put(key, value))

    def _delete(self, key: str) -> None:
        del self._held[key]
        self._tell(Delete(key))

    def _drop(self, lease: _Lease) -> None:
        for key in [k for k, held in self._held.items() if held.lease is lease]:
            self._delete(key)

    def _tell(self, change: Change) -> None:
        for session in self._sessions:
            if self.reachable(session):
                session.tell(change)


class TwinRegistry:
    """One process's session with a ``TwinStore``. See ``mesh.registry.base.Registry``."""

    def __init__(self, store: TwinStore, *, lease_ttl_s: float, clock: Clock) -> None:
        self._store = store
        self._ttl_s = lease_ttl_s
        self._clock = clock
        self._announced = Announcements()
        self._wake = asyncio.Event()
        self._feeds: list[tuple[str, Feed]] = []
        self._running = False
        self._connected = False

    @property
    def connected(self) -> bool:
        return self._connected and self._store.reachable(self)

    @property
    def shortfall(self) -> str:
        return "; ".join(filter(None, (feed.shortfall for _, feed in self._feeds)))

    def announce(self, key: str, value: bytes, *, owner: str | None = None) -> None:
        """Raises ``ConfigError`` when the value is larger than etcd would take."""
        self._announced.announce(key, value, owner)
        self._wake.set()

    def withdraw(self, key: str) -> None:
        self._announced.withdraw(key)
        self._wake.set()

    async def put(self, key: str, value: bytes) -> None:
        """Raises ``RegistryUnavailable`` while cut off, ``ConfigError`` for too large a value."""
        check_value(key, value)
        self._store.put(self, key, value)

    async def watch(self, prefix: str) -> AsyncIterator[tuple[Change, ...]]:
        feed = Feed(what=prefix)
        self._feeds.append((prefix, feed))
        if self._running and self._store.reachable(self):
            feed.replace(self._store.snapshot(prefix))
        try:
            while True:
                yield await feed.next()
        finally:
            self._feeds.remove((prefix, feed))

    async def run(self) -> None:
        """Owns the lease until cancelled. Raises ``DuplicateNode``."""
        self._running = True
        self._store.join(self)
        try:
            while True:
                await self._pause(self._step() - self._clock.now())
        finally:
            self._running = self._connected = False
            self._store.leave(self)
            self._announced.lost()

    def _step(self) -> float:
        """Does all that is due; returns when to look again, in monotonic seconds."""
        now = self._clock.now()
        self._store.sweep(now)
        retry_at = now + self._ttl_s / 3
        try:
            if not self._store.refresh(self, self._ttl_s, now):
                self._announced.lost()
            self._connected = True
            for key in self._announced.written():
                self._announced.looked(key, self._store.revision(self, key))
            while entry := self._announced.due(now):
                self._settle(entry, now)
        except RegistryUnavailable:
            self._connected = False
            return min(retry_at, self._store.next_end())
        return min(retry_at, self._store.next_end(), self._announced.next_due())

    def _settle(self, entry: Entry, now: float) -> None:
        self._announced.writing(entry, now)
        if entry.value is None:
            self._store.erase(self, entry.key, entry.owner)
            self._announced.erased(entry)
            return
        found = self._store.write(self, entry.key, entry.value, entry.owner)
        if found is None:
            revision = self._store.revision(self, entry.key)
            self._announced.wrote(entry, entry.value, revision)
        else:
            rival, ttl_s = found
            self._announced.refused(entry, rival, now, max(self._ttl_s, ttl_s))

    async def _pause(self, seconds: float) -> None:
        """Until somebody wakes us or time is up."""
        await either(self._wake.wait(), self._clock.sleep(seconds))
        self._wake.clear()

    # What the store calls.

    def wake(self) -> None:
        self._wake.set()

    def tell(self, change: Change) -> None:
        for prefix, feed in self._feeds:
            if change.key.startswith(prefix):
                feed.apply((change,))
                if feed.wants_snapshot:
                    feed.replace(self._store.snapshot(prefix))

    def refill(self) -> None:
        """The link is (again) there: everything as it stands now."""
        for prefix, feed in self._feeds:
            feed.replace(self._store.snapshot(prefix))
