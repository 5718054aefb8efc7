"""Tickets for clients that want to stream straight from a node: who gets one, and for what.

A ticket reserves nothing: two clients may hold one for the same node, and a node that is full by
then hands the request to a peer or refuses, and the client comes back here.
"""

from __future__ import annotations

import secrets

from mesh.clock import Clock
from mesh.fleet.records import FleetView, ModelRecord, ModelState, NodeView
from mesh.security.tickets import Signer, Ticket
from mesh.stream import Grant, Route
from mesh.types import OrchestratorId, Request, Specialty
from orchestrator.picture.affinity import Affinity

MAX_CONVERSATION_CHARS = 128


class Tickets:
    """``lifetime_s``: seconds. ``max_tokens``: of an answer; ``max_streams``: at once a ticket.
    ``affinity``: told where each ticket's conversation goes, None: nobody is."""

    def __init__(
        self,
        signer: Signer,
        issuer: OrchestratorId,
        clock: Clock,
        *,
        lifetime_s: float,
        max_tokens: int,
        max_streams: int,
        affinity: Affinity | None = None,
    ) -> None:
        self._affinity = affinity
        self._signer = signer
        self._issuer = issuer
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._max_tokens = max_tokens
        self._max_streams = max_streams

    @property
    def key(self) -> str:
        """The public key, as the orchestrator's record carries it."""
        return self._signer.public_key

    def issue(
        self, request: Request, route: Route, view: FleetView, *, conversation: str = ""
    ) -> Grant | str:
        """A ticket to the best of the route's candidates, or why there is none, in one line.

        Only the best: a client that would get the second best directly is better off in the queue
        here, which knows when the best has a slot again.
        """
        best = next((row for row in route.candidates if row.eligible), None)
        if best is None:
            return "no node can take it now"
        if len(conversation) > MAX_CONVERSATION_CHARS:
            return f"conversation_id is longer than {MAX_CONVERSATION_CHARS} characters"
        node = view.nodes.get(best.node)
        if node is None or not node.record.direct_endpoint:
            return f"{best.node_name} serves no clients directly"
        model = node.record.model(best.model)
        if model is None or not _free(node, model):
            return f"{best.node_name} has no free slot for '{best.model}' now"
        now = self._clock.wall()
        ticket = Ticket(
            id=secrets.token_hex(16),
            issuer=self._issuer,
            node=best.node,
            instance=node.record.instance,
            endpoint=node.record.direct_endpoint,
            model=best.model,
            specialty=_specialty(route, model),
            issued_at=now,
            expires_at=now + self._lifetime_s,
            max_tokens=self._max_tokens,
            max_streams=self._max_streams,
            model_only=request.model is not None,
            conversation=conversation,
        )
        if self._affinity is not None:  # its answer will not come by here
            self._affinity.sent(request.tenant, request.messages, (best.node, best.model))
        return Grant(
            token=self._signer.sign(ticket),
            node=best.node,
            node_name=best.node_name,
            endpoint=ticket.endpoint,
            model=best.model,
            lifetime_s=self._lifetime_s,
            max_tokens=self._max_tokens,
            max_streams=self._max_streams,
            tokenizer_hash=model.tokenizer_hash,
        )


def _free(node: NodeView, model: ModelRecord) -> bool:
    """By the node's newest word: resident, and with a slot."""
    told = node.load(model.id) or model
    return told.state is ModelState.RESIDENT and told.used_slots < model.slots


def _specialty(route: Route, model: ModelRecord) -> Specialty:
    """What is served: the decided one, or the model's own where a fallback stands in."""
    decided = route.decision.specialty
    if decided in model.specialties or not model.specialties:
        return decided
    return model.specialties[0]
