"""The way of an answer, put together from the settings: strategy, chain, and what gateways call."""

from __future__ import annotations

from mesh.clock import Clock
from mesh.fleet.placement import specialty_of
from mesh.settings.orchestrator import OrchestratorSettings
from mesh.settings.specialty import manners
from orchestrator.answering.admit import Door
from orchestrator.answering.chain import chain
from orchestrator.answering.decide import Cascades, Decider
from orchestrator.answering.log import DecisionLog
from orchestrator.api import Api
from orchestrator.attempts.dispatch import Dispatch
from orchestrator.attempts.embed import Embedder
from orchestrator.picture.fleet import Fleet
from orchestrator.strategies.single import single
from orchestrator.tickets import Tickets


def assembled(
    settings: OrchestratorSettings,
    *,
    fleet: Fleet,
    dispatch: Dispatch,
    cascades: Cascades,
    tickets: Tickets,
    clock: Clock,
    log: DecisionLog | None = None,
) -> Api:
    """``log``: None keeps no decisions."""
    door = Door(settings.request_limit)
    decider = Decider(
        cascades,
        lambda model: specialty_of(fleet.view, model),
        settings.router.substitutes,
        manners(settings.specialties),
    )
    answer = chain(
        single(dispatch),
        door=door,
        decider=decider,
        affinity=dispatch.affinity,
        quarantine=dispatch.failover.quarantine,
        clock=clock,
        name=settings.name,
        max_request_bytes=settings.max_request_bytes,
        log=log,
        notes_in_traces=settings.router.notes_in_traces,
    )
    embedder = Embedder(
        fleet,
        dispatch.failover,
        clock,
        default_timeout_s=settings.default_timeout_s,
        max_request_bytes=settings.max_request_bytes,
    )
    return Api(
        answer,
        fleet=fleet,
        dispatch=dispatch,
        embedder=embedder,
        decider=decider,
        door=door,
        tickets=tickets,
        clock=clock,
        default_timeout_s=settings.default_timeout_s,
        max_request_bytes=settings.max_request_bytes,
    )
