"""The orchestrators that a client knows, and how they are asked: one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc

from mesh.channel import open_channel
from mesh.client import wire
from mesh.errors import ConfigError, MeshError, Unreachable
from mesh.fleet.records import OrchestratorRecord
from mesh.v1 import mesh_pb2_grpc

MOST_CONTACTS = 16  # orchestrators that one client keeps a channel to

Again = Callable[[Any], bool]
Learn = Callable[[], Awaitable[Sequence[OrchestratorRecord]]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contact:
    """One orchestrator: where it is, and the channel to it."""

    endpoint: str
    channel: Any
    stub: Any


class Contacts:
    """Who answered last is asked first. ``learn``: the fleet's orchestrators, asked once one is
    lost; None: those that were named are all there are."""

    def __init__(self, learn: Learn | None = None) -> None:
        self._learn = learn
        self._known: list[Contact] = []

    def __iter__(self) -> Iterator[Contact]:
        return iter(tuple(self._known))

    def require(self) -> None:
        """Raises ``ConfigError`` when there is none: before the client was entered, or after."""
        if not self._known:
            raise ConfigError("the client is not connected; use it in `async with mesh.connect(…)`")

    def add(self, endpoint: str) -> None:
        channel = open_channel(endpoint)
        make: Any = mesh_pb2_grpc.MeshStub  # generated, and without types
        self._known.append(Contact(endpoint=endpoint, channel=channel, stub=make(channel)))

    def prefer(self, contact: Contact) -> None:
        """It answered, so it is asked first from now on."""
        if contact in self._known and self._known[0] is not contact:
            self._known.remove(contact)
            self._known.insert(0, contact)

    def in_turn(self, again: Again, *, last: Contact | None = None) -> Iterator[Turn]:
        """Each of them in a context: who leaves it without an error has asked the right one, and is
        to stop there. ``again``: of a failed call, whether the next may be asked; else its error is
        raised, translated. ``last``: this one after all others. Raises ``ConfigError`` before there
        is any; when it ends, nobody answered (``nobody``)."""
        self.require()
        for contact in sorted(self, key=lambda each: each is last):
            yield Turn(self, contact, again)

    def nobody(self) -> Unreachable:
        return wire.no_orchestrator(tuple(contact.endpoint for contact in self))

    async def refresh(self) -> None:
        """Learns of orchestrators that were not known before, where that was asked for. Without an
        answer that can be read (it is of another version, or too late), those that are known do."""
        if self._learn is None:
            return
        try:
            found = await self._learn()
        except MeshError:
            return
        known = {contact.endpoint for contact in self}
        for record in found:
            if record.endpoint not in known and len(self._known) < MOST_CONTACTS:
                known.add(record.endpoint)
                self.add(record.endpoint)

    async def aclose(self) -> None:
        """Closes the connections; open answers end."""
        known, self._known = self._known, []
        for contact in known:
            await contact.channel.close()


@dataclass(frozen=True, slots=True)
class Turn:
    """One orchestrator's turn to be asked."""

    contacts: Contacts
    contact: Contact
    again: Again

    def __enter__(self) -> Contact:
        return self.contact

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None:
            self.contacts.prefer(self.contact)
        elif isinstance(error, grpc.aio.AioRpcError):
            if self.again(error):
                return True
            raise wire.translated(error, self.contact.endpoint) from None
        return False
