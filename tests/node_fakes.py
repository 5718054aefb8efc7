"""A runner, a sink and a listener made of plain Python, for tests of the node agent on twins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from mesh.errors import MeshError, Overloaded
from mesh.fleet.records import Gpu, Heartbeat, ModelCounts, ModelState
from mesh.settings.model import ModelSettings
from mesh.transport.base import Attempt, AttemptEvent, Handler, Tokens
from mesh.types import (
    FinishReason,
    Message,
    ModelId,
    NodeId,
    Piece,
    RequestId,
    Role,
    Sampling,
    Usage,
)
from node.engines.base import ModelFacts, ModelSpec
from node.hardware.gpu import NO_DRIVER
from node.models.hosted import HostedModel, Prepared
from node.runner.messages import Done, Opened, Opening, Pieces, Prefill, Rejected, Vectors

FACTS = ModelFacts(context_length=512, device="cpu", architecture="toy", tokenizer_hash="tok")
USAGE = Usage(prompt_tokens=3, completion_tokens=2)
SequenceMessage = Opened | Rejected | Prefill | Pieces | Vectors | Done


def attempt(**changes: Any) -> Attempt:
    """A good attempt on model ``toy``."""
    given: dict[str, Any] = {
        "request_id": RequestId("0" * 32),
        "number": 1,
        "model": ModelId("toy"),
        "messages": (Message.of(Role.USER, "hello"),),
        "sampling": Sampling(),
        "timeout_s": 30.0,
        "tokenizer_hash": "tok",
    }
    return Attempt(**(given | changes))


def pieces(*texts: str, first: int = 0) -> Pieces:
    return Pieces(
        sequence=1,
        first=first,
        pieces=tuple(Piece(id=first + i, text=text) for i, text in enumerate(texts)),
    )


def done(reason: FinishReason = FinishReason.STOP) -> Done:
    return Done(sequence=1, reason=reason, usage=USAGE)


class FakeSequence:
    """Yields what a test ``put``s; an exception put is raised."""

    def __init__(self, on_close: Callable[[], None]) -> None:
        self._queue: asyncio.Queue[SequenceMessage | Exception] = asyncio.Queue()
        self._on_close = on_close
        self.granted = 0
        self.cancelled = False

    def put(self, *messages: SequenceMessage | Exception) -> None:
        for message in messages:
            self._queue.put_nowait(message)

    async def __aiter__(self) -> AsyncIterator[SequenceMessage]:
        while True:
            message = await self._queue.get()
            if isinstance(message, Exception):
                raise message
            yield message
            if isinstance(message, Done | Rejected):
                return

    def grant(self, count: int) -> None:
        self.granted += count

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            self._on_close()


class FakeRunner:
    """Resident at once unless told otherwise. ``opened`` keeps each sequence and its opening."""

    def __init__(self, spec: ModelSpec, on_change: Callable[[], None]) -> None:
        self.spec = spec
        self.state = ModelState.RESIDENT
        self.facts: ModelFacts | None = FACTS
        self.error: str | None = None
        self.slots = spec.slots
        self.used_slots = 0
        self.pid: int | None = None
        self.load_percent = 0
        self.counts = ModelCounts()
        self.opened: list[tuple[FakeSequence, Opening]] = []
        self.script: tuple[SequenceMessage | Exception, ...] = ()
        self.stopped = False
        self._on_change = on_change

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped = True

    def become(self, state: ModelState, error: str | None = None) -> None:
        self.state, self.error = state, error
        self._on_change()

    def open(self, opening: Opening) -> FakeSequence:
        if self.used_slots >= self.slots:
            raise Overloaded("no slot")
        self.used_slots += 1
        self._on_change()
        sequence = FakeSequence(self._free)
        sequence.put(*self.script)
        self.opened.append((sequence, opening))
        return sequence

    def _free(self) -> None:
        self.used_slots -= 1
        self._on_change()


class FakeSink:
    """Takes events; ``Tokens`` wait while ``gate`` is shut."""

    def __init__(self) -> None:
        self.events: list[AttemptEvent] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = False

    async def send(self, event: AttemptEvent) -> None:
        if isinstance(event, Tokens):
            self.waiting = True
            await self.gate.wait()
            self.waiting = False
        self.events.append(event)


class Hosted:
    """A ``HostedModel`` over a ``FakeRunner`` that the test holds as ``runner``."""

    def __init__(
        self,
        model: str = "toy",
        *,
        specialties: tuple[str, ...] = ("math",),
        slots: int = 2,
        failing: MeshError | None = None,
        on_change: Callable[[], None] = lambda: None,
        configure: Callable[[FakeRunner], None] = lambda runner: None,
    ) -> None:
        self.made: FakeRunner | None = None
        self._failing = failing
        self._configure = configure
        self.model = HostedModel(
            ModelSettings(
                source=model, specialties=specialties, id=model, engine="simulated", slots=slots
            ),
            default_threads=2,
            make_runner=self._make,
            on_change=on_change,
            prepare=self._prepare,
        )

    @property
    def runner(self) -> FakeRunner:
        if self.made is None:
            raise LookupError("the model has no runner yet")
        return self.made

    def _prepare(
        self, settings: ModelSettings, model: ModelId, threads: int, percent: object
    ) -> Prepared:
        if self._failing is not None:
            raise self._failing
        return Prepared(
            spec=ModelSpec(
                id=model,
                source=settings.source,
                slots=settings.slots,
                context_length=512,
                threads=threads,
            )
        )

    def _make(self, engine: str, spec: ModelSpec, on_change: Callable[[], None]) -> FakeRunner:
        self.made = FakeRunner(spec, on_change)
        self._configure(self.made)
        return self.made


async def until(holds: Callable[[], bool], within_s: float = 5.0) -> None:
    """Waits for a condition, and fails the test when it does not come to hold."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - the condition is anything, not one event
            await asyncio.sleep(0.002)


NODE = NodeId("node-0000000000000001")


class FakeListener:
    """A listener without a wire: a test hands attempts to ``handler`` itself."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.handler: Handler | None = None
        self.heartbeats: list[Heartbeat] = []

    def bind(self) -> None:
        self.endpoint = "tcp://127.0.0.1:12345"

    async def run(self, handler: Handler) -> None:
        self.handler = handler
        try:
            await asyncio.Event().wait()
        finally:
            self.handler = None

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        self.heartbeats.append(heartbeat)


class FakeGpuProbe:
    """Gives ``gpus`` and ``line``, whatever a test sets them to."""

    def __init__(self) -> None:
        self.gpus: tuple[Gpu, ...] = ()
        self.line = NO_DRIVER

    def probe(self) -> tuple[tuple[Gpu, ...], str]:
        return self.gpus, self.line
