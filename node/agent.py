"""A node's life: claim the identity, listen, announce, load models, serve, drain, be gone."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from dataclasses import replace

from mesh.clock import Clock
from mesh.either import either
from mesh.errors import ConfigError, MeshError
from mesh.fleet.records import (
    Cpu,
    Gpu,
    Heartbeat,
    Memory,
    ModelState,
    NodeRecord,
    NodeState,
    encode_record,
)
from mesh.quarantine.quarantine import Quarantine
from mesh.registry.base import NODES, Registry
from mesh.settings.node import NodeSettings
from mesh.transport.base import Listener
from mesh.types import ModelId, NodeId
from mesh.version import __version__
from node import record as rules
from node.hardware.gpu import GpuReader
from node.hardware.host import Host
from node.identity import Identity
from node.models.calibration import Calibration
from node.models.fit import Corrections
from node.models.forms.trials import FormTrials
from node.models.residency.agent import Residency
from node.models.roster import Roster
from node.models.watching import FolderWatch
from node.notify import notify
from node.serve.direct import DirectServer
from node.serve.forward import Forwarder
from node.serve.gate import Keyring
from node.serve.in_flight import InFlight
from node.serve.peers import Peers
from node.serve.server import AttemptServer

log = logging.getLogger(__name__)

DRAIN_S = 10.0
FLUSH_S = 1.0  # for the last words of attempts that a drain cut short
REVOKE_S = 2.0  # for the registry to let the record vanish
TICK_S = 1.0
GPU_RETRY_S = 30.0  # where no GPU is found: a driver may be installed or repaired meanwhile


class NodeAgent:
    """One node. ``run`` owns all its tasks; ``stop`` may be called from a signal handler.

    Models are put on its ``roster``, before ``run`` or while it runs; they get ``agent.changed`` as
    their ``on_change``, see ``node.build.build``. ``folder`` puts some there by itself, if it is
    set before ``run``. ``direct`` (with the ``keyring`` that its gate asks and the ``quarantine``)
    serves clients with tickets, ``peers`` take what this node cannot; None: not.
    """

    def __init__(
        self,
        settings: NodeSettings,
        identity: Identity,
        *,
        registry: Registry,
        listener: Listener,
        gpus: GpuReader,
        host: Host,
        clock: Clock,
        keyring: Keyring | None = None,
        direct: DirectServer | None = None,
        peers: Peers | None = None,
        calibration: Calibration | None = None,
        quarantine: Quarantine | None = None,
        forms: FormTrials | None = None,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._registry = registry
        self._listener = listener
        self._gpu_reader = gpus
        self._host = host
        self._clock = clock
        self._keyring = keyring
        self._direct = direct
        self._peers = peers
        self._calibration = calibration
        self._quarantine = quarantine
        self._forms = forms
        self._in_flight = InFlight()
        self.residency = Residency(
            clock=clock,
            on_change=self._state_changed,
            memory=host.memory,
            limit_bytes=settings.memory_limit_bytes,
            reserve_bytes=settings.reserve_bytes,
            corrections=Corrections(identity.folder),
        )
        self._server = AttemptServer(
            identity.id,
            clock=clock,
            on_change=self.changed,
            residency=self.residency,
            calibration=calibration,
            in_flight=self._in_flight,
            forms=forms,
        )
        self.roster = Roster(
            (self.residency, self._server),
            queued=self.residency.queued,
            on_change=self.changed,
        )
        self._key = f"{NODES}{identity.id}"
        self._started_at = clock.wall()
        self._cpu: Cpu | None = None
        self._memory: Memory | None = None
        self._gpus: tuple[Gpu, ...] = ()
        self._accelerator = "the GPU probe has not answered yet"
        self._changed = asyncio.Event()
        self.folder: FolderWatch | None = None
        self._stopping = asyncio.Event()
        self._at_once = asyncio.Event()
        self._drain_s = DRAIN_S
        self._written: NodeRecord | None = None
        self._written_at = float("-inf")
        self._sent: Heartbeat | None = None
        self._said: rules.Status | None = None
        self._worked = False  # a model has, once

    @property
    def instance(self) -> str:
        """New at every start of the process."""
        return self._identity.instance

    def changed(self) -> None:
        """Something that a heartbeat or the record says may have changed."""
        self._state_changed()
        self.residency.changed()

    def _state_changed(self) -> None:
        self._changed.set()
        self.roster.changed()

    def stop(self, drain_s: float = DRAIN_S) -> None:
        """Drains for at most ``drain_s`` seconds, then ``run`` returns. Called again: at once."""
        if self._stopping.is_set():
            self._at_once.set()
            return
        self._drain_s = drain_s
        self._in_flight.draining = True
        self.residency.drain()
        self._stopping.set()
        self.changed()

    def retry(self) -> None:
        """Failed models are tried again now; for a signal handler."""
        log.info("asked to try failed models again")
        for model in self.roster:
            model.retry()

    async def run(self) -> None:
        """Serves until ``stop`` and the drain after it; then the record is gone.

        Raises ``PortInUse``, ``DuplicateNode``, with ``give_up`` a ``ConfigError`` when no model
        works, and nothing else for what a registry, a model or a driver does.
        """
        self._listener.bind()
        if self._direct is not None:
            self._direct.bind()
        handle = self._server.handle
        if self._peers is not None:
            forwarder = Forwarder(
                self._identity.id,
                handle,
                self._peers,
                self._clock,
                cold=self.residency.cold,
                in_flight=self._in_flight,
            )
            handle = forwarder.handle
        self._cpu, self._memory = self._host.cpu(), self._host.memory()
        try:
            async with asyncio.TaskGroup() as group:
                registry = group.create_task(self._registry.run(), name="registry")
                rest = [
                    group.create_task(self._listener.run(handle), name="listener"),
                    group.create_task(self._watch_hardware(), name="hardware"),
                    group.create_task(self._publish(), name="publish"),
                    group.create_task(self.roster.run(), name="roster"),
                    group.create_task(self.residency.run(), name="residency"),
                ]
                if self.folder is not None:
                    rest.append(group.create_task(self.folder.run(), name="models-folder"))
                if self._keyring is not None:
                    rest.append(group.create_task(self._keyring.run(), name="keyring"))
                if self._forms is not None:
                    rest.append(group.create_task(self._forms.run(), name="forms"))
                if self._quarantine is not None:
                    rest.append(group.create_task(self._quarantine.run(), name="quarantine"))
                if self._peers is not None:
                    rest.append(group.create_task(self._peers.run(), name="peers"))
                if self._direct is not None:
                    direct = self._direct.run(handle, self._describe)
                    rest.append(group.create_task(direct, name="direct"))
                self._tell()
                notify("READY=1")
                await self._drained()
                # The record goes first, so that nobody places work on a node that is leaving.
                registry.cancel()
                await asyncio.wait({registry}, timeout=REVOKE_S)
                for task in rest:
                    task.cancel()
        except BaseExceptionGroup as group_error:
            raise _cause(group_error) from None
        log.info("stopped: %s (%s) has left the mesh", self._identity.id, self._settings.name)

    async def _drained(self) -> None:
        await self._stopping.wait()
        notify("STOPPING=1")
        log.info("draining: %d attempts left, at most %g s", self._in_flight.count, self._drain_s)
        await self._until_idle(self._drain_s)
        if left := self._in_flight.count:
            log.warning("drain ends with %d attempts left; they resume elsewhere", left)
            self._in_flight.end_all()
            self._at_once.clear()
            await self._until_idle(FLUSH_S)

    async def _until_idle(self, seconds: float) -> None:
        """Returns when no attempt is left, after ``seconds``, or at a second ``stop``."""
        await either(self._in_flight.idle(), self._at_once.wait(), self._clock.sleep(seconds))

    def _describe(self, node: NodeId, model: ModelId) -> tuple[str, str]:
        """A node's name, and the hash of its model's tokenizer, "" when it is not known."""
        if node == self._identity.id:
            hosted = self.roster.get(model)
            facts = hosted.facts if hosted is not None else None
            return self._settings.name, facts.tokenizer_hash if facts else ""
        if self._peers is None:
            return node, ""
        record = self._peers.model(node, model)
        return self._peers.name(node), record.tokenizer_hash if record else ""

    async def _publish(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._tell()
            self._give_up()

    async def _watch_hardware(self) -> None:
        slow_at = gpus_at = float("-inf")
        while True:
            now = self._clock.now()
            if self._gpus or now - gpus_at >= GPU_RETRY_S:
                gpus_at = now
                reading = await self._gpu_reader.read()
                self._gpus, self._accelerator = reading.gpus, reading.line
                self.residency.see(reading.gpus, reading.line, now)
            if now - slow_at >= rules.SLOW_EVERY_S:
                slow_at = now
                self._cpu, self._memory = self._host.cpu(), self._host.memory()
            self.changed()
            notify("WATCHDOG=1")
            await self._clock.sleep(TICK_S)

    def _tell(self) -> None:
        """Heartbeat and record, each only when there is news."""
        record = self._record()
        heartbeat = self._heartbeat(record)
        if heartbeat != self._sent:
            self._sent = heartbeat
            self._listener.heartbeat(heartbeat)
        now = self._clock.now()
        if rules.due(record, self._written, now - self._written_at):
            self._written, self._written_at = record, now
            self._registry.announce(
                self._key,
                encode_record(replace(record, updated_at=self._clock.wall())),
                owner=self._identity.instance,
            )
        self._say(rules.Status(record.state, record.reason))

    def _record(self) -> NodeRecord:
        models = self.residency.records()
        if self._calibration is not None:
            models = tuple(self._calibration.told(model) for model in models)
        waits = rules.NO_MODEL_REASON
        if self.folder is not None:
            models, waits = (*models, *self.folder.records()), self.folder.waits
        status = rules.status(models, draining=self._in_flight.draining, waits=waits)
        specialties = dict.fromkeys(name for model in models for name in model.specialties)
        record = NodeRecord(
            id=self._identity.id,
            instance=self._identity.instance,
            name=self._settings.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            state=status.state,
            reason=status.reason,
            endpoint=self._listener.endpoint,
            direct_endpoint=self._direct.endpoint if self._direct is not None else "",
            transport=self._settings.transport,
            specialties=tuple(specialties),
            models=models,
            gpus=self._gpus,
            accelerator=self._accelerator,
            cpu=self._cpu,
            memory=self._memory,
            version=__version__,
            started_at=self._started_at,
        )
        return rules.bounded(record)

    def _heartbeat(self, record: NodeRecord) -> Heartbeat:
        loads = self.residency.loads()
        return Heartbeat(
            node=record.id,
            state=record.state,
            reason=record.reason,
            models=self._server.waits(loads),
            free_vram_bytes=tuple(gpu.free_bytes for gpu in record.gpus),
            expected_wait_s=self._server.expected_wait_s(),
        )

    def _give_up(self) -> None:
        """Raises ``ConfigError`` where a person waits for a node that cannot work."""
        if self._said is None or self.folder is not None or not self._settings.give_up:
            return
        self._worked |= any(model.state is ModelState.RESIDENT for model in self.roster)
        if self._said.state is NodeState.FAILED and not self._worked:
            raise ConfigError(
                f"{self._said.reason}; mend that, or say --keep-trying for a node that waits until "
                "one does"
            )

    def _say(self, status: rules.Status) -> None:
        if status == self._said:
            return
        self._said = status
        name = self._settings.name
        match status.state:
            case NodeState.READY:
                able = (ModelState.RESIDENT, ModelState.COLD)
                working = ", ".join(m.id for m in self.roster if m.state in able)
                endpoint = self._listener.endpoint
                log.info(
                    "ready: %s (%s) serves %s on %s", self._identity.id, name, working, endpoint
                )
            case NodeState.FAILED:
                log.error("failed: %s (%s): %s", self._identity.id, name, status.reason)
            case NodeState.STARTING:
                log.info("starting: %s (%s): %s", self._identity.id, name, status.reason)
            case NodeState.DRAINING:
                pass  # ``_drained`` says it, with how many attempts are left


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The mesh's own error when one is what ended the node, else all that was raised."""
    for error in group.exceptions:
        found = _cause(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, MeshError):
            return found
    return group
