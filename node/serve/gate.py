"""Who may stream from this node directly: the orchestrators' keys, and tickets at the door."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from mesh.clock import Clock
from mesh.errors import BadTicket
from mesh.fleet import view as fleet
from mesh.fleet.complaints import Complaints
from mesh.fleet.records import FleetView
from mesh.registry.base import ORCHESTRATORS, Registry
from mesh.security.tickets import CLOCK_SKEW_S, MAX_LIFETIME_S, Ticket, check, verify
from mesh.types import NodeId, OrchestratorId

log = logging.getLogger(__name__)

CACHED_TICKETS = 1024  # verified ones; the oldest is dropped, and is verified again when it comes
# How long a key outlives its orchestrator's record, seconds: tickets that it signed go on to hold
# when it died or the registry lost it, which is when clients need them most.
KEY_GRACE_S = MAX_LIFETIME_S + CLOCK_SKEW_S
MAX_GONE_KEYS = 256  # the oldest is dropped


class Keyring:
    """The ticket keys of the orchestrators in the registry, by id. ``run`` watches."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._view = FleetView()
        self._complaints = Complaints()
        self._keys: dict[OrchestratorId, str] = {}
        self._gone: OrderedDict[OrchestratorId, tuple[str, float]] = OrderedDict()

    async def run(self) -> None:
        """Until cancelled. With the registry away, the keys stay as they were."""
        async for changes in self._registry.watch(ORCHESTRATORS):
            before = self._keys
            now = self._clock.now()
            self._view, problems = fleet.apply(self._view, changes, now)
            for line in self._complaints.lines(problems, now):
                log.warning("%s", line)
            self._keys = {r.id: r.ticket_key for r in self._view.orchestrators.values()}
            for name in before.keys() - self._keys.keys():
                self._gone[name] = (before[name], self._clock.now() + KEY_GRACE_S)
                self._gone.move_to_end(name)
            while len(self._gone) > MAX_GONE_KEYS:
                self._gone.popitem(last=False)

    def keys(self) -> Mapping[OrchestratorId, str]:
        """Those in the registry now, and those that left it less than ``KEY_GRACE_S`` ago."""
        now = self._clock.now()
        while self._gone and next(iter(self._gone.values()))[1] < now:
            self._gone.popitem(last=False)
        if not self._gone:
            return self._keys
        return {name: key for name, (key, _) in self._gone.items()} | self._keys


class TicketGate:
    """Lets streams in on tickets, and counts them. ``keys``: as ``Keyring.keys``."""

    def __init__(
        self,
        node: NodeId,
        instance: str,
        keys: Callable[[], Mapping[OrchestratorId, str]],
        clock: Clock,
    ) -> None:
        self._node = node
        self._instance = instance
        self._keys = keys
        self._clock = clock
        self._verified: OrderedDict[str, tuple[Ticket, str]] = OrderedDict()
        self._streams: dict[str, int] = {}

    @property
    def streams(self) -> int:
        """Open now, over all tickets."""
        return sum(self._streams.values())

    @contextmanager
    def admit(self, token: str) -> Iterator[Ticket]:
        """The ticket's claims; one of its streams is taken while the context lasts.

        Raises ``BadTicket`` for one that is tampered with, expired, for another node or another
        start of this one, of an unknown signer, or in use by as many streams as it allows. A ticket
        that ends meanwhile ends no stream.
        """
        ticket = self._read(token)
        check(ticket, node=self._node, instance=self._instance, now=self._clock.wall())
        used = self._streams.get(ticket.id, 0)
        if used >= ticket.max_streams:
            raise BadTicket(
                f"the ticket is in use by {used} streams, which is all it allows; wait for one to "
                "end, or ask an orchestrator for another"
            )
        self._streams[ticket.id] = used + 1
        try:
            yield ticket
        finally:
            self._streams[ticket.id] -= 1
            if not self._streams[ticket.id]:
                del self._streams[ticket.id]

    def _read(self, token: str) -> Ticket:
        """Verified, or remembered to be: a signature costs 0.1 ms, as much as all else of a direct
        request. What is remembered holds only as long as its signer's key does."""
        keys = self._keys()
        found = self._verified.get(token)
        if found is not None and keys.get(found[0].issuer) == found[1]:
            self._verified.move_to_end(token)
            return found[0]
        self._verified.pop(token, None)
        ticket = verify(token, keys)
        self._verified[token] = (ticket, keys[ticket.issuer])
        if len(self._verified) > CACHED_TICKETS:
            self._verified.popitem(last=False)
        return ticket
