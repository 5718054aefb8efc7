"""A whole mesh in one process: scripted nodes on the twins, and a real orchestrator's core."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from opentelemetry.trace import INVALID_SPAN

from mesh.clock import Clock, SystemClock
from mesh.config import OrchestratorSettings, Timing
from mesh.records import (
    Heartbeat,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    encode_record,
)
from mesh.registry.base import NODES
from mesh.registry.memory import MemoryRegistry, MemoryStore
from mesh.stream import StreamEvent, Tokens
from mesh.transport.base import (
    Accepted,
    Attempt,
    Failed,
    Finished,
    Refused,
    Sink,
)
from mesh.transport.memory import MemoryNetwork
from mesh.types import (
    Decision,
    FinishReason,
    Message,
    ModelId,
    NodeId,
    OrchestratorId,
    Piece,
    Request,
    RequestId,
    Role,
    Sampling,
    Specialty,
    Usage,
)
from orchestrator.admission import Admission
from orchestrator.answers import Answers
from orchestrator.capacity import Capacity
from orchestrator.dispatch import Dispatch
from orchestrator.fleet import Fleet
from orchestrator.identity import Identity
from orchestrator.router.base import Features
from orchestrator.service import Orchestrator

TIMING = Timing(lease_ttl_s=2.0, heartbeat_s=0.1, peer_timeout_s=0.6, connect_timeout_s=0.5)
MATH = Specialty("math")
CHAT = Specialty("chat")
TOY = ModelId("toy")
# One rule: the starter rules take seconds to compile.
RULES = """
[[rules]]
name = "sum"
specialty = "math"
pattern = "[0-9] ?[+] ?[0-9]"
weight = 0.9
"""
WAIT_S = 10.0  # deadline of every condition that a test waits for

Script = Callable[["ScriptedNode", Attempt, Sink], Awaitable[None]]


def word(index: int) -> Piece:
    """Piece ``index`` of the one answer that every scripted node gives."""
    return Piece(id=1000 + index, text=f"w{index} ")


def words(count: int) -> str:
    return "".join(word(index).text for index in range(count))


async def until(condition: Callable[[], bool], what: str = "the condition") -> None:
    """Returns once ``condition`` holds; fails the test when it does not within ``WAIT_S``."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 - conditions are of many kinds
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"{what} did not come true within {WAIT_S} s") from None


@dataclass(slots=True)
class ScriptedNode:
    """A node on the twins. ``scripts``: what to do with the first attempts, in order; ``answer``
    afterwards. ``sent``: pieces that credit let through, per attempt."""

    name: str
    network: MemoryNetwork
    registry: MemoryRegistry
    slots: int = 2
    specialties: tuple[Specialty, ...] = (MATH,)
    model: ModelId = TOY
    context_length: int = 4096
    tokenizer_hash: str = "tok"
    scripts: list[Script] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    used: int = 0
    state: NodeState = NodeState.READY
    instance: str = "first"
    listener: Any = None

    @property
    def id(self) -> NodeId:
        return NodeId(f"node-{self.name}")

    @property
    def key(self) -> str:
        return f"{NODES}{self.id}"

    def record(self) -> NodeRecord:
        model = ModelRecord(
            id=self.model,
            engine="scripted",
            specialties=self.specialties,
            state=ModelState.RESIDENT,
            slots=self.slots,
            used_slots=0,
            context_length=self.context_length,
            device="cpu",
            tokenizer_hash=self.tokenizer_hash,
        )
        return NodeRecord(
            id=self.id,
            instance=self.instance,
            name=self.name,
            host="test",
            pid=1,
            state=self.state,
            reason="",
            endpoint=self.listener.endpoint,
            specialties=self.specialties,
            models=(model,),
        )

    def beat(self, used: int | None = None) -> None:
        load = ModelLoad(
            model=self.model,
            state=ModelState.RESIDENT,
            slots=self.slots,
            used_slots=self.used if used is None else used,
        )
        self.listener.heartbeat(Heartbeat(node=self.id, state=self.state, models=(load,)))

    async def run(self) -> None:
        self.listener = self.network.listener(self.id, self.instance)
        self.listener.bind()
        self.beat()
        self.registry.announce(self.key, encode_record(self.record()))
        try:
            await self.listener.run(self.handle)
        finally:
            self.registry.withdraw(self.key)

    async def handle(self, attempt: Attempt, sink: Sink) -> None:
        self.attempts.append(attempt)
        self.sent.append(0)
        script = self.scripts.pop(0) if self.scripts else answer()
        self.used += 1
        self.beat()
        try:
            await script(self, attempt, sink)
        finally:
            self.used -= 1
            self.beat()

    async def send(self, attempt: Attempt, sink: Sink, first: int, count: int = 1) -> None:
        index = self.attempts.index(attempt)
        await sink.send(Tokens(first=first, pieces=tuple(word(first + i) for i in range(count))))
        self.sent[index] += count

    async def accept(self, attempt: Attempt, sink: Sink) -> None:
        await sink.send(Accepted(node=self.id, model=attempt.model))

    async def finish(self, sink: Sink, total: int) -> None:
        usage = Usage(prompt_tokens=7, completion_tokens=total)
        await sink.send(Finished(reason=FinishReason.STOP, usage=usage))


def answer(total: int = 10) -> Script:
    """The whole answer, from where the delivered pieces end."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        for index in range(len(attempt.delivered), total):
            await node.send(attempt, sink, index)
        await node.finish(sink, total)

    return script


def refuse(code: str, message: str = "no", retry_after_s: float | None = None) -> Script:
    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await sink.send(Refused(code=code, message=message, retry_after_s=retry_after_s))

    return script


def fail(after: int, code: str = "engine_failed", message: str = "the engine broke") -> Script:
    """``after`` tokens of this attempt, then a failure."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        begin = len(attempt.delivered)
        for index in range(begin, begin + after):
            await node.send(attempt, sink, index)
        await sink.send(Failed(code=code, message=message))

    return script


def die(after: int) -> Script:
    """``after`` tokens, then the node's connections break, as when its process is killed."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        begin = len(attempt.delivered)
        for index in range(begin, begin + after):
            await node.send(attempt, sink, index)
        # What was sent is on its way first: the twin loses what is under way.
        for _ in range(20):
            await asyncio.sleep(0)
        node.network.reset(node.id)
        await asyncio.Event().wait()

    return script


def hang(after: int = 0, freed: asyncio.Event | None = None) -> Script:
    """``after`` tokens, then nothing until it is cancelled; ``freed`` is set when it was."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        try:
            await node.accept(attempt, sink)
            for index in range(after):
                await node.send(attempt, sink, index)
            await asyncio.Event().wait()
        finally:
            if freed is not None:
                freed.set()

    return script


def hold(gate: asyncio.Event, total: int = 3) -> Script:
    """Keeps its slot until ``gate`` opens, then answers."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        await gate.wait()
        for index in range(len(attempt.delivered), total):
            await node.send(attempt, sink, index)
        await node.finish(sink, total)

    return script


@dataclass(frozen=True, slots=True)
class FixedCascade:
    """Decides everything alike."""

    specialty: Specialty = MATH
    fallback: Specialty = CHAT
    rules_version: str = "test"

    def decide(self, features: Features) -> Decision:
        return Decision(specialty=self.specialty, stage="rules", rule="fixed", confidence=0.9)


@dataclass(frozen=True, slots=True)
class FixedCascades:
    current: FixedCascade = FixedCascade()


class Mesh:
    """Scripted nodes and an orchestrator's core; use as ``async with Mesh(...) as mesh``."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        queue_limit: int = 8,
        max_attempts: int = 3,
        cascade: FixedCascade | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.network = MemoryNetwork(timing=TIMING, clock=self.clock, rng=random.Random(1))
        self.store = MemoryStore()
        self.registry = self.session()
        self.nodes: dict[str, ScriptedNode] = {}
        self.fleet = Fleet(
            self.registry,
            self.network.dialer("orchestrator"),
            self.clock,
            random.Random(2),
        )
        capacity = Capacity(self.fleet, self.clock, registry="the registry at test")
        self.admission = Admission(self.fleet, capacity.take, self.clock, limit=queue_limit)
        self.dispatch = Dispatch(self.fleet, self.admission, self.clock, max_attempts=max_attempts)
        self.answers = Answers(
            self.fleet,
            self.dispatch,
            FixedCascades(cascade or FixedCascade()),
            self.clock,
            default_timeout_s=10.0,
            max_request_bytes=1_000_000,
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._exit = AsyncExitStack()

    def session(self) -> MemoryRegistry:
        return MemoryRegistry(self.store, lease_ttl_s=TIMING.lease_ttl_s, clock=self.clock)

    async def __aenter__(self) -> Mesh:
        self.group = await self._exit.enter_async_context(_cancelled_group(self._tasks))
        self.start(self.registry.run(), "registry")
        self.start(self.fleet.run(), "fleet")
        self.start(self.admission.run(), "admission")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._exit.aclose()

    def start(self, work: Any, name: str) -> None:
        self._tasks[name] = self.group.create_task(work, name=name)

    async def stop(self, name: str) -> None:
        """Ends a part or node by name, as a killed process ends: nothing is said."""
        task = self._tasks.pop(name)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def node(self, name: str, **given: Any) -> ScriptedNode:
        """Starts a node and waits until the orchestrator would use it."""
        registry = self.session()
        node = ScriptedNode(name, self.network, registry, **given)
        self.nodes[name] = node
        self.start(registry.run(), f"{name} registry")
        self.start(node.run(), name)
        await until(lambda: self.usable(node), f"node {name} is usable")
        return node

    def usable(self, node: ScriptedNode) -> bool:
        seen = self.fleet.view.nodes.get(node.id)
        return seen is not None and seen.link_up and seen.heartbeat is not None

    def generate(
        self, request: Request, *, timeout_s: float = WAIT_S, fallback: Specialty | None = None
    ) -> Any:
        """Dispatch's events for the request, as if the cascade had said ``math``."""
        now = self.clock.now()
        specialty = request.specialty or MATH
        return self.dispatch.generate(
            request,
            Decision(specialty=specialty, stage="rules", rule=None, confidence=1.0),
            fallback=fallback,
            arrived=now,
            deadline=now + timeout_s,
            span=INVALID_SPAN,
        )

    async def collect(self, request: Request, **given: Any) -> list[StreamEvent]:
        return [event async for event in self.generate(request, **given)]


def request(text: str = "what is 1 + 1?", *, number: int = 1, **given: Any) -> Request:
    fields: dict[str, Any] = {
        "id": RequestId(f"{number:032x}"),
        "messages": (Message(role=Role.USER, content=text),),
        "sampling": Sampling(max_tokens=1000),
    }
    return Request(**(fields | given))


def text_of(events: Sequence[Any]) -> str:
    """The text, having checked that its tokens are gap-free and duplicate-free."""
    expected = 0
    texts = []
    for event in events:
        if isinstance(event, Tokens):
            assert event.first == expected, f"token {event.first} came where {expected} was next"
            expected += len(event.pieces)
            texts += [piece.text for piece in event.pieces]
    return "".join(texts)


@asynccontextmanager
async def orchestrator(mesh: Mesh, **changes: Any) -> AsyncIterator[Orchestrator]:
    """A whole orchestrator with its gRPC gateway, on the mesh's twins, serving."""
    folder, rules = _rules()
    settings = replace(
        OrchestratorSettings(
            name="test", bind="127.0.0.1:0", default_timeout_s=WAIT_S, rules=str(rules)
        ),
        **changes,
    )
    registry = mesh.session()
    whole = Orchestrator(
        settings,
        Identity(id=OrchestratorId(f"orch-{settings.name}"), instance="test"),
        registry=registry,
        dialer=mesh.network.dialer("orchestrator"),
        clock=mesh.clock,
        rng=random.Random(3),
    )
    with folder:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(whole.run())
            await until(lambda: bool(whole.endpoint) or task.done(), "the gateway is bound")
            wanted = {node.id for node in mesh.nodes.values()}
            await until(
                lambda: (
                    task.done()
                    or all(
                        (seen := whole.fleet.view.nodes.get(node)) is not None
                        and seen.heartbeat is not None
                        for node in wanted
                    )
                ),
                "the orchestrator sees the nodes",
            )
            try:
                yield whole
            finally:
                whole.stop()
                whole.stop()


@asynccontextmanager
async def _cancelled_group(
    tasks: dict[str, asyncio.Task[None]],
) -> AsyncIterator[asyncio.TaskGroup]:
    """A group whose ``tasks`` are cancelled when the block ends."""
    async with asyncio.TaskGroup() as group:
        try:
            yield group
        finally:
            for task in tasks.values():
                task.cancel()


def _rules() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    folder = tempfile.TemporaryDirectory(prefix="squadron-rules-")
    rules = Path(folder.name, "rules.toml")
    rules.write_text(RULES)
    return folder, rules
