"""What a process wants in the registry, and what is due to be written. No I/O; time is passed in.

Both registries share it, so that coalescing, the write rate and the refusal of duplicates are the
same in tests on the twin as on etcd.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from math import inf
from typing import Annotated

import msgspec

from mesh.cleaned import cleaned
from mesh.errors import ConfigError, DuplicateNode, ProtocolError
from mesh.fleet.border import MAX_VALUE_BYTES, Name, Pid, read
from mesh.registry.base import NODES

WRITE_INTERVAL_S = 1.0  # a key is written at most this often; what comes in between is coalesced
RETRY_HELD_S = 0.2  # how often a key that another process holds is tried again
RETRY_REJECTED_S = 2.0  # and one whose write the registry rejected (out of space, say)
GRACE_S = 1.0  # a registry sweeps ended leases in intervals, not at the instant


class Holder(msgspec.Struct, frozen=True):
    """What a record says about the process that wrote it; whatever else is in it is ignored."""

    instance: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    host: Name
    pid: Pid


def holder_of(value: bytes) -> Holder | None:
    """None: what is there says of no process. Never raises: a key may hold anything."""
    try:
        return read(value, Holder, "a record")
    except ProtocolError:
        return None


def owned(value: bytes, owner: str) -> bool:
    """Whether ``owner`` (an instance) wrote that."""
    holder = holder_of(value)
    return holder is not None and holder.instance == owner


def rival_of(value: bytes, owner: str, *, leased: bool) -> Holder | None:
    """Who holds a key against ``owner``: another live process, that is one whose lease keeps what
    it wrote there. None: nobody does. A stray value ends no process, it is written over."""
    holder = holder_of(value) if leased else None
    return None if holder is None or holder.instance == owner else holder


def check_value(key: str, value: bytes) -> None:
    """Raises ``ConfigError`` when the value is more than any registry takes."""
    if len(value) > MAX_VALUE_BYTES:
        raise ConfigError(
            f"'{key}' would be {len(value)} bytes in the registry, which takes at most "
            f"{MAX_VALUE_BYTES}; make it smaller"
        )


@dataclass(slots=True)
class Entry:
    """One key. ``value`` None: it should be gone. ``held``: what the registry certainly holds under
    the present lease, None when that is unknown. ``revision``: the registry's own mark of our last
    write, 0 for none."""

    key: str
    value: bytes | None
    owner: str | None
    held: bytes | None = None
    revision: int = 0
    not_before: float = -inf
    rival: str | None = None
    give_up_at: float = inf
    complaint: str = ""

    @property
    def pending(self) -> bool:
        return self.value is None or self.value != self.held


class Announcements:
    """All keys of one process, in the order in which they were first announced."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def announce(self, key: str, value: bytes, owner: str | None) -> None:
        """Raises ``ConfigError`` when the value is too large."""
        check_value(key, value)
        entry = self._entries.get(key)
        if entry is None:
            self._entries[key] = Entry(key, value, owner)
            return
        entry.value = value
        entry.owner = owner

    def withdraw(self, key: str) -> None:
        entry = self._entries.setdefault(key, Entry(key, None, None))
        entry.value = None
        entry.not_before = -inf  # going away is worth a write at once

    def due(self, now: float) -> Entry | None:
        return next((e for e in self._entries.values() if e.pending and e.not_before <= now), None)

    def next_due(self) -> float:
        """Monotonic seconds, ``inf`` when nothing is pending."""
        return min((e.not_before for e in self._entries.values() if e.pending), default=inf)

    def writing(self, entry: Entry, now: float) -> None:
        """A write is on its way; until ``wrote`` it is in doubt what the registry holds."""
        entry.held = None
        entry.not_before = now + WRITE_INTERVAL_S

    def wrote(self, entry: Entry, value: bytes, revision: int) -> None:
        entry.held = value
        entry.revision = revision
        self._cleared(entry)

    def erased(self, entry: Entry) -> None:
        """The key is gone; announced again while the deletion was under way, it is due again."""
        if entry.value is None:
            self._entries.pop(entry.key, None)
            return
        entry.held = None
        entry.revision = 0

    def lost(self) -> None:
        """The lease is gone and all keys with it: everything is due, at once."""
        for entry in self._entries.values():
            entry.held = None
            entry.revision = 0
            entry.not_before = -inf

    def found(self, keys: Set[str]) -> None:
        """After a reconnect: only ``keys`` are still there under the lease."""
        for entry in self._entries.values():
            if entry.key not in keys:
                entry.held = None
            self._cleared(entry)  # an outage stops the clock of a rival's lease too

    def written(self) -> tuple[str, ...]:
        """Keys that the registry should hold as we wrote them."""
        return tuple(entry.key for entry in self._entries.values() if entry.held is not None)

    def looked(self, key: str, revision: int) -> bool:
        """The registry has the mark ``revision`` on the key, 0: no such key. True: somebody else
        deleted it or wrote over it, and it is due again."""
        entry = self._entries.get(key)
        if entry is None or entry.held is None or revision == entry.revision:
            return False
        entry.held = None
        return True

    def rejected(self, entry: Entry, reason: str, now: float) -> bool:
        """The registry answered that it will not take the write. True: this is news, say it."""
        entry.not_before = now + RETRY_REJECTED_S
        news = entry.complaint != reason
        entry.complaint = reason
        return news

    def refused(self, entry: Entry, holder: Holder, now: float, ttl_s: float) -> bool:
        """Another process, ``holder``, has the exclusive key under a lease of ``ttl_s`` seconds.
        True: this is news, say it.

        Raises ``DuplicateNode`` once that holder has outlived one whole lease: it is alive.
        """
        news = entry.rival != holder.instance
        if news:
            entry.rival = holder.instance
            entry.give_up_at = now + ttl_s + GRACE_S
        elif now >= entry.give_up_at:
            raise DuplicateNode(
                f"'{entry.key}' is in use by another live process: pid {holder.pid} on "
                f"{cleaned(holder.host, 100)}; stop that one, or give this one a state folder of "
                "its own",
                node_id=entry.key.removeprefix(NODES) if entry.key.startswith(NODES) else None,
            )
        entry.not_before = min(now + RETRY_HELD_S, max(entry.give_up_at, now))
        return news

    @staticmethod
    def _cleared(entry: Entry) -> None:
        entry.rival = None
        entry.give_up_at = inf
        entry.complaint = ""
