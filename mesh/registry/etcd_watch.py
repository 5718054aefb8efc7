"""One watch on etcd: a snapshot, the stream after it, and what to do when the stream breaks.

The stream is driven on ``aetcd``'s stubs and messages rather than through its ``Watcher``, which
(1.0) hands out single events without their revision, queues them without a limit, waits for ever
when a stream ends without an error, and awaits itself when it ends with one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable
from itertools import cycle
from typing import Any

import aetcd
from aetcd import rpc

from mesh.backoff import Backoff
from mesh.clock import Clock
from mesh.errors import RegistryUnavailable
from mesh.registry.base import Change, Delete, Put
from mesh.registry.etcd_client import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    Endpoint,
    connected,
    translated,
)
from mesh.registry.etcd_pages import end_of, pages
from mesh.registry.feed import Feed

log = logging.getLogger("mesh.registry")

# Without it a member that is cut off from its cluster keeps watches open and silent.
_REQUIRE_LEADER = (("hasleader", "true"),)


class EtcdWatch:
    """Keeps ``feed`` equal to what is under ``root + prefix``, for ever.

    After a lost connection it resumes from the last revision seen, if etcd's history is still the
    same one (see ``_history``) and not compacted; otherwise a new snapshot is taken and compared.
    ``answer_s``: deadline of a call; ``probe_s``: a quiet stream is asked for a sign of life that
    often. A dead stream is noticed within their sum. Seconds.
    """

    def __init__(
        self,
        feed: Feed,
        endpoints: tuple[Endpoint, ...],
        *,
        root: str,
        prefix: str,
        answer_s: float,
        probe_s: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._feed = feed
        self._endpoints = cycle(endpoints)
        self._root = root.encode()
        self._prefix = self._root + prefix.encode()
        self._answer_s = answer_s
        self._probe_s = probe_s
        self._clock = clock
        self._rng = rng
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, rng)
        self._seen = 0  # last revision that is in the feed, 0 for none
        self._seen_in: bytes | None = None  # the history that this revision belongs to

    @property
    def shortfall(self) -> str:
        return self._feed.shortfall

    async def run(self) -> None:
        """Owns the stream until cancelled."""
        while True:
            endpoint = next(self._endpoints)
            try:
                async with connected(endpoint, self._answer_s) as client:
                    await self._follow(client, endpoint)
            except RegistryUnavailable as error:
                # The session says once that the registry is away; this is one more sign of it.
                log.debug("watch on %s: %s", self._prefix.decode(), error)
            await self._clock.sleep(self._backoff.next())

    async def _follow(self, client: aetcd.Client, endpoint: Endpoint) -> None:
        with translated(endpoint):
            history, revision = await self._history(client)
            if not self._seen or history != self._seen_in or revision < self._seen:
                await self._snapshot(client)
                self._seen_in = history
        call = rpc.WatchStub(client.channel).Watch(metadata=_REQUIRE_LEADER)
        try:
            async with asyncio.TaskGroup() as group:
                prober = group.create_task(self._probe(call))
                # Returned, not raised: the group would wrap it.
                broken = await self._outcome(call, endpoint)
                prober.cancel()
        finally:
            call.cancel()
        if broken is not None:
            raise broken

    async def _history(self, client: aetcd.Client) -> tuple[bytes, int]:
        """The name of etcd's history, and its revision now.

        A data folder that was thrown away starts again at revision 1 under the same address and
        cluster id, so a revision alone does not say that the events after it are those that we
        missed. The first watcher of a history gives it a random name, beside the records.
        """
        key = self._root.removesuffix(b"/") + b".history"
        found = await client.get(key)
        if found is None:
            compare, put = client.transactions.create, client.transactions.put
            name = f"{self._rng.getrandbits(128):032x}".encode()
            await client.transaction([compare(key) == 0], [put(key, name)], [])
            found = await client.get(key)
        return (found.value, found.header.revision) if found is not None else (b"", 0)

    async def _snapshot(self, client: aetcd.Client) -> None:
        content: dict[str, bytes] = {}
        seen = size = keys = 0
        async for page in pages(client, self._prefix, self._answer_s):
            seen = seen or page.header.revision
            keys = keys or page.count
            for pair in page.kvs:
                content[self._relative(pair.key)] = pair.value
                size += len(pair.key) + len(pair.value)
            if not self._feed.fits(len(content), size):
                break
        self._seen = seen
        self._feed.replace(content, left_out=max(0, keys - len(content)))

    async def _outcome(self, call: Any, endpoint: Endpoint) -> RegistryUnavailable | None:
        try:
            with translated(endpoint):
                await self._read(call)
        except RegistryUnavailable as error:
            return error
        return None

    async def _read(self, call: Any) -> None:
        """Feeds events until etcd ends the stream. Raises ``TimeoutError`` on silence."""
        create = rpc.WatchCreateRequest(
            key=self._prefix,
            range_end=end_of(self._prefix),
            start_revision=self._seen + 1,
            fragment=True,  # else a burst is one message, larger than any limit
        )
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._answer_s) as silence:
            await call.write(rpc.WatchRequest(create_request=create))
            async for response in call:
                silence.reschedule(loop.time() + self._probe_s + self._answer_s)
                if response.canceled or response.compact_revision:
                    log.debug("watch on %s ended: %s", self._prefix.decode(), response)
                    if response.compact_revision:
                        self._seen = 0  # what we missed is gone; only a snapshot can tell
                    return
                if response.created:
                    self._backoff.reset()
                if response.events:
                    self._feed.apply(self._changes(response.events))
                    if not response.fragment:  # of one revision, more is to come
                        # The event's own revision: the header's may be ahead of what we were sent.
                        self._seen = response.events[-1].kv.mod_revision
                if self._feed.wants_snapshot:
                    self._seen = 0
                    return

    async def _probe(self, call: Any) -> None:
        """Asks for progress, so that silence means death and not just that nothing happens."""
        progress = rpc.WatchRequest(progress_request=rpc.WatchProgressRequest())
        while True:
            await self._clock.sleep(self._probe_s)
            try:
                await call.write(progress)
            except (rpc.RpcError, asyncio.InvalidStateError):
                return  # the stream is over; its reader knows why

    def _changes(self, events: Iterable[Any]) -> list[Change]:
        changes: list[Change] = []
        for event in events:
            key = self._relative(event.kv.key)
            deleted = event.type == rpc.Event.DELETE
            changes.append(Delete(key) if deleted else Put(key, event.kv.value))
        return changes

    def _relative(self, key: bytes) -> str:
        """The key as the mesh names it. One that is not UTF-8 is none of the mesh's, and is handed
        on as what can be shown of it."""
        return key.removeprefix(self._root).decode(errors="backslashreplace")
