"""What a mesh on this box consists of, from the wishes to settings and command lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import msgspec

from mesh.child.start import python
from mesh.local.roster import Entry
from mesh.settings.load import plain
from mesh.settings.node import NodeSettings
from mesh.settings.orchestrator import OrchestratorSettings
from mesh.settings.process import ProcessSettings
from mesh.settings.specialty import SHIPPED


class ProcessKind(StrEnum):
    ETCD = "etcd"
    ORCHESTRATOR = "orchestrator"
    NODE = "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One process. ``name`` is unique in the mesh and names its log file."""

    part: ProcessKind
    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshPlan:
    """``own_etcd``: this mesh starts etcd itself (on ``etcd``), else that is somebody's cluster."""

    state_dir: Path
    endpoint: str
    etcd: str
    own_etcd: bool
    orchestrator: OrchestratorSettings
    nodes: tuple[NodeSettings, ...]

    @property
    def log_dir(self) -> Path:
        return self.state_dir / "logs"


def make_plan(
    *,
    state_dir: Path,
    endpoint: str,
    etcd: str,
    own_etcd: bool,
    nodes: tuple[Entry, ...],
    cores: int = 1,
    insecure: bool = False,
    otlp_endpoint: str | None = None,
) -> MeshPlan:
    """``cores``: the box's physical ones. Raises ``ConfigError``."""
    # Nodes that each took all cores would wait for one another's threads.
    threads = max(1, cores // max(1, len(nodes)))
    node_settings = tuple(
        NodeSettings(
            name=node.name,
            state_dir=str(state_dir),
            etcd=etcd,
            otlp_endpoint=otlp_endpoint,
            models=(replace(node.model, threads=threads),),
        )
        for node in nodes
    )
    specialties = [specialty for node in nodes for specialty in node.model.specialties]
    fallback = "chat" if "chat" in specialties or not specialties else specialties[0]
    orchestrator = OrchestratorSettings(
        name="orchestrator",
        state_dir=str(state_dir),
        etcd=etcd,
        bind=endpoint,
        fallback=fallback,
        specialties=SHIPPED,
        insecure=insecure,
        otlp_endpoint=otlp_endpoint,
    )
    orchestrator.check("mesh up")
    for settings in node_settings:
        settings.check("mesh up")
    return MeshPlan(
        state_dir=state_dir,
        endpoint=endpoint,
        etcd=etcd,
        own_etcd=own_etcd,
        orchestrator=orchestrator,
        nodes=node_settings,
    )


def children(plan: MeshPlan, etcd_command: list[str] | None) -> tuple[ChildSpec, ...]:
    """The processes, in the order in which they start; stopping goes the other way round."""
    specs: list[ChildSpec] = []
    if etcd_command is not None:
        specs.append(ChildSpec(part=ProcessKind.ETCD, name="etcd", command=tuple(etcd_command)))
    specs.append(
        ChildSpec(
            part=ProcessKind.ORCHESTRATOR,
            name=plan.orchestrator.name,
            command=python_command("orchestrator", plan.orchestrator),
        )
    )
    specs += [
        ChildSpec(part=ProcessKind.NODE, name=node.name, command=python_command("node", node))
        for node in plan.nodes
    ]
    return tuple(specs)


def python_command(module: str, settings: ProcessSettings) -> tuple[str, ...]:
    """``python -m node JSON``."""
    return python(module, msgspec.json.encode(plain(settings)).decode())


def name_in(command: Sequence[str]) -> str:
    """The name of a child, in words, by the command that it was started with."""
    match list(command):
        case [*_, "-m", ("node" | "orchestrator") as module, settings]:
            try:
                name = msgspec.json.decode(settings, type=_Named).name
            except msgspec.MsgspecError:
                return module
            return f"node '{name}'" if module == "node" else module
        case [program, *_]:
            return Path(program).name
        case _:
            return "a process"


class _Named(msgspec.Struct):
    name: str
