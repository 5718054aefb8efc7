"""Puts a node together from its settings, with the real registry, transport, runners and probes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mesh import config
from mesh.clock import Clock
from mesh.config import NodeSettings
from mesh.errors import ConfigError
from mesh.registry.etcd import EtcdRegistry
from mesh.transport.zeromq import ZeroMQListener
from node.agent import NodeAgent
from node.engines.base import ModelSpec
from node.engines.registry import known_engines
from node.gpu import GpuReader, NvmlProbe
from node.host import Host
from node.identity import claim
from node.models import HostedModel, Runner, check_ids
from node.runner.process import RunnerProcess


@contextmanager
def build(settings: NodeSettings, clock: Clock) -> Iterator[NodeAgent]:
    """The agent, with its identity held until the block ends.

    Raises ``ConfigError`` (no model, two of one id, an engine that is not installed, a state folder
    that cannot be used) and ``DuplicateNode``.
    """
    state_dir = Path(settings.state_dir).expanduser() if settings.state_dir else config.state_dir()
    for model in settings.models:
        if model.engine not in known_engines():
            raise ConfigError(
                f"model '{model.source}': no engine '{model.engine}'; "
                f"known: {', '.join(known_engines())}"
            )
    with claim(state_dir, settings.name) as identity:
        host = Host()
        agent = NodeAgent(
            settings,
            identity,
            registry=EtcdRegistry(
                settings.etcd,
                prefix=settings.prefix,
                lease_ttl_s=settings.timing.lease_ttl_s,
                clock=clock,
                rng=random.Random(),
            ),
            listener=ZeroMQListener(
                settings.bind,
                node_id=identity.id,
                instance=identity.instance,
                timing=settings.timing,
                clock=clock,
                advertise=settings.advertise,
            ),
            gpus=GpuReader(NvmlProbe(clock)),
            host=host,
            clock=clock,
        )

        def make_runner(engine: str, spec: ModelSpec, on_change: Callable[[], None]) -> Runner:
            return RunnerProcess(
                engine,
                spec,
                on_change=on_change,
                clock=clock,
                otlp_endpoint=settings.otlp_endpoint,
                instance=identity.instance,
            )

        models = [
            HostedModel(
                model,
                default_threads=host.threads(),
                make_runner=make_runner,
                on_change=agent.changed,
            )
            for model in settings.models
        ]
        check_ids(models)
        agent.host_models(models)
        yield agent
