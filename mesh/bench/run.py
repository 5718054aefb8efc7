"""Drives a run: warm-up, then load and faults side by side, then what is still open finishes."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import Any

from mesh import Client, connect
from mesh.bench.arrivals import ClosedLoop, OpenLoop, poisson
from mesh.bench.faults import check_targets
from mesh.bench.injector import FaultMark, Injector
from mesh.bench.profile import LoadProfile
from mesh.bench.record import Recorder
from mesh.bench.series import Second
from mesh.bench.stream import Observation, Simulated
from mesh.bench.workload import Workload
from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.fleet.records import NodeRecord

MAX_CONNECTIONS = 8
WARMUP_CLIENTS = 8
TICK_S = 0.25
# A closed loop asks again at once; after an error that would be a storm of requests at a mesh that
# is down or full.
AFTER_ERROR_S = 0.1
AFTER_ERROR_MAX_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """``nodes``: the fleet before the run. ``started_at``: Unix seconds. ``wall_s``: with the
    streams that were open at the end. ``cpu_s``: CPU seconds of this process, the load generator.
    ``interrupted``: ended early, by the user."""

    recorder: Recorder
    marks: tuple[FaultMark, ...]
    unlisted_marks: int
    nodes: tuple[NodeRecord, ...]
    connections: int
    started_at: float
    wall_s: float
    cpu_s: float
    interrupted: bool


async def run(
    profile: LoadProfile,
    workload: Workload,
    endpoints: Sequence[str],
    clock: Clock,
    *,
    stop: asyncio.Event,
    on_begin: Callable[[], None] = lambda: None,
    on_second: Callable[[Second], None] = lambda _: None,
    cpu: Callable[[], float] = time.process_time,
) -> LoadResult:
    """Runs ``profile`` against the mesh. ``stop``: ends it early, cutting open streams off;
    ``on_begin``: the warm-up is over. Raises ``Unreachable`` and, for faults that cannot be,
    ``ConfigError`` before any load."""
    async with AsyncExitStack() as stack:
        connections = min(MAX_CONNECTIONS, profile.load.streams)
        clients = [await stack.enter_async_context(connect(endpoints)) for _ in range(connections)]
        nodes = await _records(clients[0])
        check_targets(profile.faults, nodes, host=socket.gethostname())
        driver = _Driver(profile, workload, clients, clock, simulated=_simulated(nodes))
        checks = await driver.warm_up(stop)
        injector = Injector(profile.faults, lambda: _records(clients[0]), clock, seed=profile.seed)
        on_begin()
        cpu_before, started_at = cpu(), clock.wall()
        recorder = Recorder(
            clock.now(), profile.objective, window_s=profile.duration_s, on_second=on_second
        )
        recorder.adopt_checks(checks)
        await driver.run(recorder, injector, stop)
        return LoadResult(
            recorder=recorder,
            marks=tuple(injector.marks),
            unlisted_marks=injector.unlisted,
            nodes=nodes,
            connections=connections,
            started_at=started_at,
            wall_s=clock.now() - recorder.start,
            cpu_s=cpu() - cpu_before,
            interrupted=stop.is_set(),
        )


class _Driver:
    """Sends what is due. Tasks: one a client in a closed loop, one a stream in an open one, none
    beyond ``profile.load.streams``."""

    def __init__(
        self,
        profile: LoadProfile,
        workload: Workload,
        clients: Sequence[Client],
        clock: Clock,
        *,
        simulated: Simulated,
    ) -> None:
        self._profile = profile
        self._workload = workload
        self._clients = clients
        self._clock = clock
        self._simulated = simulated
        self._options = profile.template.options()
        self._number = 0
        self._open = 0

    async def warm_up(self, stop: asyncio.Event) -> Recorder:
        """The first requests: connections, caches and code get warm. Only their checks count."""
        recorder = Recorder(self._clock.now(), self._profile.objective)
        if self._profile.warmup:
            clients = min(WARMUP_CLIENTS, self._profile.load.streams)
            await self._unless(stop, self._closed_loop(recorder, clients, self._profile.warmup))
        return recorder

    async def run(self, recorder: Recorder, injector: Injector, stop: asyncio.Event) -> None:
        """Returns when the last stream is over, or at ``stop``; ``recorder`` is then closed."""
        async with asyncio.TaskGroup() as group:
            aside = [
                group.create_task(injector.run(recorder.start, self._profile.until_s)),
                group.create_task(self._tick(recorder)),
            ]
            await self._unless(stop, self._load(recorder))
            for task in aside:
                task.cancel()
        recorder.close(self._clock.now())

    async def _unless(self, stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
        """Does ``work`` until ``stop`` is set; then it is cancelled."""
        async with asyncio.TaskGroup() as group:
            working = group.create_task(work)
            stopping = group.create_task(stop.wait())
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            working.cancel()
            stopping.cancel()

    async def _load(self, recorder: Recorder) -> None:
        match self._profile.load:
            case OpenLoop() as load:
                await self._open_loop(recorder, load)
            case ClosedLoop(clients=clients):
                await self._closed_loop(
                    recorder,
                    clients,
                    self._profile.requests,
                    recorder.start + self._profile.until_s,
                )

    async def _open_loop(self, recorder: Recorder, load: OpenLoop) -> None:
        left = self._profile.requests or math.inf
        async with asyncio.TaskGroup() as streams:
            for due_s in poisson(load.rate, Random(self._profile.seed)):
                if due_s >= self._profile.until_s or left <= 0:
                    return
                left -= 1
                due = recorder.start + due_s
                await self._clock.sleep(due - self._clock.now())
                if self._open >= load.max_in_flight:
                    recorder.skipped(self._clock.now())
                    continue
                self._open += 1
                streams.create_task(self._one_of_many(recorder, due))

    async def _one_of_many(self, recorder: Recorder, due: float) -> None:
        try:
            await self._ask(recorder, due)
        finally:
            self._open -= 1

    async def _closed_loop(
        self, recorder: Recorder, clients: int, requests: int | None, end: float = math.inf
    ) -> None:
        left = requests if requests is not None else math.inf

        async def client() -> None:
            nonlocal left
            while left > 0 and (now := self._clock.now()) < end:
                left -= 1
                error = await self._ask(recorder, now)
                if error is not None:
                    wait_s = max(error.retry_after_s or 0.0, AFTER_ERROR_S)
                    await self._clock.sleep(min(wait_s, AFTER_ERROR_MAX_S))

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())

    async def _ask(self, recorder: Recorder, due: float) -> MeshError | None:
        """One request, to its end; returns the error that ended it."""
        number = self._number
        self._number += 1
        client = self._clients[number % len(self._clients)]
        events = client.events(self._workload.prompt(number), **self._options)
        seen = Observation(recorder, events.request.id, due=due, simulated=self._simulated)
        recorder.began(due, self._clock.now())
        try:
            async with events:
                async for event in events:
                    seen.saw(event, self._clock.now())
        except MeshError as error:
            seen.ended(self._clock.now(), error)
            return error
        except asyncio.CancelledError:
            seen.cut_off(self._clock.now())
            raise
        seen.ended(self._clock.now())
        return None

    async def _tick(self, recorder: Recorder) -> None:
        """Rows are closed in time also while nothing happens."""
        while True:
            await self._clock.sleep(TICK_S)
            recorder.roll(self._clock.now())


async def _records(client: Client) -> tuple[NodeRecord, ...]:
    return tuple(node.record for node in await client.nodes())


def _simulated(nodes: Sequence[NodeRecord]) -> Simulated:
    return frozenset(
        (node.id, model.id)
        for node in nodes
        for model in node.models
        if model.engine == "simulated"
    )
