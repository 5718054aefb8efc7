"""The one place where a node's models come and go, while it runs.

A model that goes takes nothing new from that moment on and stands in no record any more; what runs
on it goes on to its end, then its runner ends, and its id is free again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Protocol

from mesh.either import either
from mesh.errors import ConfigError
from mesh.types import ModelId
from node.models.hosted import HostedModel

log = logging.getLogger(__name__)

MOST_MODELS = 256  # of a node; each costs a line in its record, which everybody reads


class Origin(Enum):
    """Who wanted it."""

    SETTINGS = "settings"
    FOLDER = "folder"
    ORDER = "order"  # `mesh load`; nothing keeps it over a restart


class Home(Protocol):
    """What has something of its own for each model."""

    def add(self, model: HostedModel) -> None: ...

    def drop(self, model: ModelId) -> None: ...


@dataclass(frozen=True, slots=True)
class _Placed:
    model: HostedModel
    origin: Origin


class Roster:
    """``homes`` are told of each model before it runs and after it has ended. ``queued``: how many
    requests stand in a model's line. ``on_change``: a record says something else now."""

    def __init__(
        self,
        homes: Sequence[Home],
        *,
        queued: Callable[[ModelId], int],
        on_change: Callable[[], None],
    ) -> None:
        self._homes = tuple(homes)
        self._queued = queued
        self._on_change = on_change
        self._placed: dict[ModelId, _Placed] = {}
        self._group: asyncio.TaskGroup | None = None
        self._moved = asyncio.Event()

    def __iter__(self) -> Iterator[HostedModel]:
        return (placed.model for placed in self._placed.values())

    def __len__(self) -> int:
        return len(self._placed)

    @property
    def origins(self) -> Mapping[ModelId, Origin]:
        return MappingProxyType({model: at.origin for model, at in self._placed.items()})

    def get(self, model: ModelId) -> HostedModel | None:
        """Also one that is about to go."""
        placed = self._placed.get(model)
        return placed.model if placed is not None else None

    def takes(self, model: ModelId) -> bool:
        """Whether one of that id could be added now."""
        return model not in self._placed and len(self._placed) < MOST_MODELS

    def add(self, model: HostedModel, origin: Origin = Origin.SETTINGS) -> None:
        """From now on the node hosts it. Raises ``ConfigError`` where its id is taken, or where
        there are as many as there may be."""
        if (there := self.get(model.id)) is not None:
            going = "; that one is going, try again in a moment" if there.retired else ""
            raise ConfigError(
                f"two models have the id '{model.id}' ('{there.settings.source}' and "
                f"'{model.settings.source}'); give one of them an id of its own{going}"
            )
        if len(self._placed) >= MOST_MODELS:
            raise ConfigError(
                f"a node hosts at most {MOST_MODELS} models: '{model.id}' is left out; let another "
                "go (`mesh unload`), or run a second node"
            )
        self._placed[model.id] = _Placed(model, origin)
        for home in self._homes:
            home.add(model)
        if self._group is not None:
            self._group.create_task(self._keep(model), name=f"model-{model.id}")
        self._on_change()

    def remove(self, model: ModelId, why: str) -> None:
        """It goes: at once where nothing runs on it, else after its answers. ``why`` is told to
        whoever still comes. Idempotent."""
        there = self.get(model)
        if there is None or there.retired:
            return
        log.info("model %s is removed: %s", model, why)
        there.retire(f"model '{model}' is going from this node: {why}")
        if self._group is None:
            self._drop(there)
        self._on_change()

    def busy(self, model: HostedModel) -> int:
        """Answers that run on it, and requests that wait for it."""
        return model.used_slots + self._queued(model.id)

    def changed(self) -> None:
        """A model, its slots or its line may be different."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Returns when the condition, which is of models here, holds."""
        while not holds():
            await self._moved.wait()

    async def run(self) -> None:
        """Owns the models' tasks, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for model in self:
                    group.create_task(self._keep(model), name=f"model-{model.id}")
                await asyncio.Event().wait()
        finally:
            self._group = None

    async def _keep(self, model: HostedModel) -> None:
        await either(
            model.run(), self.until(lambda: model.retired and not self.busy(model))
        )  # what leaves here has ended its runner
        self._drop(model)

    def _drop(self, model: HostedModel) -> None:
        del self._placed[model.id]
        for home in self._homes:
            home.drop(model.id)
        log.info("model %s is gone", model.id)
        self.changed()
        self._on_change()
