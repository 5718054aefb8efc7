"""The way of a token from an engine to a reader, as ``benchmarks.engine`` measures it.

A real runner process, the node's ``AttemptServer``, and ZeroMQ to a link. Agent and reader share
this process.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

from mesh.clock import SystemClock
from mesh.fleet.records import ModelState
from mesh.settings.timing import PRESETS
from mesh.transport.base import Attempt, Failed, Finished, Refused, Tokens
from mesh.transport.zeromq import ZeroMQDialer, ZeroMQListener
from mesh.types import Message, ModelId, NodeId, RequestId, Role, Sampling
from node.engines.base import ModelSpec
from node.runner.messages import Opening
from node.runner.process import RunnerProcess
from node.runner.sequence import Sequence
from node.serve.server import AttemptServer

NODE = NodeId("bench")


class _Hosted:
    """What ``AttemptServer`` asks of a hosted model, of one that is always resident."""

    def __init__(self, runner: RunnerProcess, model: str) -> None:
        self.id = ModelId(model)
        self.state = ModelState.RESIDENT
        self.embeds = False
        self._runner = runner

    @property
    def slots(self) -> int:
        return self._runner.slots

    @property
    def used_slots(self) -> int:
        return self._runner.used_slots

    def open(self, opening: Opening) -> Sequence:
        return self._runner.open(opening)


class Way:
    """Asynchronous context manager; ``rate`` may be asked once it is entered."""

    def __init__(self, engine: str, spec: ModelSpec) -> None:
        clock, timing = SystemClock(), PRESETS["lan"]
        changed = asyncio.Event()
        self._changed, self._up = changed, asyncio.Event()
        self._runner = RunnerProcess(engine, spec, on_change=changed.set, clock=clock)
        hosted: Any = _Hosted(self._runner, spec.id)
        self._model = hosted.id
        self._server = AttemptServer(NODE, [hosted], clock=clock, on_change=lambda: None)
        self._listener = ZeroMQListener("tcp://127.0.0.1:0", NODE, "bench", timing, clock)
        self._listener.bind()
        dialer = ZeroMQDialer("bench", timing, clock, random.Random())
        self._link = dialer.link(
            self._listener.endpoint, NODE, lambda _: None, lambda _: self._up.set()
        )
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Way:
        await self._group.__aenter__()
        for run in (self._runner.run(), self._listener.run(self._server.handle), self._link.run()):
            self._tasks.append(self._group.create_task(run))
        async with asyncio.timeout(60):
            await self._up.wait()
            await self._until(lambda: self._runner.state is not ModelState.LOADING)
        return self

    async def __aexit__(self, *error: Any) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(*error)

    async def rate(self, streams: int, tokens: int, mark: str) -> float:
        """Tokens/s of that many streams at once, prompts included."""
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            reads = [
                group.create_task(self._read(f"{number}{mark}", tokens))
                for number in range(streams)
            ]
        seconds = time.perf_counter() - started
        await self._until(lambda: self._runner.used_slots == 0)
        return sum(read.result() for read in reads) / seconds

    async def _read(self, text: str, tokens: int) -> int:
        attempt = Attempt(
            request_id=RequestId(uuid.uuid4().hex),
            number=1,
            model=self._model,
            messages=(Message.of(Role.USER, text),),
            sampling=Sampling(max_tokens=tokens),
            timeout_s=120.0,
        )
        count = 0
        async with self._link.open(attempt) as stream:
            async for event in stream:
                match event:
                    case Tokens(pieces=pieces):
                        count += len(pieces)
                        stream.grant(len(pieces))
                    case Finished():
                        return count
                    case Refused(message=message) | Failed(message=message):
                        raise RuntimeError(message)
        raise RuntimeError("the stream ended without a word")

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()
