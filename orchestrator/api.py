"""All that a gateway may call: generate, embed, route, ticket, fleet. No wire here, and no policy
in a gateway: it makes an ``Ask`` of a request, and bytes of events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from mesh.clock import Clock
from mesh.embedding import Embeddings, EmbedRequest
from mesh.errors import of_request
from mesh.fleet.placement import rank, relieved
from mesh.fleet.reasons import candidates
from mesh.fleet.records import FleetView
from mesh.manners import told
from mesh.stream import Grant, Route, StreamEvent
from mesh.types import Candidate, Request
from mesh.validation import check_messages
from orchestrator.answering.admit import Door
from orchestrator.answering.ask import Answer, Ask, Routed
from orchestrator.answering.decide import Decider
from orchestrator.attempts.dispatch import Dispatch
from orchestrator.attempts.embed import Embedder
from orchestrator.picture.fleet import Fleet
from orchestrator.router import ready
from orchestrator.tickets import Tickets


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A moment of the fleet. ``registry_connected`` False: it goes on from what it saw last.
    ``registry_shortfall``: what of it is not read, and why. ``now``: monotonic seconds, as in the
    view; ``wall``: the same moment, Unix seconds."""

    view: FleetView
    registry_connected: bool
    registry_shortfall: str
    now: float
    wall: float


class Api:
    """What a gateway is given. Every error is a ``MeshError`` that carries the request's id.

    ``default_timeout_s``: budget of a request that names none. ``max_request_bytes``: of its
    messages."""

    def __init__(
        self,
        answer: Answer,
        *,
        fleet: Fleet,
        dispatch: Dispatch,
        embedder: Embedder,
        decider: Decider,
        door: Door,
        tickets: Tickets,
        clock: Clock,
        default_timeout_s: float,
        max_request_bytes: int,
    ) -> None:
        self._answer = answer
        self._fleet = fleet
        self._dispatch = dispatch
        self._embedder = embedder
        self._decider = decider
        self._door = door
        self._tickets = tickets
        self._clock = clock
        self._default_timeout_s = default_timeout_s
        self._max_request_bytes = max_request_bytes

    def ask(
        self, request: Request, *, granted_s: float | None = None, traceparent: str = ""
    ) -> Ask:
        """The request, its time running from now. ``granted_s``: what the caller's transport
        allows; the deadline is the least of it, the request's own and the default.
        ``traceparent``: the caller's W3C trace context."""
        timeout = request.timeout_s if request.timeout_s is not None else self._default_timeout_s
        if granted_s is not None:
            timeout = min(timeout, granted_s)
        now = self._clock.now()
        return Ask(
            request=replace(request, timeout_s=timeout),
            arrived=now,
            deadline=now + timeout,
            traceparent=traceparent,
        )

    def generate(self, ask: Ask) -> AsyncGenerator[StreamEvent, None]:
        """``Decided`` first, ``Done`` last; close it to cancel."""
        return self._answer(ask)

    async def embed(
        self, request: EmbedRequest, *, granted_s: float | None = None, traceparent: str = ""
    ) -> Embeddings:
        """One vector a text. Cancel it to free the node's slot."""
        with of_request(request.id), self._door.through(request.priority):
            return await self._embedder.embed(request, granted_s=granted_s, traceparent=traceparent)

    async def route(
        self, request: Request, *, candidates: bool = True, likewise: bool = False
    ) -> Route:
        """A dry run. ``candidates`` False: the decision only. The decision's ``manner`` is that of
        this very request; ``likewise``: of its specialty, for others to come."""
        with of_request(request.id):
            check_messages(request.messages, max_bytes=self._max_request_bytes)
            routed = await self._decider.routed(request, dry_run=True)
        decision, known = routed.outcome.decision, routed.outcome.answer
        return Route(
            decision=decision if likewise else told(request, decision),
            candidates=self._candidates(request, routed) if candidates else (),
            ready=None if known is None else ready.shown(known),
            prior=routed.features.prior,
        )

    async def ticket(
        self, request: Request, *, conversation: str = ""
    ) -> tuple[Route, Grant | str]:
        """A dry run, and a ticket to stream straight from its best candidate; or why there is none,
        in one line."""
        route = await self.route(request, likewise=True)
        if route.ready is not None:
            return route, f"the orchestrator has this answer already ({route.ready.source})"
        view = self._fleet.view
        return route, self._tickets.issue(request, route, view, conversation=conversation)

    def fleet(self) -> Snapshot:
        """What this orchestrator sees now."""
        return Snapshot(
            view=self._fleet.view,
            registry_connected=self._fleet.registry_connected,
            registry_shortfall=self._fleet.registry_shortfall,
            now=self._clock.now(),
            wall=self._clock.wall(),
        )

    def _candidates(self, request: Request, routed: Routed) -> tuple[Candidate, ...]:
        now = self._clock.now()
        decision = routed.outcome.decision
        work = self._dispatch.work_of(request, decision, routed.substitutes, now)
        ranking = rank(self._fleet.view, work, now)
        found = candidates(ranking, ranking.explained())
        relief = None if len(ranking) else relieved(ranking)
        return found if relief is None else (*candidates(relief, relief.best()), *found)
