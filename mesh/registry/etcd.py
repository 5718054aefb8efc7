"""The registry on etcd: one lease, what is announced under it, and the watches."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from math import ceil

from mesh.clock import Clock
from mesh.errors import RegistryUnavailable
from mesh.registry.announcements import Announcements, check_value
from mesh.registry.base import Change
from mesh.registry.etcd_client import connected, parse_endpoints, translated
from mesh.registry.etcd_session import EtcdSession
from mesh.registry.etcd_watch import EtcdWatch
from mesh.registry.feed import Feed

# Deadline of one call: a third of the lease, so that a refresh that fails can be tried again
# before the lease ends; the bounds keep odd leases usable.
_ANSWER_BOUNDS_S = (0.5, 3.0)


class EtcdRegistry:
    """See ``mesh.registry.base.Registry`` for the guarantees.

    ``endpoint``: ``host:port``, or several with commas, tried in turn. ``prefix``: where the keys
    live, ``/mesh/v1``. ``lease_ttl_s``: seconds after which a killed process's keys vanish (etcd
    counts whole seconds; it may give more where its election timeout is long). Raises
    ``ConfigError`` for an endpoint that is not one.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        prefix: str,
        lease_ttl_s: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._endpoints = parse_endpoints(endpoint)
        self._root = prefix.rstrip("/") + "/"
        self._ttl_s = max(1, ceil(lease_ttl_s))
        low, high = _ANSWER_BOUNDS_S
        self._answer_s = min(high, max(low, self._ttl_s / 3))
        self._clock = clock
        self._rng = rng
        self._announced = Announcements()
        self._wake = asyncio.Event()
        self._session = EtcdSession(
            self._announced,
            self._wake,
            self._endpoints,
            root=self._root,
            ttl_s=self._ttl_s,
            answer_s=self._answer_s,
            clock=clock,
            rng=rng,
        )
        self._group: asyncio.TaskGroup | None = None
        self._watches: dict[EtcdWatch, asyncio.Task[None] | None] = {}  # None: run is not running

    @property
    def connected(self) -> bool:
        return self._session.connected

    @property
    def shortfall(self) -> str:
        return "; ".join(filter(None, (watch.shortfall for watch in self._watches)))

    def announce(self, key: str, value: bytes, *, owner: str | None = None) -> None:
        """Raises ``ConfigError`` when the value is larger than etcd takes."""
        self._announced.announce(key, value, owner)
        self._wake.set()

    def withdraw(self, key: str) -> None:
        self._announced.withdraw(key)
        self._wake.set()

    async def put(self, key: str, value: bytes) -> None:
        """Works without ``run`` too. Raises ``RegistryUnavailable``; ``ConfigError`` when the value
        is larger than etcd takes."""
        check_value(key, value)
        failure: RegistryUnavailable | None = None
        for endpoint in self._endpoints:
            try:
                async with connected(endpoint, self._answer_s) as client:
                    with translated(endpoint):
                        await client.put((self._root + key).encode(), value)
                        return
            except RegistryUnavailable as error:
                failure = error
        raise failure or RegistryUnavailable("etcd: no endpoint is known")

    async def watch(self, prefix: str) -> AsyncIterator[tuple[Change, ...]]:
        feed = Feed(what=prefix)
        watch = EtcdWatch(
            feed,
            self._endpoints,
            root=self._root,
            prefix=prefix,
            answer_s=self._answer_s,
            probe_s=self._ttl_s / 3,
            clock=self._clock,
            rng=self._rng,
        )
        self._watches[watch] = self._group.create_task(watch.run()) if self._group else None
        try:
            while True:
                yield await feed.next()
        finally:
            if task := self._watches.pop(watch):
                task.cancel()

    async def run(self) -> None:
        """Owns lease and watches until cancelled. Raises ``DuplicateNode``."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for watch in self._watches:
                    self._watches[watch] = group.create_task(watch.run())
                try:
                    # Returned, not raised: the group would wrap it.
                    duplicate = await self._session.run()
                finally:
                    self._group = None  # a group that is ending takes no new watch
                for task in self._watches.values():
                    if task is not None:
                        task.cancel()
        finally:
            self._watches = dict.fromkeys(self._watches)
        raise duplicate
