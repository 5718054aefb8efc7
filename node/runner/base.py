"""What a model's runner is to the agent: ``node.runner.process`` keeps it, tests have their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from mesh.fleet.records import ModelCounts, ModelState
from node.engines.base import ModelFacts
from node.runner.messages import Event, Opening


class RunningSequence(Protocol):
    """One sequence on a runner. Iterating raises ``EngineFailed`` when the runner is lost."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    def grant(self, pieces: int) -> None: ...

    def cancel(self) -> None:
        """Idempotent; frees the slot as soon as the runner sees it."""
        ...


class Runner(Protocol):
    """What ``node.runner.process.RunnerProcess`` is to the agent."""

    @property
    def state(self) -> ModelState: ...
    @property
    def facts(self) -> ModelFacts | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def slots(self) -> int: ...
    @property
    def used_slots(self) -> int: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def load_percent(self) -> int: ...
    @property
    def counts(self) -> ModelCounts: ...

    async def run(self) -> None: ...

    def open(self, opening: Opening) -> RunningSequence: ...
