"""The registry's interface, the same for etcd and for its twin (one contract suite).

Keys are relative to the registry's prefix (``/mesh/v1`` by default): ``nodes/<id>``,
``orchestrators/<id>``, ``quarantine/<id>``, ``config/rules``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

NODES = "nodes/"
ORCHESTRATORS = "orchestrators/"
QUARANTINE = "quarantine/"
RULES = "config/rules"


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


Change = Put | Delete


class Registry(Protocol):
    """One process's session with the registry.

    Guarantees:
    * ``run`` keeps the session: it connects, holds the process's lease, re-announces everything
      after the lease is lost, and reconnects for ever with jittered back-off. It returns only when
      cancelled, and then revokes the lease (best effort, bounded): announced keys vanish at once.
    * ``announce`` and ``withdraw`` never wait for the registry: they state what should be there and
      ``run`` makes it so, newest value last. A killed process's keys vanish within the lease.
    * What was announced is there: deleted or written over by somebody else, it is written again.
    * ``watch`` never ends and never raises for a lost connection: while the registry is away it is
      silent, and afterwards it yields only what differs from what it yielded before.
    """

    @property
    def connected(self) -> bool:
        """Whether the last exchange with the registry succeeded."""
        ...

    @property
    def shortfall(self) -> str:
        """What this session's watches leave out, since there is more than they hold, in one line;
        "" for nothing."""
        ...

    async def run(self) -> None:
        """Owns the session until cancelled. Raises ``DuplicateNode`` (see ``announce``)."""
        ...

    def announce(self, key: str, value: bytes, *, owner: str | None = None) -> None:
        """States that ``key`` should hold ``value`` for as long as this process lives.

        ``owner`` (an instance id) makes the key exclusive: when another live process has announced
        it with another owner, ``run`` waits for that lease to end (one TTL and a second) and then
        raises ``DuplicateNode``, naming the holder by the ``host`` and ``pid`` in its record. A
        value without a lease, or one that says of no process, is written over.
        """
        ...

    def withdraw(self, key: str) -> None:
        """States that ``key`` should be gone."""
        ...

    def watch(self, prefix: str) -> AsyncIterator[tuple[Change, ...]]:
        """Yields the current content as ``Put``s first (an empty tuple if there is none), then
        changes, in order, without gaps, each batch as one tuple. Deletions by lease end count."""
        ...

    async def put(self, key: str, value: bytes) -> None:
        """Writes without a lease (configuration). Raises ``RegistryUnavailable``."""
        ...
