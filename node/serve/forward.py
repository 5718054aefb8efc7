"""Hand-over to peers: what this node cannot take itself, another takes through it.

Only for attempts that allow it, which are those of clients that came here by themselves: an
orchestrator chooses again on its own, with better knowledge. The peer is chosen by the placement
that orchestrators use. A forwarded attempt names the nodes that it passed, so it goes at most
``MAX_FORWARDS`` times and never in a circle. Relayed events are not buffered here: a piece is
granted to the peer once the client took it.

A model that would have to be loaded here goes to a peer that has it resident with a slot free, if
there is one: a hop costs less than a load. Nobody there, or refused: the load is waited for here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from opentelemetry.trace import Span, SpanKind

from mesh.clock import Clock
from mesh.errors import (
    DeadlineExceeded,
    NodeLost,
    Overloaded,
    from_code,
)
from mesh.fleet.placement import Ranking, rank
from mesh.fleet.reasons import candidate, candidates
from mesh.fleet.records import FleetView, ModelState
from mesh.fleet.work import Work
from mesh.parts import prompt_bytes
from mesh.telemetry.spans import finished
from mesh.telemetry.tracing import current_traceparent, span
from mesh.transport.base import (
    DEFAULT_CREDIT,
    Accepted,
    Attempt,
    AttemptEvent,
    AttemptStream,
    Failed,
    Finished,
    Handler,
    Progress,
    Refused,
    Sink,
    Tokens,
)
from mesh.types import Candidate, ModelId, NodeId, Specialty
from node.serve.in_flight import InFlight
from node.serve.peers import Peers

T = TypeVar("T")

MAX_FORWARDS = 2
MAX_PEERS_TRIED = 3  # tried one after the other before the request is refused
REFUSALS_SHOWN = 3
# Refusals that say "not here": anywhere else it may be different.
FORWARDABLE = frozenset({"unknown_model", "overloaded", "draining"})


class Forwarder:
    """A handler around this node's own: ``serve`` first, a peer if that refuses. ``cold``: whether
    a request for the model would wait for its load here; a warm peer then comes first. After the
    end of a drain nothing is handed over any more. ``in_flight``: None for one of its own."""

    def __init__(
        self,
        node: NodeId,
        serve: Handler,
        peers: Peers,
        clock: Clock,
        *,
        cold: Callable[[ModelId], bool] = lambda model: False,
        in_flight: InFlight | None = None,
    ) -> None:
        self._node = node
        self._serve = serve
        self._peers = peers
        self._clock = clock
        self._cold = cold
        self.in_flight = InFlight() if in_flight is None else in_flight

    async def handle(self, attempt: Attempt, sink: Sink) -> None:
        """Raises what ``serve`` does, and ``NodeLost`` when the peer was lost in mid-answer, and
        ``DeadlineExceeded``. A refusal after all is that of this node, with what peers said."""
        if not attempt.may_forward or attempt.texts:  # another model's vectors mean other things
            await self._serve(attempt, sink)
            return
        begun = self._clock.now()
        if self._cold(attempt.model) and not self.in_flight.ended and attempt.timeout_s > 0:
            if await self._within(attempt, self._warm(attempt, sink)):
                return
            left = max(0.001, attempt.timeout_s - (self._clock.now() - begun))
            attempt, begun = replace(attempt, timeout_s=left), self._clock.now()
        own = _Refusable(sink)
        await self._serve(attempt, own)
        if own.refused is None:
            return
        left = attempt.timeout_s - (self._clock.now() - begun)
        if self.in_flight.ended or left <= 0:
            await sink.send(own.refused)
            return
        attempt = replace(attempt, timeout_s=left)
        await self._within(attempt, self._forward(attempt, sink, own.refused))

    async def _within(self, attempt: Attempt, handed: Coroutine[Any, Any, T]) -> T:
        """``handed``, within the attempt's time. Raises ``DeadlineExceeded``, ``Draining``."""
        async with self.in_flight.within(attempt.timeout_s, "hand-over", lambda: "at a peer"):
            return await handed

    async def _warm(self, attempt: Attempt, sink: Sink) -> bool:
        """Whether a peer that has the model resident answered."""
        if len(attempt.hops) >= MAX_FORWARDS:
            return False
        deadline = self._clock.now() + attempt.timeout_s
        tried = frozenset({self._node, *attempt.hops})
        row = warm(await self._peers.look(), attempt, tried, self._clock.now())
        if row is None:
            return False
        return await self._tried(row, self._onward(row, attempt, deadline), sink) is None

    def _onward(self, row: Candidate, attempt: Attempt, deadline: float) -> Attempt:
        return replace(
            attempt,
            model=row.model,
            credit=max(1, min(attempt.credit, DEFAULT_CREDIT)),
            hops=(*attempt.hops, self._node),
            timeout_s=max(0.001, deadline - self._clock.now()),
        )

    async def _forward(self, attempt: Attempt, sink: Sink, refused: Refused) -> None:
        if len(attempt.hops) >= MAX_FORWARDS:
            why = f"it was handed over {len(attempt.hops)} times already"
            await sink.send(_refusal(refused, why))
            return
        deadline = self._clock.now() + attempt.timeout_s
        tried = frozenset({self._node, *attempt.hops})
        said: list[str] = []
        for _ in range(MAX_PEERS_TRIED):
            view, now = await self._peers.look(), self._clock.now()
            row = choose(view, attempt, tried, now)
            if row is None:
                said = said or [why_not(view, attempt, tried, now)]
                break
            tried |= {row.node}
            answer = await self._tried(row, self._onward(row, attempt, deadline), sink)
            if answer is None:
                return
            said.append(f"{row.node_name}: {answer}")
        await sink.send(_refusal(refused, "; ".join(said)))

    async def _tried(self, row: Candidate, attempt: Attempt, sink: Sink) -> str | None:
        """None when the peer's answer was passed on to its end, else why there was none."""
        with span(
            "forward",
            traceparent=attempt.traceparent,
            kind=SpanKind.CLIENT,
            attributes={
                "squadron.request.id": attempt.request_id,
                "squadron.node.id": row.node,
                "squadron.node.name": row.node_name,
                "squadron.placement.reason": row.reason,
                "squadron.hop": len(attempt.hops),
                "gen_ai.request.model": row.model,
            },
        ) as current:
            relay = _Relay(sink)
            attempt = replace(attempt, traceparent=current_traceparent() or attempt.traceparent)
            try:
                async with self._peers.attempt(row.node, attempt) as stream:
                    return await relay.run(stream, current)
            except Overloaded as error:
                current.set_attribute("squadron.refused", error.code)
                return error.message
            except NodeLost as error:
                self._peers.failed(row.node, error.message)
                if relay.begun:
                    raise NodeLost(
                        f"peer {row.node_name}: {error.message}", node_id=row.node
                    ) from error
                current.set_attribute("error.type", error.code)
                return error.message


def choose(
    view: FleetView, attempt: Attempt, tried: frozenset[NodeId], now: float
) -> Candidate | None:
    """The best peer for the attempt: one with the same model, else with another model of its
    specialty if the attempt names one. ``now``: monotonic seconds. Pure."""
    found = _best(rank(view, _work(attempt, attempt.model, tried), now))
    if found is None and attempt.specialty is not None:
        found = _best(rank(view, _work(attempt, None, tried), now))
    return found


def warm(
    view: FleetView, attempt: Attempt, tried: frozenset[NodeId], now: float
) -> Candidate | None:
    """The best peer that has the very model resident with a slot free. Pure."""
    ranking = rank(view, _work(attempt, attempt.model, tried), now)
    for row in ranking.best(1):
        told = row.view.load(row.model.id) or row.model
        if told.state is ModelState.RESIDENT and told.used_slots < told.slots:
            return candidate(ranking, row)
    return None


def why_not(view: FleetView, attempt: Attempt, tried: frozenset[NodeId], now: float) -> str:
    """Why ``choose`` found nobody, in one line."""
    model = attempt.model if attempt.specialty is None else None
    ranking = rank(view, _work(attempt, model, tried), now)
    rows = candidates(ranking, ranking.explained())
    reasons = [f"{row.node_name}: {row.reason}" for row in rows if row.node not in tried]
    more = f" and {len(reasons) - REFUSALS_SHOWN} more" if len(reasons) > REFUSALS_SHOWN else ""
    shown = "; ".join(reasons[:REFUSALS_SHOWN]) or "none is known"
    return f"no peer can take it ({shown}{more})"


def _best(ranking: Ranking) -> Candidate | None:
    return next(iter(candidates(ranking, ranking.best(1))), None)


def _work(attempt: Attempt, model: ModelId | None, tried: frozenset[NodeId]) -> Work:
    return Work(
        specialty=attempt.specialty or Specialty(""),
        model=model,
        prompt_bytes=prompt_bytes(attempt.messages),
        exclude=tried,
    )


class _Refusable:
    """A sink that keeps a refusal which a peer may make good; all else passes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.refused: Refused | None = None

    async def send(self, event: AttemptEvent) -> None:
        match event:
            case Refused(code=code) if code in FORWARDABLE:
                self.refused = event
            case _:
                await self._sink.send(event)


class _Relay:
    """One peer's events to the sink. ``begun``: the peer took it, so no other may be asked."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.begun = False

    async def run(self, stream: AttemptStream, current: Span) -> str | None:
        """As ``Forwarder._tried``. Raises ``NodeLost``, and what the peer failed with once it had
        begun."""
        async for event in stream:
            match event:
                case Tokens(pieces=pieces):
                    await self._sink.send(event)
                    # Only now: what a slow client holds up is its own sequence at the peer.
                    stream.grant(len(pieces))
                case Accepted():
                    self.begun = True
                    await self._sink.send(event)
                case Progress():
                    await self._sink.send(event)
                case Finished(reason=reason, usage=usage):
                    finished(current, reason, usage)
                    await self._sink.send(event)
                    return None
                case Refused(code=code, message=message):
                    current.set_attribute("squadron.refused", code)
                    if code in FORWARDABLE and not self.begun:
                        return message
                    await self._sink.send(event)
                    return None
                case Failed(code=code, message=message):
                    error = from_code(code, message)
                    if self.begun or isinstance(error, DeadlineExceeded):
                        raise error
                    current.set_attribute("error.type", code)
                    return message
        raise NodeLost("the peer's stream ended without a last word")


def _refusal(refused: Refused, why: str) -> Refused:
    return replace(refused, message=f"{refused.message}; not handed over: {why}")
