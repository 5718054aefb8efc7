"""Puts a node together from its settings, with the real registry, transport, runners and probes."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mesh.clock import Clock
from mesh.errors import ConfigError, EngineLost
from mesh.quarantine.marks import marks_of
from mesh.quarantine.quarantine import Quarantine
from mesh.registry.etcd import EtcdRegistry
from mesh.settings.model import ModelSettings
from mesh.settings.node import NodeSettings
from mesh.settings.state import state_dir
from mesh.transport.dialers import all_dialers
from mesh.transport.grpc import GrpcListener
from mesh.transport.zeromq import ZeroMQListener
from node.agent import NodeAgent
from node.engines.base import ModelSpec
from node.engines.registry import check_engine, traits_of
from node.hardware.care.cores import read_cores
from node.hardware.care.limits import limited
from node.hardware.care.surroundings import surroundings
from node.hardware.gpu import GpuReader, NoProbe, NvmlProbe
from node.hardware.host import BusyShare, Host
from node.identity import Identity, claim
from node.models import watching
from node.models.calibration import Calibration
from node.models.forms.trials import FormTrials
from node.models.hosted import HostedModel, Runner
from node.models.orders import Orders
from node.runner.messages import Opening
from node.runner.process import RunnerProcess
from node.serve.control import NodeControl
from node.serve.direct import DirectServer
from node.serve.gate import Keyring, TicketGate
from node.serve.peers import Peers

_LISTENERS = {"zeromq": ZeroMQListener, "grpc": GrpcListener}


@contextmanager
def build(settings: NodeSettings, clock: Clock) -> Iterator[NodeAgent]:
    """The agent, with its identity held until the block ends.

    Raises ``ConfigError`` (no model, two of one id, an engine that is not installed, a state folder
    that cannot be used) and ``DuplicateNode``.
    """
    folder = Path(settings.state_dir).expanduser() if settings.state_dir else state_dir()
    if not settings.models and settings.models_folder is None:
        raise ConfigError(
            "this node hosts no model: give one with --model SOURCE --specialty NAME, or [[models]]"
        )
    for model in settings.models:
        check_engine(model.source, model.engine)
    if settings.models_folder is not None:
        check_engine(settings.models_folder.path, settings.models_folder.engine)
        watching.checked(settings.models_folder)
    with (
        claim(folder, settings.name) as identity,
        limited(settings.gpu_limits, identity.folder),
    ):
        host = Host()
        rng = random.Random()
        cores = read_cores()
        calibration = Calibration(identity.folder, clock=clock, rng=rng, box=BusyShare())
        registry = EtcdRegistry(
            settings.etcd,
            prefix=settings.prefix,
            lease_ttl_s=settings.timing.lease_ttl_s,
            clock=clock,
            rng=rng,
        )
        keyring = Keyring(registry, clock)
        quarantine = Quarantine(clock, registry, identity.id)
        control = NodeControl(identity.id)
        agent = NodeAgent(
            settings,
            identity,
            registry=registry,
            listener=_LISTENERS[settings.transport](
                settings.bind,
                node_id=identity.id,
                instance=identity.instance,
                timing=settings.timing,
                clock=clock,
                advertise=settings.advertise,
            ),
            gpus=GpuReader(
                NvmlProbe(clock, memory=host.memory) if _may_use_gpus(settings) else NoProbe()
            ),
            host=host,
            clock=clock,
            keyring=keyring,
            direct=_direct(settings, identity, keyring, quarantine, control, clock),
            quarantine=quarantine,
            forms=FormTrials(clock),
            peers=Peers(
                registry,
                all_dialers(settings.name, settings.timing, clock, rng),
                clock,
                connect_timeout_s=settings.timing.connect_timeout_s,
            ),
            calibration=calibration,
        )

        def lost(opening: Opening, error: EngineLost) -> None:
            sampling = None if opening.texts else opening.sampling
            quarantine.strike(marks_of(opening.messages, sampling, opening.texts), error)

        def make_runner(engine: str, spec: ModelSpec, on_change: Callable[[], None]) -> Runner:
            around = surroundings(traits_of(engine), spec, inherited=os.environ, cores=cores)

            def make(changed: Callable[[], None]) -> Runner:
                return RunnerProcess(
                    engine,
                    around.spec,
                    on_change=changed,
                    clock=clock,
                    environment=around.environment,
                    cpus=around.cpus,
                    otlp_endpoint=settings.otlp_endpoint,
                    instance=identity.instance,
                    hang_s=settings.hang_s,
                    crash_limit=settings.crash_limit,
                    on_loss=lost,
                )

            return calibration.runner(engine, around.spec, on_change, make)

        def make_model(model: ModelSettings) -> HostedModel:
            return HostedModel(
                model,
                default_threads=host.threads(),
                make_runner=make_runner,
                on_change=agent.changed,
                clock=clock,
            )

        for model in settings.models:
            agent.roster.add(make_model(model))
        control.begin(Orders(agent.roster, agent.residency, make_model))
        if settings.models_folder is not None:
            agent.folder = watching.FolderWatch(
                settings.models_folder,
                agent.roster,
                make_model,
                clock=clock,
                on_change=agent.changed,
            )
        yield agent


def _may_use_gpus(settings: NodeSettings) -> bool:
    """A driver is not even asked where all models are told to stay on the CPU. Where there are none
    yet, such may come."""
    layers = [model.gpu_layers for model in settings.models]
    if settings.models_folder is not None:
        layers.append(settings.models_folder.gpu_layers)
    return not layers or any(layers)


def _direct(
    settings: NodeSettings,
    identity: Identity,
    keyring: Keyring,
    quarantine: Quarantine,
    control: NodeControl,
    clock: Clock,
) -> DirectServer | None:
    if settings.direct_bind == "off":
        return None
    host = settings.bind.rpartition("://")[2].rpartition(":")[0]
    return DirectServer(
        TicketGate(identity.id, identity.instance, keyring.keys, clock),
        clock,
        bind=settings.direct_bind or f"{host}:0",
        advertise=settings.advertise,
        quarantine=quarantine,
        beside=(control.handler(),),
    )
