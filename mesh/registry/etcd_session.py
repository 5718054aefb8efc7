"""A process's session with etcd: its lease, and what it announces under it."""

from __future__ import annotations

import asyncio
import logging
import random
from itertools import cycle

import aetcd

from mesh.backoff import Backoff
from mesh.cleaned import cleaned
from mesh.clock import Clock
from mesh.either import either
from mesh.errors import DuplicateNode, RegistryUnavailable
from mesh.registry.announcements import Announcements, Entry, Holder, owned, rival_of
from mesh.registry.etcd_client import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    Endpoint,
    RegistryRejected,
    connected,
    translated,
)

log = logging.getLogger("mesh.registry")

LEAVE_TIMEOUT_S = 1.0


class EtcdSession:
    """Makes ``announced`` true in etcd, again and again, until cancelled.

    One loop does one thing at a time: refresh the lease, write one key, or wait. ``wake`` is set by
    whoever changes ``announced``. ``ttl_s`` and ``answer_s`` (deadline of one call): seconds.
    """

    def __init__(
        self,
        announced: Announcements,
        wake: asyncio.Event,
        endpoints: tuple[Endpoint, ...],
        *,
        root: str,
        ttl_s: int,
        answer_s: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._announced = announced
        self._wake = wake
        self._endpoints = cycle(endpoints)
        self._root = root
        self._ttl_s = ttl_s
        self._answer_s = answer_s
        self._clock = clock
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, rng)
        self._lease: int | None = None
        self._refresh_at = 0.0
        self._up: bool | None = None  # None: nothing was tried yet

    @property
    def connected(self) -> bool:
        return self._up is True

    async def run(self) -> DuplicateNode:
        """Returns only with the reason why this process may not go on; cancelled or not, it revokes
        its lease when it leaves, so that its keys vanish at once (best effort, bounded)."""
        endpoint = next(self._endpoints)
        try:
            while True:
                try:
                    async with connected(endpoint, self._answer_s) as client:
                        await self._serve(client, endpoint)
                except RegistryUnavailable as error:
                    self._turned_down(error)
                    endpoint = next(self._endpoints)
                await self._clock.sleep(self._backoff.next())
        except DuplicateNode as duplicate:
            return duplicate
        finally:
            self._up = None
            await self._leave(endpoint)

    async def _serve(self, client: aetcd.Client, endpoint: Endpoint) -> None:
        """One connection's life. Raises ``RegistryUnavailable`` at its end, ``DuplicateNode``."""
        with translated(endpoint):
            await self._hold_lease(client)
        self._turned_up(endpoint)
        while True:
            now = self._clock.now()
            if now >= self._refresh_at:
                with translated(endpoint):
                    await self._hold_lease(client)
                    await self._look(client)
            elif entry := self._announced.due(now):
                await self._settle(client, endpoint, entry)
            else:
                await self._pause(min(self._refresh_at, self._announced.next_due()) - now)

    async def _hold_lease(self, client: aetcd.Client) -> None:
        """Refreshes the lease; where it has ended, takes a new one and makes all keys due again."""
        if self._lease is not None:
            reply = await client.refresh_lease(self._lease)
            if reply is None or reply.TTL <= 0:
                log.warning("registry: the lease was lost; announcing everything again")
                self._forget()
            elif not self.connected:
                # Back after an outage. A cluster restored from a backup may know the lease and
                # yet not our last writes, so ask what it really holds.
                info = await client.get_lease_info(self._lease)
                root = self._root.encode()
                self._announced.found(
                    {key.removeprefix(root).decode(errors="replace") for key in info.keys}
                )
        if self._lease is None:
            self._lease = (await client.lease(self._ttl_s)).id
        self._refresh_at = self._clock.now() + self._ttl_s / 3

    async def _look(self, client: aetcd.Client) -> None:
        """Whether what we wrote is still there, and still ours."""
        for key in self._announced.written():
            found = await client.get((self._root + key).encode())
            if self._announced.looked(key, 0 if found is None else found.mod_revision):
                what = "was deleted" if found is None else "was written over"
                log.warning("registry: '%s' %s by somebody else; writing it again", key, what)

    def _forget(self) -> None:
        self._lease = None
        self._announced.lost()

    async def _settle(self, client: aetcd.Client, endpoint: Endpoint, entry: Entry) -> None:
        """Writes or deletes one key."""
        self._announced.writing(entry, self._clock.now())
        try:
            with translated(endpoint):
                if entry.value is None:
                    await self._erase(client, entry)
                elif entry.owner is None:
                    value = entry.value
                    put = await client.put(self._full(entry), value, lease=self._lease)
                    self._announced.wrote(entry, value, put.header.revision)
                else:
                    await self._claim(client, entry, entry.value, entry.owner)
        except RegistryRejected as rejection:
            # An answer, so the connection is fine. It may mean that the lease is gone: look at
            # once, which makes the key due again; anything else is tried again later.
            if self._announced.rejected(entry, rejection.message, self._clock.now()):
                log.warning("registry: cannot write '%s': %s", entry.key, rejection.message)
            self._refresh_at = self._clock.now()

    async def _erase(self, client: aetcd.Client, entry: Entry) -> None:
        key = self._full(entry)
        if entry.owner is None:
            await client.delete(key)
        else:
            # Only what is ours: another process may hold the key by now.
            operations = client.transactions
            found = await client.get(key)
            if found is not None and owned(found.value, entry.owner):
                unchanged = operations.mod(key) == found.mod_revision
                await client.transaction([unchanged], [operations.delete(key)], [])
        self._announced.erased(entry)

    async def _claim(self, client: aetcd.Client, entry: Entry, value: bytes, owner: str) -> None:
        """Writes an exclusive key unless another owner holds it, by compare-and-set on its
        revision: an absent key's is 0, as is that of an entry that we never wrote."""
        key = self._full(entry)
        operations = client.transactions
        for _ in range(3):  # each round more means that the key changed under us in between
            done, answers = await client.transaction(
                [operations.mod(key) == entry.revision],
                [operations.put(key, value, lease=self._lease)],
                [operations.get(key)],
            )
            if done:
                revision = answers[0].response_put.header.revision
                self._announced.wrote(entry, value, revision)
                return
            found = answers[0][0][1] if answers[0] else None
            if found is None:
                entry.revision = 0
            elif rival := rival_of(found.value, owner, leased=bool(found.lease)):
                await self._yield_to(client, entry, rival, found.lease)
                return
            else:
                # Ours, from before a lost answer or lease; or a stray value.
                entry.revision = found.mod_revision

    async def _yield_to(
        self, client: aetcd.Client, entry: Entry, rival: Holder, lease: int
    ) -> None:
        """Another owner holds the key. Raises ``DuplicateNode`` once it has outlived its lease."""
        info = await client.get_lease_info(lease, keys=False)
        ttl_s = max(self._ttl_s, info.grantedTTL)  # the other process may run another preset
        if self._announced.refused(entry, rival, self._clock.now(), ttl_s):
            log.warning(
                "registry: '%s' is held by pid %d on %s; waiting up to %.0f s for it to end",
                entry.key,
                rival.pid,
                cleaned(rival.host, 100),
                ttl_s + 1,
            )

    async def _pause(self, seconds: float) -> None:
        """Until ``wake`` is set or time is up."""
        await either(self._wake.wait(), self._clock.sleep(seconds))
        self._wake.clear()

    async def _leave(self, endpoint: Endpoint) -> None:
        if self._lease is None:
            return
        lease, self._lease = self._lease, None
        self._announced.lost()
        try:
            async with connected(endpoint, LEAVE_TIMEOUT_S) as client:
                with translated(endpoint):
                    await client.revoke_lease(lease)
        except RegistryUnavailable as error:
            log.info("registry: left without saying so (the lease ends by itself): %s", error)

    def _turned_up(self, endpoint: Endpoint) -> None:
        if self._up is not True:
            log.info("registry: connected to etcd at %s", endpoint)
        self._up = True
        self._backoff.reset()

    def _turned_down(self, error: RegistryUnavailable) -> None:
        if self._up is not False:
            log.warning(
                "registry: %s; going on from the last view and trying again until it is back",
                error.message,
            )
        self._up = False

    def _full(self, entry: Entry) -> bytes:
        return (self._root + entry.key).encode()
