"""What a runner's process is started with, for its model: environment variables and CPUs. Pure.

A variable that the user has set for the node stands, but for ``CUDA_VISIBLE_DEVICES``, which says
where the model was planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mesh.errors import ConfigError
from node.engines.base import ModelSpec
from node.engines.traits import EngineTraits
from node.models.residency.needs import GPU_PREFIXES

PHYSICAL = "physical"
_MOST_CPUS = 8192  # Linux's CONFIG_NR_CPUS at its largest


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """``allowed``: logical CPUs that this process may use. ``siblings``: those of each physical
    core."""

    allowed: frozenset[int]
    siblings: tuple[frozenset[int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """``spec``: the model's without what is said here. ``cpus``: empty for all of the node's."""

    spec: ModelSpec
    environment: Mapping[str, str]
    cpus: frozenset[int] = frozenset()


def surroundings(
    traits: EngineTraits[Any],
    spec: ModelSpec,
    *,
    inherited: Mapping[str, str],
    cores: Cores,
) -> Surroundings:
    """``inherited``: the node's own environment. Raises ``ConfigError`` for an option ``cpus`` that
    cannot be had."""
    options = {key: value for key, value in spec.options.items() if key != "cpus"}
    return Surroundings(
        spec=replace(spec, options=options),
        environment=environment(traits, spec, inherited=inherited),
        cpus=cpus(spec, cores),
    )


def environment(
    traits: EngineTraits[Any], spec: ModelSpec, *, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Variables beside the inherited ones."""
    # Numbers as NVML counts; CUDA's own order is by speed.
    wanted = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **traits.runner_environment(spec)}
    found = {name: value for name, value in wanted.items() if name not in inherited}
    visible = _visible(spec, by_layers=traits.splits_layers)
    if visible is not None:
        found["CUDA_VISIBLE_DEVICES"] = visible
    return found


def _visible(spec: ModelSpec, *, by_layers: bool) -> str | None:
    """The one GPU that the model was planned on, by UUID (numbers change with a card's removal);
    "" for the CPU: even a look at a GPU costs a few hundred MB of its memory. None: as it is."""
    device = spec.options.get("device")
    if isinstance(device, str) and device.startswith(GPU_PREFIXES):
        return device
    if device == "cpu" or (by_layers and not spec.gpu_layers):
        return ""
    return None


def cpus(spec: ModelSpec, cores: Cores) -> frozenset[int]:
    """By the model's option ``cpus``: a list, ``0-3,8``, or ``physical`` for one logical CPU on
    each of as many physical cores as the model has threads. Without it, empty: once several models
    share a box, the kernel spreads threads better than a fixed choice. Raises ``ConfigError``."""
    wanted = spec.options.get("cpus")
    if wanted is None:
        return frozenset()
    if wanted == PHYSICAL:
        return physical(cores, spec.threads)
    chosen = _listed(wanted)
    if chosen is None:
        raise ConfigError(
            f"model '{spec.id}': cpus = {wanted!r} is no list of CPUs; write for example "
            f"'0-3,8', [0, 1], or '{PHYSICAL}'"
        )
    beyond = chosen - cores.allowed
    if beyond:
        raise ConfigError(
            f"model '{spec.id}': cpus names {ranges(beyond)}, which the node may not use; it may "
            f"use {ranges(cores.allowed)}"
        )
    return chosen


def physical(cores: Cores, count: int) -> frozenset[int]:
    """The first allowed logical CPU of each of the first ``count`` physical cores, at least one."""
    known = frozenset().union(*cores.siblings)
    groups = [core & cores.allowed for core in cores.siblings]
    groups += [frozenset({cpu}) for cpu in cores.allowed - known]
    first = sorted(min(group) for group in groups if group)
    return frozenset(first[: max(1, count)])


def parse_list(text: str) -> frozenset[int] | None:
    """``0-3,8`` as Linux writes lists of CPUs; None for what is none, empty or absurdly long."""
    found: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        high = high if dash else low
        if not all(end.isascii() and end.isdigit() and len(end) <= 5 for end in (low, high)):
            return None
        if int(low) > int(high) or int(high) >= _MOST_CPUS:
            return None
        found.update(range(int(low), int(high) + 1))
    return frozenset(found)


def _listed(wanted: Any) -> frozenset[int] | None:
    if isinstance(wanted, str):
        return parse_list(wanted)
    if not isinstance(wanted, list | tuple) or not wanted:
        return None
    numbers = all(type(each) is int and 0 <= each < _MOST_CPUS for each in wanted)
    return frozenset(wanted) if numbers else None


def ranges(cpus: Iterable[int]) -> str:
    """``0-3,8``."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][1] + 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
