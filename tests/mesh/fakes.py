"""A whole mesh in one process: scripted nodes on the twins, and a real orchestrator."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from opentelemetry.trace import INVALID_SPAN

from mesh.clock import Clock, ManualClock, SystemClock
from mesh.errors import MeshError
from mesh.fleet.work import chain
from mesh.registry.twin import TwinRegistry, TwinStore
from mesh.security.tickets import Signer
from mesh.settings.orchestrator import OrchestratorSettings
from mesh.settings.router import RouterSettings
from mesh.settings.specialty import SpecialtySettings
from mesh.settings.timing import Timing
from mesh.stream import Done, StreamEvent, Tokens
from mesh.transport.twin import TwinNetwork
from mesh.types import (
    Decision,
    Message,
    OrchestratorId,
    Request,
    RequestId,
    Role,
    SaidSampling,
    Specialty,
)
from orchestrator.assembly import assembled
from orchestrator.attempts.dispatch import Dispatch
from orchestrator.attempts.hedge import HedgePolicy
from orchestrator.identity import Identity
from orchestrator.picture.fleet import Fleet
from orchestrator.router.base import Features, Recording, Stage
from orchestrator.router.cascade import Outcome
from orchestrator.service import Orchestrator
from orchestrator.slots.capacity import Capacity
from orchestrator.slots.queue import Admission
from orchestrator.tickets import Tickets
from tests.mesh.scripted import CHAT, MATH, ScriptedNode

TIMING = Timing(lease_ttl_s=2.0, heartbeat_s=0.1, peer_timeout_s=0.6, connect_timeout_s=0.5)
# One rule: the starter rules take seconds to compile.
# Tests ask the same thing again and again, and it is the nodes that shall answer.
ROUTER = {"stages": ["rules"]}
RULES = """
[[rules]]
name = "sum"
specialty = "math"
pattern = "[0-9] ?[+] ?[0-9]"
weight = 0.9
"""
MAX_BYTES = 1_000_000  # of a request's messages
WAIT_S = 10.0  # deadline of every condition that a test waits for


async def until(condition: Callable[[], bool], what: str = "the condition") -> None:
    """Returns once ``condition`` holds; fails the test when it does not within ``WAIT_S``."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 - conditions are of many kinds
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"{what} did not come true within {WAIT_S} s") from None


@dataclass(frozen=True, slots=True)
class FixedCascade:
    """Decides everything alike."""

    specialty: Specialty = MATH
    fallback: Specialty = CHAT
    rules_version: str = "test"

    async def decide(self, features: Features) -> Outcome:
        return Outcome(
            Decision(specialty=self.specialty, stage="rules", rule="fixed", confidence=0.9)
        )

    async def recall(self, features: Features) -> Outcome | None:
        return None

    def recording(self, features: Features) -> Recording | None:
        return None

    @property
    def quick(self) -> tuple[Stage, ...]:
        return ()


@dataclass(slots=True)
class OneCascade:
    """``current``: a test puts another one there."""

    current: Any


class Mesh:
    """Scripted nodes and an orchestrator's core; use as ``async with Mesh(...) as mesh``.
    ``beside``: a mesh whose network and registry this one's orchestrator shares."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        beside: Mesh | None = None,
        queue_limit: int = 8,
        max_attempts: int = 3,
        cascade: FixedCascade | None = None,
        suspect_after_s: float | None = None,
        hedging: HedgePolicy | None = None,
        substitutes: dict[str, str] | None = None,
        notes_in_traces: bool = False,
        request_limit: int = 1000,
        specialties: dict[str, SpecialtySettings] | None = None,
    ) -> None:
        self.clock: Clock = beside.clock if beside else clock or SystemClock()
        self.network: TwinNetwork = (
            beside.network
            if beside
            else TwinNetwork(timing=TIMING, clock=self.clock, rng=random.Random(1))
        )
        self.store: TwinStore = beside.store if beside else TwinStore()
        self.registry = self.session()
        self.nodes: dict[str, ScriptedNode] = {}
        self.fleet = Fleet(
            self.registry,
            self.network.dialer("orchestrator"),
            self.clock,
            random.Random(2),
            suspect_after_s=suspect_after_s,
        )
        capacity = Capacity(self.fleet, self.clock, registry="the registry at test")
        self.admission = Admission(self.fleet, capacity.take, self.clock, limit=queue_limit)
        self.dispatch = Dispatch(
            self.fleet, self.admission, self.clock, max_attempts=max_attempts, hedging=hedging
        )
        self.cascades = OneCascade(cascade or FixedCascade())
        self.api = assembled(
            OrchestratorSettings(
                name="",
                default_timeout_s=WAIT_S,
                max_request_bytes=MAX_BYTES,
                request_limit=request_limit,
                specialties=specialties or {},
                router=RouterSettings(
                    substitutes=substitutes or {}, notes_in_traces=notes_in_traces
                ),
            ),
            fleet=self.fleet,
            dispatch=self.dispatch,
            cascades=self.cascades,
            tickets=Tickets(
                Signer.generate(),
                OrchestratorId("orch-test"),
                self.clock,
                lifetime_s=60.0,
                max_tokens=1000,
                max_streams=4,
            ),
            clock=self.clock,
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._exit = AsyncExitStack()

    def session(self) -> TwinRegistry:
        return TwinRegistry(self.store, lease_ttl_s=TIMING.lease_ttl_s, clock=self.clock)

    async def __aenter__(self) -> Mesh:
        self.group = await self._exit.enter_async_context(_cancelled_group(self._tasks))
        self.start(self.registry.run(), "registry")
        self.start(self.fleet.run(), "fleet")
        self.start(self.admission.run(), "admission")
        self.start(self.dispatch.run(), "dispatch")
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
        self,
        request: Request,
        *,
        timeout_s: float = WAIT_S,
        fallback: Specialty | None = None,
        substitutes: dict[str, str] | None = None,
        decided: Specialty = MATH,
    ) -> Any:
        """Dispatch's events for the request, as if the cascade had said ``decided``."""
        now = self.clock.now()
        specialty = request.specialty or decided
        if request.specialty is not None:  # as ``Decider`` does
            fallback = None
        return self.dispatch.generate(
            request,
            Decision(specialty=specialty, stage="rules", rule=None, confidence=1.0),
            substitutes=chain(specialty, substitutes or {}, fallback),
            arrived=now,
            deadline=now + timeout_s,
            span=INVALID_SPAN,
        )

    def answered(self, request: Request) -> AsyncGenerator[StreamEvent, None]:
        """The whole chain's events for the request."""
        return self.api.generate(self.api.ask(request))

    async def collect(self, request: Request, **given: Any) -> list[StreamEvent]:
        return [event async for event in self.generate(request, **given)]


def request(text: str = "what is 1 + 1?", *, number: int = 1, **given: Any) -> Request:
    fields: dict[str, Any] = {
        "id": RequestId(f"{number:032x}"),
        "messages": (Message.of(Role.USER, text),),
        "sampling": SaidSampling(max_tokens=1000, temperature=0.0),
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
            name="test",
            bind="127.0.0.1:0",
            default_timeout_s=WAIT_S,
            rules=str(rules),
            router=RouterSettings(stages=tuple(ROUTER["stages"])),
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


def done_of(events: list[Any]) -> Done:
    assert isinstance(events[-1], Done), f"the stream ended with {events[-1]!r}"
    return events[-1]


async def manual_node(
    mesh: Mesh, clock: ManualClock, name: str = "a", **given: Any
) -> ScriptedNode:
    task = asyncio.ensure_future(mesh.node(name, **given))
    while not task.done():
        await clock.advance(0.05)
    return task.result()


async def caught(work: Any) -> Exception | None:
    try:
        await work
    except MeshError as error:
        return error
    return None
