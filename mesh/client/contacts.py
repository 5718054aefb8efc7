"""The orchestrators that a client knows, and how they are asked: one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc

from mesh.channel import open_channel
from mesh.client import wire
from mesh.client.sending import asked
from mesh.client.silence import Reach, listens, reach, watched
from mesh.errors import ConfigError, InternalError, MeshError, Unreachable
from mesh.fleet.records import OrchestratorRecord
from mesh.v1 import mesh_pb2_grpc

FIRST_LOOK_S = 0.5  # at each of several, before all of them are waited for
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
        self._beating: set[str] = set()  # endpoints
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None  # the channels' own

    def __iter__(self) -> Iterator[Contact]:
        return iter(tuple(self._known))

    async def connect(self, timeout_s: float) -> None:
        """Prefers the first that is there. One that is silent holds up the others for a moment
        only: it may be stopped. Raises ``Unreachable`` when none is there within ``timeout_s``."""
        known = tuple(self)
        for contact in known:
            patience_s = min(FIRST_LOOK_S, timeout_s) if len(known) > 1 else timeout_s
            if await reach(contact.channel, patience_s) is Reach.THERE:
                self.prefer(contact)
                return
        if len(known) > 1:
            async with asyncio.TaskGroup() as group:
                looks = [group.create_task(reach(each.channel, timeout_s)) for each in known]
            for contact, look in zip(known, looks, strict=True):
                if look.result() is Reach.THERE:
                    self.prefer(contact)
                    return
        for contact in known:
            # Refused by what does take connections: an HTTP server, say.
            if await reach(contact.channel, FIRST_LOOK_S) is Reach.REFUSED and await listens(
                contact.endpoint, FIRST_LOOK_S
            ):
                raise Unreachable(
                    f"no orchestrator answers at {contact.endpoint}: what listens there does not "
                    "speak gRPC; say where the orchestrator is"
                )
        raise self.nobody()

    async def ask(self, contact: Contact, method: str, message: Any, timeout_s: float) -> Any:
        """One answer to one message. Raises what the call raises, and ``Unreachable`` when the
        contact goes silent and there is somebody else to ask."""
        call = asked(contact, method, message, timeout_s)
        if not self.others(contact):
            return await call
        return await watched(call, contact.channel, contact.endpoint)

    def beats(self, contact: Contact, *, every_ms: int) -> None:
        """As its newest stream says: 0, it says nothing of itself."""
        (self._beating.add if every_ms else self._beating.discard)(contact.endpoint)

    def others(self, *contacts: Contact) -> bool:
        """Whether there is anybody beside them."""
        return any(each not in contacts for each in self._known)

    def minded(self, contact: Contact) -> bool:
        """Whether its silence means something, and there is somebody else to go to."""
        return contact.endpoint in self._beating and self.others(contact)

    def require(self) -> None:
        """Raises ``ConfigError`` when there is none: before the client was entered, or after."""
        if self._known:
            return
        if self._closed:
            raise ConfigError(
                "the client is closed; connect another with `async with mesh.connect(…)`"
            )
        raise ConfigError("the client is not connected; use it in `async with mesh.connect(…)`")

    def add(self, endpoint: str) -> None:
        self._closed = False
        self._loop = asyncio.get_running_loop()
        channel = open_channel(endpoint)
        make: Any = mesh_pb2_grpc.MeshStub  # generated, and without types
        self._known.append(Contact(endpoint=endpoint, channel=channel, stub=make(channel)))

    def prefer(self, contact: Contact) -> None:
        """It answered, so it is asked first from now on."""
        if contact in self._known and self._known[0] is not contact:
            self._known.remove(contact)
            self._known.insert(0, contact)

    def in_turn(
        self, again: Again, *, last: Contact | None = None, broken: set[Contact] | None = None
    ) -> Iterator[Turn]:
        """Each of them in a context: who leaves it without an error has asked the right one, and is
        to stop there. ``again``: of a failed call, whether the next may be asked; else its error is
        raised, translated. One that is silent is passed over. So is one that met a defect, which is
        no answer; if nobody answers, the defect is raised. ``last``: this one after all others.
        ``broken``: who met a defect before, and is not asked; it grows. Raises ``ConfigError``
        before there is any, and in another event loop; when it ends, nobody answered
        (``nobody``)."""
        self.require()
        if self._loop is not None and asyncio.get_running_loop() is not self._loop:
            raise ConfigError(
                "the client was connected in another event loop; connect in each loop that uses one"
            )
        defect: InternalError | None = None
        broken = set() if broken is None else broken
        for contact in sorted(self, key=lambda each: each is last):
            if contact in broken:
                continue
            turn = Turn(self, contact, again)
            yield turn
            if turn.defect is not None:
                defect = turn.defect
                broken.add(contact)
        if defect is not None:
            raise defect

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
        self._closed = self._closed or bool(known)
        for contact in known:
            await contact.channel.close()


@dataclass(slots=True)
class Turn:
    """One orchestrator's turn to be asked. ``defect``: what it met."""

    contacts: Contacts
    contact: Contact
    again: Again
    defect: InternalError | None = None

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
            failure = wire.translated(error, self.contact.endpoint)
            if not isinstance(failure, InternalError):
                raise failure from None
            self.defect = failure
        elif isinstance(error, InternalError):
            self.defect = error
        return self.defect is not None or isinstance(error, Unreachable)
