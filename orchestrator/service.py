"""One orchestrator, wired: registry and links make the fleet, the fleet feeds admission, dispatch
makes answers, the chain stands around them, and gateways serve them. Nothing here decides
anything."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Awaitable
from pathlib import Path

from mesh.clock import Clock
from mesh.doors.files import allowed, shares
from mesh.errors import MeshError, first_of
from mesh.fleet.records import OrchestratorRecord, encode_record
from mesh.quarantine.quarantine import Quarantine
from mesh.registry.base import ORCHESTRATORS, Registry
from mesh.security.tickets import Signer
from mesh.settings.orchestrator import OrchestratorSettings
from mesh.settings.specialty import manners
from mesh.settings.state import state_dir
from mesh.transport.base import Dialer
from mesh.transport.dialers import Dialers, all_dialers
from mesh.types import Specialty
from mesh.version import __version__
from orchestrator.assembly import assembled
from orchestrator.attempts.dispatch import Dispatch
from orchestrator.attempts.hedge import HedgePolicy
from orchestrator.gateway.base import opened
from orchestrator.identity import Identity, identify
from orchestrator.picture.fleet import Fleet
from orchestrator.router.compiled import CompiledRules
from orchestrator.router.compiler import RulesCompiler, read_here
from orchestrator.router.reload import RulesReloader
from orchestrator.router.stages import Stages
from orchestrator.rules.decision_log import DecisionLog
from orchestrator.slots.capacity import Capacity
from orchestrator.slots.queue import Admission
from orchestrator.tickets import Tickets

log = logging.getLogger(__name__)

SUSPECT_BEATS = 4  # heartbeats missed in a row before a node counts as silent
DRAIN_S = 8.0  # how long open streams may go on after the first signal


class Orchestrator:
    """Make it inside the event loop. ``signer``: of tickets; None makes a key that lives as long as
    this object. ``cache`` None: rules are compiled in this process, and kept nowhere. Raises
    ``ConfigError``."""

    def __init__(
        self,
        settings: OrchestratorSettings,
        identity: Identity,
        *,
        registry: Registry,
        dialer: Dialer | Dialers,
        clock: Clock,
        rng: random.Random,
        cache: CompiledRules | None = None,
        signer: Signer | None = None,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._registry = registry
        self._clock = clock
        self._started_at = clock.wall()
        self._endpoint = ""
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        fallback = Specialty(settings.fallback)
        self._stages = Stages(
            settings.router,
            clock,
            ask=lambda asked: self.api.generate(self.api.ask(asked)),
            cache=cache,
            manners=manners(settings.specialties),
        )
        self._log = DecisionLog(settings.router.log, clock)
        self._rules = RulesReloader(
            fallback=fallback,
            clock=clock,
            file=Path(settings.rules).expanduser() if settings.rules else None,
            registry=registry,
            on_change=lambda _: self._announce(),
            arrange=self._stages.arrange,
            compile_rules=read_here if cache is None else RulesCompiler(cache),
        )
        self.fleet = Fleet(
            registry,
            dialer,
            clock,
            rng,
            suspect_after_s=SUSPECT_BEATS * settings.timing.heartbeat_s,
            links=shares(allowed()).links,
        )
        capacity = Capacity(self.fleet, clock, registry=f"the registry at {settings.etcd}")
        self.admission = Admission(self.fleet, capacity.take, clock, limit=settings.queue_limit)
        self._quarantine = Quarantine(clock, registry, identity.id)
        self.dispatch = Dispatch(
            self.fleet,
            self.admission,
            clock,
            max_attempts=settings.max_attempts,
            hedging=_hedging(settings),
            quarantine=self._quarantine,
        )
        self._tickets = Tickets(
            signer or Signer.generate(),
            identity.id,
            clock,
            lifetime_s=settings.ticket_lifetime_s,
            max_tokens=settings.ticket_max_tokens,
            max_streams=settings.ticket_streams,
            affinity=self.dispatch.affinity,
        )
        self.api = assembled(
            settings,
            fleet=self.fleet,
            dispatch=self.dispatch,
            cascades=self._rules,
            tickets=self._tickets,
            clock=clock,
            log=self._log if settings.router.log.file else None,
        )
        self._gateways = opened(self.api, settings)

    @property
    def endpoint(self) -> str:
        """``host:port`` of the first gateway, "" before ``run`` has bound it."""
        return self._endpoint

    async def open(self) -> None:
        """Compiles the rules; what ``run`` would else do first. Raises ``ConfigError`` for rules
        that are wrong."""
        await self._rules.open()

    def stop(self) -> None:
        """Drains and ends ``run``; a second call does not wait for open streams."""
        (self._hurry if self._stopping.is_set() else self._stopping).set()

    async def run(self) -> None:
        """Serves until ``stop``, or cancelled. Raises ``PortInUse``, ``ConfigError`` or
        ``DuplicateNode``."""
        await self.open()
        addresses = {name: gateway.bind() for name, gateway in self._gateways.items()}
        self._endpoint = next(iter(addresses.values()))
        self._announce()
        failure: MeshError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                parts: dict[str, Awaitable[None]] = {
                    "registry": self._registry.run(),
                    "fleet": self.fleet.run(),
                    "admission": self.admission.run(),
                    "dispatch": self.dispatch.run(),
                    "quarantine": self._quarantine.run(),
                    "rules": self._rules.run(),
                    "stages": self._stages.run(),
                    "decision log": self._log.run(),
                }
                for name, gateway in self._gateways.items():
                    parts[f"gateway {name}"] = gateway.run()
                tasks = [group.create_task(_run(part), name=name) for name, part in parts.items()]
                at = ", ".join(f"{name} at {address}" for name, address in addresses.items())
                log.info("ready: %s, registry %s", at, self._settings.etcd)
                await self._stopping.wait()
                self._registry.withdraw(self._key)
                await self._drained()
                for task in tasks:
                    task.cancel()
        except* MeshError as errors:
            failure = first_of(errors)
        if failure is not None:
            raise failure
        log.info("stopped")

    async def _drained(self) -> None:
        log.info("stopping: open streams have %.0f s", DRAIN_S)
        async with asyncio.TaskGroup() as group:
            hurry = group.create_task(self._hurried(), name="hurry")
            await self._closed(DRAIN_S)
            hurry.cancel()

    async def _hurried(self) -> None:
        await self._hurry.wait()
        await self._closed(None)

    async def _closed(self, drain_s: float | None) -> None:
        async with asyncio.TaskGroup() as group:
            for gateway in self._gateways.values():
                group.create_task(gateway.stop(drain_s))

    @property
    def _key(self) -> str:
        return f"{ORCHESTRATORS}{self._identity.id}"

    def _announce(self) -> None:
        if not self._endpoint:
            return
        settings = self._settings
        host, _, port = self._endpoint.rpartition(":")
        record = OrchestratorRecord(
            id=self._identity.id,
            instance=self._identity.instance,
            name=settings.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            endpoint=f"{settings.advertise or host}:{port}",
            version=__version__,
            rules_version=self._rules.version,
            rules=self._rules.status,
            fallback=self._rules.current.fallback,
            ticket_key=self._tickets.key,
            started_at=self._started_at,
            updated_at=self._clock.wall(),
        )
        self._registry.announce(self._key, encode_record(record), owner=self._identity.instance)


def build(settings: OrchestratorSettings, identity: Identity, clock: Clock) -> Orchestrator:
    """With the real registry and the real data plane."""
    from mesh.registry.etcd import EtcdRegistry

    rng = random.Random()
    registry = EtcdRegistry(
        settings.etcd,
        prefix=settings.prefix,
        lease_ttl_s=settings.timing.lease_ttl_s,
        clock=clock,
        rng=rng,
    )
    dialers = all_dialers(settings.name, settings.timing, clock, rng)
    return Orchestrator(
        settings,
        identity,
        registry=registry,
        dialer=dialers,
        clock=clock,
        rng=rng,
        cache=CompiledRules(_state_folder(settings) / "cache" / "rules"),
        signer=Signer.load(
            _state_folder(settings) / "orchestrators" / settings.name / "ticket.key"
        ),
    )


def identity_of(settings: OrchestratorSettings) -> Identity:
    """Raises ``ConfigError``."""
    return identify(_state_folder(settings), settings.name)


def _state_folder(settings: OrchestratorSettings) -> Path:
    return Path(settings.state_dir).expanduser() if settings.state_dir else state_dir()


def _hedging(settings: OrchestratorSettings) -> HedgePolicy:
    after_ms = settings.hedge_after_ms
    after_s = None if after_ms is None else after_ms / 1000.0
    return HedgePolicy(after_s=after_s, share=settings.hedge_share)


async def _run(part: Awaitable[None]) -> None:
    await part
